"""The IDX format of MNIST.

Two zero bytes, a type code (8 is unsigned byte), the number of dimensions, each dimension as a big-endian unsigned
32-bit number, then the values with the last dimension running fastest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError

_UNSIGNED_BYTE = 8


def parse_idx(content: NDArray[np.uint8], *, source: str, n_dimensions: int) -> NDArray[np.uint8]:
    """The array that an IDX file holds, as a view of ``content``.

    ``content`` is the whole file, shape (n_bytes,); ``source`` names it in messages; ``n_dimensions`` is 3 for images
    (images, height, width) and 1 for labels.

    Raises DataError for a file too short for its header, a wrong magic number, another value type, another number of
    dimensions, and a length that does not follow from the dimensions.
    """
    header = 4 + 4 * n_dimensions
    if content.size < 4:
        raise DataError(f"{source}: {content.size} bytes are too few for an IDX header")
    first, second, value_type, dimensions = content[:4].tolist()
    if first or second:
        raise DataError(f"{source}: not an IDX file; it starts with {bytes(content[:4]).hex(' ')}, not with 00 00")
    if value_type != _UNSIGNED_BYTE:
        raise DataError(f"{source}: IDX value type {value_type:#04x}, expected 0x08 (unsigned bytes)")
    if dimensions != n_dimensions:
        raise DataError(f"{source}: {dimensions} dimensions, expected {n_dimensions}")
    if content.size < header:
        raise DataError(f"{source}: {content.size} bytes are too few for an IDX header of {header}")
    shape = tuple(content[4:header].view(">u4").tolist())
    expected = header + math.prod(shape)
    if content.size != expected:
        size = " × ".join(map(str, shape))
        raise DataError(
            f"{source}: {content.size} bytes, but its header announces {size} values, {expected} bytes in all"
        )
    return content[header:].reshape(shape)
