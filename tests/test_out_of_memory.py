"""Memory that is exhausted is recognised whoever asked for it, and no other error is taken for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mlptrain.errors import is_out_of_memory

EXHAUSTED: dict[str, Callable[[], object]] = {
    "Python": lambda: bytearray(10**17),
    "numpy": lambda: np.empty(10**15),
    "torch": lambda: torch.empty(10**15),
}


@pytest.mark.parametrize("ask", EXHAUSTED.values(), ids=EXHAUSTED)
def test_memory_of_the_machine(ask: Callable[[], object]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        ask()
    assert is_out_of_memory(caught.value)


def test_memory_of_a_gpu_is_recognised_without_any_words() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError())


def test_another_error_of_torch_is_another() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2, 2) @ torch.zeros(3, 3)
    assert not is_out_of_memory(caught.value)
    assert not is_out_of_memory(ValueError("wrong"))
