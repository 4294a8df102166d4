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

    Raises DataError for another header, value type or number of dimensions, and for a length that does not follow from
    the dimensions.
    """
    header, expected = 4 + 4 * n_dimensions, bytes([0, 0, _UNSIGNED_BYTE, n_dimensions])
    start = bytes(content[:4])
    if start != expected or content.size < header:
        raise DataError(
            f"{source}: not an IDX file of unsigned bytes in {n_dimensions} dimensions: {content.size} bytes that "
            f"begin with {start.hex(' ') or 'nothing'}, expected {expected.hex(' ')} and a header of {header} bytes"
        )
    shape = tuple(content[4:header].view(">u4").tolist())
    size = header + math.prod(shape)
    if content.size != size:
        values = " × ".join(map(str, shape))
        raise DataError(
            f"{source}: {content.size} bytes, but its header announces {values} values, {size} bytes in all"
        )
    return content[header:].reshape(shape)
