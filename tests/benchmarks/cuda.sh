#!/bin/sh
# All that needs a CUDA device: its tests, then the speed of every workload beside autograd, torch.compile and JAX.
# From the root of the repository; about ten minutes. JAX is left out where it is not installed.
set -e
python -m pytest -q tests/training/test_cuda.py tests/training/test_capture.py tests/training/test_many_models.py \
  tests/training/test_device.py tests/nn/test_backward.py tests/test_load.py
XLA_PYTHON_CLIENT_PREALLOCATE=false python tests/benchmarks/cuda.py "$@"
