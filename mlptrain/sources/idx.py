"""IDX files as bytes: their values, and in words what a file holds that should be one and is not."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# NumPy's types by the code of the header; longer ones are big-endian.
DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MAX_DIMENSIONS = 8  # more than any file has; a header that says so is not one
_OTHER_FORMATS: tuple[tuple[bytes | tuple[bytes, ...], str], ...] = (  # first bytes, or several
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive (unpack it: `unzip` it where it lies)"),
    (b"version https://git-lfs", "a pointer of Git LFS instead of the file (`git lfs pull` fetches it)"),
    (b"\x93NUMPY", "a file of NumPy (.npy)"),
    (b"BZh", "a bzip2 archive (unpack it)"),
    (b"\xfd7zXZ", "an xz archive (unpack it)"),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a pickle"),
)


def parse_idx(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, height, width) or labels (n,), as a view of the bytes (n_bytes,) of a published IDX file.

    Two zero bytes and the type code 8 for unsigned bytes are followed by the number of dimensions, each dimension as a
    big-endian unsigned 32-bit number, and the values with the last dimension running fastest. None of it is checked
    here: the SHA-256 was.
    """
    header = 4 + 4 * int(content[3])
    return content[header:].reshape(content[4:header].view(">u4").tolist())


def is_well_formed(content: NDArray[np.uint8]) -> bool:
    """Whether the bytes (n_bytes,) are as many as an IDX header promises."""
    found = _head(content)
    return found is not None and found.n_bytes == content.size


def what_is(content: NDArray[np.uint8]) -> str:
    """What bytes (n_bytes,) hold, in words that follow "it is": an IDX file of such a shape, a web page, nothing …"""
    start = content[:64].tobytes()
    if not start:
        return "empty"
    for magic, name in _OTHER_FORMATS:
        if start.startswith(magic):
            return name
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, as of a login or an error, instead of the file"
    if (found := _head(content)) is None:
        return f"not an IDX file (it begins with the bytes {start[:4].hex(' ')})"
    shape, expected = found.shape, found.n_bytes
    if expected != content.size:
        return f"an IDX file of {content.size:,} bytes whose header promises {expected:,}"
    kinds = {1: "labels", 3: "images"}
    sides = f" of {' × '.join(f'{side:,}' for side in shape[1:])}" if len(shape) > 1 else ""
    return f"a well-formed IDX file of {shape[0]:,} {kinds.get(len(shape), 'entries')}{sides}"


@dataclass(frozen=True)
class IdxHead:
    """The type's code, the dimensions, and how many bytes the header and the whole file have."""

    code: int
    shape: tuple[int, ...]
    length: int
    n_bytes: int


def idx_head(start: bytes) -> IdxHead | None:
    """What the beginning of a file says; None where there is no such header."""
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in DTYPES or not 1 <= start[3] <= _MAX_DIMENSIONS:
        return None
    length = 4 + 4 * start[3]
    if len(start) < length:
        return None
    shape = struct.unpack(f">{start[3]}I", start[4:length])
    return IdxHead(start[2], shape, length, length + int(DTYPES[start[2]][-1]) * math.prod(shape))


def _head(content: NDArray[np.uint8]) -> IdxHead | None:
    return idx_head(content[: 4 + 4 * _MAX_DIMENSIONS].tobytes())
