"""Device, precision and threads: decided, put in force, put back."""

from __future__ import annotations

import pytest
import torch

from mlptrain.errors import DeviceError
from mlptrain.training.device import decide, in_force, product_error


def test_auto_never_fails_and_is_the_same_every_time() -> None:
    decisions = [decide(device="auto", precision="auto", threads="auto") for _ in range(3)]
    assert len(set(decisions)) == 1
    assert decisions[0].precision in ("highest", "high", "medium")
    assert decisions[0].threads >= 1


def test_the_precision_decided_is_float32_accurate() -> None:
    decisions = decide(device="cpu", precision="auto", threads="auto")
    with in_force(decisions):
        chosen = product_error("cpu")
    with in_force(decide(device="cpu", precision="highest", threads="auto")):
        exact = product_error("cpu")
    assert chosen < 8 * exact < 1e-5  # bfloat16 would be off by thousands


def test_forced_values_are_taken() -> None:
    decisions = decide(device="cpu", precision="highest", threads=1)
    assert (decisions.device, decisions.precision, decisions.threads) == ("cpu", "highest", 1)


def test_settings_are_put_back() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with in_force(decide(device="cpu", precision="medium", threads=1)):
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (1, "medium")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("wanted", ["cuda", "cuda:3"])
def test_cuda_without_cuda(wanted: str) -> None:
    with pytest.raises(DeviceError, match=r"no CUDA device.*auto or cpu"):
        decide(device=wanted, precision="auto", threads="auto")


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:-1", "mps", ""])
def test_what_is_no_device(wanted: str) -> None:
    with pytest.raises(DeviceError, match="wanted auto, cpu, cuda or cuda:N"):
        decide(device=wanted, precision="auto", threads="auto")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_device_number_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="has only"):
        decide(device="cuda:99", precision="auto", threads="auto")
