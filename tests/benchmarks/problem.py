"""What a worker is given to train, as plain arrays: rows, labels, and the weights that all frameworks start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.workloads import WORKLOADS, OptimizerName, Precision, Row, Workload

Floats = NDArray[np.float32]
Losses = list[float]
Epochs = Iterator[Losses]  # the mean training loss of every model, after ``workload.epochs`` more epochs


@dataclass(frozen=True)
class Problem:
    """A row with its arrays: x (n, in) and y (n,), and per layer weights (models, out, in) and biases (models, out)."""

    workload: Workload
    optimizer: OptimizerName
    precision: Precision
    rates: list[float]
    x: Floats
    y: NDArray[np.int64]
    weights: list[Floats]
    biases: list[Floats]
    data_dir: Path

    @property
    def models(self) -> int:
        """How many models the row trains."""
        return len(self.rates)

    @property
    def per_example(self) -> float:
        """What a framework's epoch loss is multiplied by to be a mean per example."""
        return 1 / len(self.x) if self.workload.reduction == "sum" else 1.0


def inputs_file(folder: Path, workload: str) -> Path:
    """Where the weights of a workload lie, and its rows if they are generated."""
    return folder / f"{workload}.npz"


def load_problem(row: Row, *, folder: Path, data_dir: Path) -> Problem:
    """The problem of a row; our own worker has written its file before."""
    workload = WORKLOADS[row.workload]
    with np.load(inputs_file(folder, row.workload)) as file:
        arrays = dict(file)
    x, y = mnist(data_dir) if workload.data == "mnist" else (arrays["x"], arrays["y"])
    layers = range(len(workload.widths) - 1)
    return Problem(
        workload=workload,
        optimizer=row.optimizer,
        precision=row.precision or "highest",
        rates=workload.rates_of_models(row.optimizer)[: row.models],
        x=x,
        y=y,
        weights=[arrays[f"weight{layer}"][: row.models] for layer in layers],
        biases=[arrays[f"bias{layer}"][: row.models] for layer in layers],
        data_dir=data_dir,
    )


@lru_cache(maxsize=1)
def mnist(data_dir: Path) -> tuple[Floats, NDArray[np.int64]]:
    """The training images (60000, 784), divided by 255, and their labels (60000,), from the unpacked files."""
    raw = data_dir / "MNIST" / "raw"
    images = np.fromfile(raw / "train-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 784)
    labels = np.fromfile(raw / "train-labels-idx1-ubyte", np.uint8)[8:]
    return images.astype(np.float32) / np.float32(255), labels.astype(np.int64)
