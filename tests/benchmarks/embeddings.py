"""What embeddings of a table's columns cost, and the same network in torch's modules with autograd.

    python tests/benchmarks/embeddings.py [--rounds 5] [--threads 1]

26,048 rows of the shape of Adult are made: six numbers, eight categories of 2 to 42 levels, two classes; 256-256 with
AdamW in batches of 256. Rows alternate within each round, in one process; a figure is the median over the rounds of a
row's time per step. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

if __name__ == "__main__":  # started as a file: import from the repository, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlptrain.data import Splits
from mlptrain.experiment.build import load_data
from mlptrain.experiment.fit import epochs_of
from mlptrain.sources.held import holding
from mlptrain.spec import Experiment
from mlptrain.spec.load import as_loaded
from mlptrain.training.device import applied, resolve_device
from tests.benchmarks.machine import describe_machine

ROWS, NUMBERS, LEVELS, BATCH, WIDTH = 26_048, 6, (9, 16, 7, 15, 6, 5, 2, 42), 256, 256
FREQUENCIES, SIZE = 48, 16
DATA: dict[str, object] = {"target": "y", "validation": 0, "test": 0}
MODEL: dict[str, object] = {"hidden": [WIDTH, WIDTH]}
BASE = {
    "optimizer": "adamw",
    "training": {"batch_size": BATCH, "epochs": 1_000_000},
    "evaluation": {"split": "none"},
}
EMBEDDED: dict[str, object] = {"categorical": {"encoding": "embedding"}}
PERIODIC = {"name": "periodic", "frequencies": FREQUENCIES, "size": SIZE}
# Of each row what its data and model sections say besides.
MODELS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "one-hot categories, numbers as they are": ({}, {}),
    "categories embedded": (EMBEDDED, {}),
    "numbers periodic": ({}, {"numeric_embedding": PERIODIC}),
    "numbers piecewise-linear": ({}, {"numeric_embedding": "piecewise_linear"}),
    "numbers PBLD": ({}, {"numeric_embedding": "pbld"}),
    "categories embedded, numbers periodic": (EMBEDDED, {"numeric_embedding": PERIODIC}),
}
BOTH = "categories embedded, numbers periodic"
AUTOGRAD = "the same in torch's modules, autograd, fused AdamW"


def made_table() -> dict[str, object]:
    """The columns by their names."""
    rng = np.random.default_rng(0)
    columns: dict[str, object] = {f"n{place}": rng.standard_normal(ROWS) for place in range(NUMBERS)}
    for place, levels in enumerate(LEVELS):
        columns[f"c{place}"] = [f"level {code}" for code in rng.integers(0, levels, ROWS)]
    return columns | {"y": rng.choice(["no", "yes"], ROWS).tolist()}


class Periodic(nn.Module):
    """Cosines and sines of learnt frequencies and a linear layer for each column (Gorishniy et al., 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(0.1 * torch.randn(NUMBERS, FREQUENCIES))
        self.weight = nn.Parameter(torch.randn(NUMBERS, 2 * FREQUENCIES, SIZE) / (2 * FREQUENCIES) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(NUMBERS, SIZE))

    def forward(self, x: Tensor) -> Tensor:
        """Of (n, columns): (n, columns × size)."""
        angles = 2 * torch.pi * self.frequencies * x[..., None]
        parts = torch.cat([angles.cos(), angles.sin()], -1)
        return torch.relu(torch.einsum("ncp,cps->ncs", parts, self.weight) + self.bias).flatten(1)


class Network(nn.Module):
    """Of a matrix whose first columns are numbers and whose others hold the slots of categories."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.periodic = Periodic()
        self.embeddings = nn.ModuleList(
            nn.Embedding(levels + 2, size) for levels, size in zip(LEVELS, sizes, strict=True)
        )
        widths = (NUMBERS * SIZE + sum(sizes), WIDTH, WIDTH)
        hidden = [module for a, b in pairwise(widths) for module in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(WIDTH, 2))

    def forward(self, numbers: Tensor, slots: Tensor) -> Tensor:
        """Of (n, numbers) and (n, categories): (n, 2)."""
        vectors = [embed(slots[:, place]) for place, embed in enumerate(self.embeddings)]
        logits: Tensor = self.layers(torch.cat([self.periodic(numbers), *vectors], 1))
        return logits


def epochs_of_autograd(splits: Splits, experiment: Experiment) -> Iterator[None]:
    """What a careful user writes: data in memory, a fused optimizer."""
    layout = experiment.layout
    x, y = splits.train.inputs, splits.train.targets
    numbers = x[:, list(layout.numeric)].contiguous()
    slots = x[:, [place for place, _ in layout.coded]].long()
    model = Network([round(1.6 * (levels + 2) ** 0.56) for levels in LEVELS])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    while True:
        for rows in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(model(numbers[rows], slots[rows]), y[rows]))
            optimizer.step()
        yield


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    trained: dict[str, Iterator[object]] = {}
    with (
        holding(made_table()) as given,
        applied(resolve_device(device="cpu", precision="auto", threads=options.threads)),
    ):
        for title, (data, model) in MODELS.items():
            config = BASE | {"data": DATA | data, "model": MODEL | model}
            experiment = as_loaded(config, (), given).experiment
            splits = load_data(experiment)
            trained[title] = epochs_of([experiment], [splits], evaluate=False)
            if title == BOTH:
                trained[AUTOGRAD] = epochs_of_autograd(splits, experiment)
        samples: dict[str, list[float]] = {title: [] for title in trained}
        for index in range(options.rounds + 1):
            for title, epochs in trained.items():
                started = time.perf_counter()
                next(epochs)
                if index:  # the first round compiles
                    samples[title].append((time.perf_counter() - started) / -(-ROWS // BATCH))
    medians = {title: statistics.median(found) for title, found in samples.items()}
    machine = describe_machine()
    plain = medians[next(iter(MODELS))]
    print(f"{machine['processor']}, {machine['date']}, {options.threads} threads; milliseconds per step\n")
    print("| | ms | relative to the first |\n|---|---|---|")
    for title, median in medians.items():
        print(f"| {title} | {1e3 * median:.2f} | {median / plain:.2f} |")


if __name__ == "__main__":
    main()
