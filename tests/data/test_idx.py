from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.sources.idx import parse_idx


def as_array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(bytearray(content), np.uint8)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 255))
def test_values_come_back_in_order(shape: list[int], first: int) -> None:
    values = [(first + step) % 256 for step in range(int(np.prod(shape)))]
    content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(values)

    parsed = parse_idx(as_array(content), source="file", n_dimensions=len(shape))

    assert parsed.dtype == np.uint8
    assert parsed.shape == tuple(shape)
    assert parsed.ravel().tolist() == values


GOOD = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 3, 4) + bytes(24)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes that begin with nothing"),
        (GOOD[:3], "3 bytes that begin with 00 00 08, expected 00 00 08 03"),
        (b"\x1f\x8b" + GOOD[2:], "begin with 1f 8b 08 03, expected 00 00 08 03"),
        (GOOD[:2] + b"\x0d" + GOOD[3:], "begin with 00 00 0d 03, expected 00 00 08 03"),
        (GOOD[:3] + b"\x01" + GOOD[4:], "begin with 00 00 08 01, expected 00 00 08 03"),
        (GOOD[:15], "15 bytes that .* and a header of 16 bytes"),
        (GOOD[:-1], "39 bytes, but its header announces 2 × 3 × 4 values, 40 bytes"),
        (GOOD + b"\0", "41 bytes, but its header announces 2 × 3 × 4 values, 40 bytes"),
        (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "announces 4294967295 × 4294967295 × 4294967295 values"),
    ],
)
def test_each_fault_has_its_message(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        parse_idx(as_array(content), source="train-images", n_dimensions=3)
    assert str(caught.value).startswith("train-images: ")
