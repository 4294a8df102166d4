"""What each ingredient of the recipe costs: 784-1024-1024-10 in batches of 128, relative to the plain network.

    python tests/benchmarks/recipe.py [--rounds 5] [--steps 60] [--threads 1] [--only TEXT]

Rows alternate within each round, in one process; a figure is the median over the rounds of a row's time per step and
model. Images of MNIST's size are made, since time does not depend on what they show. Nothing else should run on the
machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":  # started as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlptrain.data import Examples, Splits
from mlptrain.experiment.fit import epochs_of
from mlptrain.spec import load_text
from mlptrain.training.device import applied, resolve_device
from tests.benchmarks.machine import describe_machine

BATCH, WIDTHS = 128, (784, 1024, 1024, 10)
BASE = """
name: recipe
data: {name: mnist, validation: 0}
model: {hidden: [1024, 1024]}
optimizer: adam
training: {batch_size: 128, epochs: 1000000}
evaluation: {split: none}
"""
BOTH = ("model.norm=batch", "model.dropout=[0.2, 0.5]")
# Of each row its overrides, how many models train at once, and the row that its figure is relative to.
ROWS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "plain": ((), 1, "plain"),
    "dropout .2/.5": (BOTH[1:], 1, "plain"),
    "dropout of the inputs .2": (("model.input_dropout=0.2",), 1, "plain"),
    "batch norm": (BOTH[:1], 1, "plain"),
    "layer norm": (("model.norm=layer",), 1, "plain"),
    "residual": (("model.residual=true",), 1, "plain"),
    "clipping by norm": (("training.clip_norm=1",), 1, "plain"),
    "max-norm": (("training.max_norm=3",), 1, "plain"),
    "averaged weights": (("training.ema=0.999",), 1, "plain"),
    "shifts and rotations": (("augmentation={shift: 2, rotate: 15}",), 1, "plain"),
    "the same and elastic distortions": (
        ("augmentation={shift: 2, rotate: 15, elastic: {alpha: 36, sigma: 6}}",),
        1,
        "plain",
    ),
    "adversarial training (L2)": (("training.adversarial=fgsm",), 1, "plain"),
    "virtual adversarial training": (("training.adversarial=vat",), 1, "plain"),
    "batch norm, dropout .2/.5": (BOTH, 1, "plain"),
    "16 seeds at once, plain": ((), 16, "plain"),
    "16 seeds at once, batch norm, dropout .2/.5": (BOTH, 16, "batch norm, dropout .2/.5"),
    "nn.Sequential and autograd, batch norm, dropout .2/.5": (("autograd",), 1, "batch norm, dropout .2/.5"),
}


def epochs_of_ours(overrides: tuple[str, ...], models: int, x: Tensor, y: Tensor) -> Iterator[object]:
    """Epochs of as many models, each with a seed of its own."""
    experiment = load_text(BASE, overrides=overrides).experiment
    splits = Splits(Examples(x, y, None), None, None, "")
    seeds = [experiment.changed(seed=seed) for seed in range(models)]
    return epochs_of(seeds, [splits] * models, evaluate=False)


def epochs_of_autograd(x: Tensor, y: Tensor) -> Iterator[None]:
    """The same network in torch's modules, data in memory, with the fused optimizer."""
    layers: list[nn.Module] = []
    for inputs, outputs, rate in zip(WIDTHS, WIDTHS[1:-1], (0.2, 0.5), strict=False):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(rate)]
    model = nn.Sequential(*layers, nn.Linear(*WIDTHS[-2:]))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    while True:
        for rows in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(model(x[rows]), y[rows]))
            optimizer.step()
        yield


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="of one timing")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose title contains this, beside those they are relative to")
    options = parser.parse_args()
    wanted = {title for title in ROWS if options.only in title}
    rows = {title: row for title, row in ROWS.items() if title in wanted | {ROWS[one][2] for one in wanted}}
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(options.steps * BATCH, WIDTHS[0], generator=generator)
    y = torch.randint(0, WIDTHS[-1], (len(x),), generator=generator)
    with applied(resolve_device(device="cpu", precision="auto", threads=options.threads)):
        trained: dict[str, Callable[[], object]] = {}
        for title, (overrides, models, _) in rows.items():
            epochs = epochs_of_autograd(x, y) if overrides == ("autograd",) else epochs_of_ours(overrides, models, x, y)
            trained[title] = lambda epochs=epochs: next(epochs)  # type: ignore[misc]
            trained[title]()
        samples: dict[str, list[float]] = {title: [] for title in rows}
        for _ in range(options.rounds):
            for title, train in trained.items():
                started = time.perf_counter()
                train()
                samples[title].append((time.perf_counter() - started) / options.steps / rows[title][1])
    medians = {title: statistics.median(found) for title, found in samples.items()}
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['date']}, {options.threads} threads; milliseconds per step and model\n")
    print("| | ms | relative to |\n|---|---|---|")
    for title, (_, _, other) in rows.items():
        print(f"| {title} | {1e3 * medians[title]:.2f} | {medians[title] / medians[other]:.2f} × {other} |")


if __name__ == "__main__":
    main()
