"""Device, precision and threads: resolved, applied, put back."""

from __future__ import annotations

import pytest
import torch

from mlptrain.errors import DeviceError
from mlptrain.training.device import applied, product_error, resolve_device


def test_auto_never_fails_and_is_the_same_every_time() -> None:
    resolved = [resolve_device(device="auto", precision="auto", threads="auto") for _ in range(3)]
    assert len(set(resolved)) == 1
    assert resolved[0].precision in ("highest", "high", "medium")
    assert resolved[0].threads >= 1


def test_the_resolved_precision_is_float32_accurate() -> None:
    resolved = resolve_device(device="cpu", precision="auto", threads="auto")
    with applied(resolved):
        chosen = product_error("cpu")
    with applied(resolve_device(device="cpu", precision="highest", threads="auto")):
        exact = product_error("cpu")
    assert chosen < 8 * exact < 1e-5  # bfloat16 would be off by thousands


def test_forced_values_are_taken() -> None:
    resolved = resolve_device(device="cpu", precision="highest", threads=1)
    assert (resolved.device, resolved.precision, resolved.threads) == ("cpu", "highest", 1)


def test_settings_are_put_back() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with applied(resolve_device(device="cpu", precision="medium", threads=1)):
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (1, "medium")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("wanted", ["cuda", "cuda:3"])
def test_cuda_without_cuda(wanted: str) -> None:
    with pytest.raises(DeviceError, match=r"no CUDA device.*auto or cpu"):
        resolve_device(device=wanted, precision="auto", threads="auto")


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:-1", "mps", ""])
def test_what_is_not_a_device(wanted: str) -> None:
    with pytest.raises(DeviceError, match="expected auto, cpu, cuda or cuda:N"):
        resolve_device(device=wanted, precision="auto", threads="auto")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_device_number_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="has only"):
        resolve_device(device="cuda:99", precision="auto", threads="auto")
