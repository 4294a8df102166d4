"""Safetensors files with a seal: one JSON text in the metadata, and a SHA-256 over every byte of the file.

The header's metadata holds the text under ``mlptrain`` (one key, because safetensors does not keep the order of
several, and the same run is to give the same bytes). Its ``digest`` is SHA-256 over the whole file with the digest's 64
characters as zeros, so that any changed byte, of header or tensors, is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

from mlptrain.errors import CheckpointError

FORMAT_VERSION = 2
BLANK = "0" * 64  # a digest before it is known
_DIGEST = re.compile("[0-9a-f]{64}")
MAX_HEADER_BYTES = 100_000_000  # more is not read by safetensors either; 100,000 columns of a table take 27 million


def sealed(content: bytes) -> bytes:
    """The file's bytes with their digest in the place of the first ``BLANK``."""
    return content.replace(BLANK.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def refuse_configuration(path: Path) -> None:
    """Raises CheckpointError for a YAML file in the place of a checkpoint."""
    if path.suffix.lower() in (".yaml", ".yml"):
        raise CheckpointError(
            f"{path} is a configuration, expected a run folder or a checkpoint; `mlptrain runs` lists the runs"
        )


def read_header(path: Path, stream: BinaryIO, *, most: int) -> dict[str, Any]:
    """The metadata, once magic, version, size and digest are found right; tensors are not kept in memory for that.

    ``most`` is the largest size of such a file in bytes. Raises CheckpointError for any other file.
    """
    refuse_configuration(path)
    size = os.fstat(stream.fileno()).st_size
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise CheckpointError(f"{path} is not a checkpoint of mlptrain, or is cut off ({size:,} bytes)")
    content = stream.read(length)
    try:
        header = json.loads(json.loads(content)["__metadata__"]["mlptrain"])
        version, digest = header["format"], header["digest"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"{path} is not a checkpoint of mlptrain, or its header is damaged") from None
    is_sealed = version != FORMAT_VERSION or _DIGEST.fullmatch(str(digest))
    if type(version) is not int or version < 1 or not is_sealed:
        raise CheckpointError(f"{path} is not a checkpoint of mlptrain, or its header is damaged")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {version}, but this mlptrain reads up to {FORMAT_VERSION}; update mlptrain"
        )
    if version < FORMAT_VERSION:
        raise CheckpointError(f"{path} was written by an earlier version of mlptrain; retrain the network")
    if size > most:
        raise CheckpointError(f"{path} has {size:,} bytes; no checkpoint has more than {most:,}")
    found = hashlib.sha256((start + content).replace(digest.encode(), BLANK.encode(), 1))
    while block := stream.read(1 << 20):
        found.update(block)
    if found.hexdigest() != digest:
        raise CheckpointError(
            f"{path} is damaged: its content does not have the SHA-256 that it was saved with; use another copy"
        )
    return dict(header)
