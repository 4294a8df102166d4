"""How many times faster a comparison runs than the loop of the course notebook would take for the same trials.

The shipped comparison of four settings over ten seeds runs whole, as a command in a process of its own, `import torch`
and the pictures included. Before and after it, single training epochs of the notebook's loop (DataLoader, ToTensor for
every image, autograd, torch.optim, one model) are timed for every setting; what its trials would take is the number of
epochs times their median. The notebook's own evaluations are left out, ours are not.

    python tests/benchmarks/comparison_speed.py [--epochs 2] [--run-dir DIR]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a script

from mlptrain.sources.store import data_folder  # noqa: E402
from mlptrain.spec.comparison.load import load_comparison  # noqa: E402
from tests.benchmarks.machine import describe_machine  # noqa: E402

COMPARISON = ROOT / "configs/comparisons/mnist_four_settings.yaml"
SETTINGS: dict[str, Any] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    "Nesterov": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    "Adam lr 1": lambda parameters: torch.optim.Adam(parameters, lr=1.0),
}


def notebook_epoch(setting: str, *, folder: Path, widths: Sequence[int], batch_size: int) -> float:
    """Seconds of one training epoch of the notebook's loop."""
    import torchvision

    transform = torchvision.transforms.ToTensor()
    dataset = torchvision.datasets.MNIST(str(folder), train=True, transform=transform)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer, loss_function = SETTINGS[setting](model.parameters()), nn.CrossEntropyLoss()
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True)
    total, started = 0.0, time.perf_counter()
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    return time.perf_counter() - started


def main() -> None:
    """Time both and print seconds and factor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1, help="notebook epochs per setting, before and again after")
    parser.add_argument("--run-dir", type=Path, help="keep the comparison's folder here; default: a temporary one")
    options = parser.parse_args()
    comparison = load_comparison(COMPARISON)
    base, seeds = comparison.base, len(comparison.spec.scoring_seeds)
    assert set(SETTINGS) == set(comparison.spec.optimizers)
    seconds: dict[str, list[float]] = {setting: [] for setting in SETTINGS}

    def notebook() -> None:
        for setting in list(SETTINGS) * options.epochs:
            seconds[setting].append(
                notebook_epoch(setting, folder=data_folder(None), widths=base.widths, batch_size=base.batch_size)
            )

    with tempfile.TemporaryDirectory() as folder:
        run_dir = options.run_dir or Path(folder) / "run"
        notebook()
        started = time.perf_counter()
        command = [sys.executable, "-m", "mlptrain", "compare-optimizers", str(COMPARISON), "--run-dir", str(run_dir)]
        subprocess.run(command, check=True, cwd=ROOT)
        ours = time.perf_counter() - started
        notebook()
    theirs = sum(statistics.median(epochs) for epochs in seconds.values()) * base.training.epochs * seeds
    print(describe_machine())
    for setting, epochs in seconds.items():
        print(f"notebook epoch, {setting}: " + ", ".join(f"{value:.2f}" for value in epochs) + " s")
    trials = len(SETTINGS) * seeds
    print(
        f"{trials} trials of {base.training.epochs} epochs: ours {ours:.0f} s, notebook {theirs:.0f} s (extrapolated)"
    )
    print(f"factor {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
