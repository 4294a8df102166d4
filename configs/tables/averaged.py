"""The networks of a group of seeds, averaged: an ensemble, which is another class than one network.

    python configs/tables/averaged.py GROUP [--split test]

Prints accuracy or RMSE of each network's own, their mean and sample standard deviation, and that of the mean of their
probabilities or values. All seeds must have the same rows in the split, as where it is stored in a file of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import mlptrain
from mlptrain.inference.evaluate import load_split
from mlptrain.training.metrics import predicted_classes, probabilities


@torch.no_grad()
def predictions(run: Path, split: str) -> tuple[Tensor, Tensor, bool]:
    """Probabilities (n, classes) or values (n, targets) of a run's kept weights, the targets, whether it classifies."""
    network = mlptrain.load(run)
    _, examples = load_split(network.checkpoint, split)
    outputs, classifies = network(examples.inputs), network.gives_probabilities
    return probabilities(outputs) if classifies else outputs.double(), examples.targets, classifies


def figure(predicted: Tensor, targets: Tensor, *, classifies: bool) -> float:
    """Accuracy, or RMSE."""
    if classifies:
        return float((predicted_classes(predicted) == targets).double().mean())
    return float((predicted - targets).square().mean().sqrt())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", type=Path, metavar="GROUP")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    arguments = parser.parse_args()
    runs = sorted(arguments.group.glob("seed-*"), key=lambda run: int(run.name.partition("-")[2]))
    if not runs:
        parser.error(f"{arguments.group} is not the folder of several seeds")
    found = [predictions(run, arguments.split) for run in runs]
    _, targets, classifies = found[0]
    if any(not torch.equal(targets, of) for _, of, _ in found):
        parser.error(f"the seeds differ in their {arguments.split} rows, which are drawn; store these in a file")
    singles = [figure(predicted, targets, classifies=classifies) for predicted, _, _ in found]
    mean = torch.tensor(singles, dtype=torch.float64)
    averaged = figure(torch.stack([predicted for predicted, _, _ in found]).mean(dim=0), targets, classifies=classifies)
    print(f"{'accuracy' if classifies else 'RMSE'} of each: {' '.join(f'{one:.4f}' for one in singles)}")
    print(f"mean {mean.mean():.4f} ± {mean.std():.4f}; all {len(runs)} averaged {averaged:.4f}")


if __name__ == "__main__":
    main()
