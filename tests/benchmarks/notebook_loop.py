"""Seconds of one MNIST training epoch: ours beside the loop that course notebooks are written with.

    python tests/benchmarks/notebook_loop.py [--data-dir DIR] [--rounds 3]

Both train the same network with plain SGD on the 60,000 images; rounds alternate, so a drifting machine slows both.
Ours is the whole epoch of `mlptrain train`, metrics included. Each must have learnt: the losses of the first epoch are
shown beside the times and must agree to 10 %, as far as two orders of batches allow.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
import torchvision
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader

from mlptrain.data import data_folder
from mlptrain.parts import build_trainer, load_data
from mlptrain.spec import ExperimentSpec, load_text
from mlptrain.training.device import decide, in_force

WORKLOADS = {"784-500-256-10, batch 64": ([500, 256], 64), "784-64-10, batch 125": ([64], 125)}


def specification(hidden: list[int], batch_size: int) -> ExperimentSpec:
    """Plain SGD on all training images."""
    return load_text(
        f"data: {{name: mnist, validation: 0}}\nmodel: {{hidden: {hidden}}}\n"
        f"optimizer: {{name: sgd, lr: 0.05}}\ntraining: {{batch_size: {batch_size}}}\nevaluation: {{split: none}}\n"
    ).spec


def our_epochs(spec: ExperimentSpec, data_dir: Path, rounds: int) -> Iterator[tuple[float, float]]:
    """Yields (seconds, loss) of one epoch after the other."""
    trainer = build_trainer(spec, load_data(spec, data_dir=data_dir))
    for epoch in trainer.epochs(first=1, last=rounds, should_stop=lambda: False):
        assert epoch.train is not None
        yield epoch.training_seconds, epoch.train.loss


def notebook_epochs(hidden: list[int], batch_size: int, data_dir: Path) -> Iterator[tuple[float, float]]:
    """Yields (seconds, loss): DataLoader, ToTensor for every image, autograd, torch.optim, .item() each step."""
    images = torchvision.datasets.MNIST(str(data_dir), train=True, transform=torchvision.transforms.ToTensor())
    loader = DataLoader(images, batch_size=batch_size, shuffle=True)
    widths = [784, *hidden, 10]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loss_function = nn.CrossEntropyLoss()
    while True:
        started, total = time.perf_counter(), 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item() * len(y)
        yield time.perf_counter() - started, total / len(images)


def main() -> None:
    """Measure, and print one row per workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = data_folder(options.data_dir)
    table = Table("workload", "ours, s", "notebook, s", "ratio", "first loss, ours", "first loss, notebook")
    for name, (hidden, batch_size) in WORKLOADS.items():
        spec = specification(hidden, batch_size)
        ours: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        our_decisions = decide(device="cpu", precision="auto", threads="auto")
        one, other = our_epochs(spec, folder, options.rounds), notebook_epochs(hidden, batch_size, folder)
        for _ in range(options.rounds):
            with in_force(our_decisions):
                ours.append(next(one))
            theirs.append(next(other))
        assert abs(ours[0][1] - theirs[0][1]) < 0.1 * theirs[0][1], "one of the two did not train"
        mine, yours = (statistics.median(seconds for seconds, _ in rows) for rows in (ours, theirs))
        table.add_row(
            name, f"{mine:.3f}", f"{yours:.2f}", f"{yours / mine:.1f}", f"{ours[0][1]:.4f}", f"{theirs[0][1]:.4f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
