from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlptrain.sources.idx import parse_idx


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 255))
def test_values_come_back_in_order(shape: list[int], first: int) -> None:
    values = [(first + step) % 256 for step in range(int(np.prod(shape)))]
    content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(values)

    parsed = parse_idx(np.frombuffer(bytearray(content), np.uint8))

    assert parsed.dtype == np.uint8
    assert parsed.shape == tuple(shape)
    assert parsed.ravel().tolist() == values
