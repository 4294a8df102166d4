"""How many times faster a search is than its trials would be, each as an `mlptrain train` of its own.

64 learning rates of 784-64-10 on MNIST, 50,000 training and 10,000 validation rows, batches of 128, Adam. The search
runs whole, as a command in a process of its own: imports, draws, the three trainings that score the best setting, and
pictures included. Before and after it a single training of as many epochs runs as a command, at several rates; the
trials would take the median of these times 64. A training also scores its training and test rows and writes its
checkpoints, which a trial does not.

    python tests/benchmarks/search.py [--cases halved:9,whole:9,whole:2,whole:1] [--trials 64] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a script

from tests.benchmarks.machine import describe_machine  # noqa: E402

RATES = (0.0003, 0.003, 0.03)


def base(epochs: int, threads: int) -> dict[str, object]:
    """The experiment of every trial."""
    return {
        "data": {"name": "mnist", "validation": 10000},
        "model": {"hidden": [64]},
        "optimizer": {"name": "adam", "lr": 0.001},
        "training": {"epochs": epochs, "batch_size": 128, "device": "cpu", "threads": threads},
    }


def seconds_of(*arguments: str) -> tuple[float, float]:
    """Of `mlptrain` with these arguments, in a process of its own: by the clock, and of the processor."""
    started, used = time.perf_counter(), _processor_seconds()
    subprocess.run([sys.executable, "-m", "mlptrain", *arguments], check=True, cwd=ROOT, capture_output=True)
    return time.perf_counter() - started, _processor_seconds() - used


def _processor_seconds() -> float:
    """Those of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def measure(folder: Path, *, pruner: str, epochs: int, trials: int, threads: int) -> None:
    """Print the seconds of a search, of its parts, and of one training."""
    experiment, config = folder / "base.yaml", folder / "search.yaml"
    experiment.write_text(json.dumps(base(epochs, threads)))
    search = {
        "base": "base.yaml",
        "space": {"optimizer.lr": {"log_uniform": [1e-4, 1e-1]}},
        "method": "random",
        "trials": trials,
        "prune": "halving" if pruner == "halved" else "none",
    }
    config.write_text(json.dumps(search))

    def trainings(name: str) -> list[tuple[float, float]]:
        return [
            seconds_of(
                "train", str(experiment), "--set", f"optimizer.lr={lr}", "--run-dir", str(folder / f"{name}{lr}")
            )
            for lr in RATES
        ]

    before = trainings("before")
    whole = seconds_of("search", str(config), "--run-dir", str(folder / "search"))
    singles = list(zip(*before, *trainings("after"), strict=True))
    parts = json.loads((folder / "search/timings.json").read_text())
    together = {batch for batch, names in parts["trials"].items() if len(names) > 1}
    batches = sum(seconds for batch, seconds in parts["seconds"].items() if batch in together)
    scoring = sum(parts["seconds"].values()) - batches
    trained = json.loads((folder / "search/summary.json").read_text())["trained_epochs"]
    print(f"{pruner}, {epochs} epochs: {trained} epochs trained in {batches:.1f} s, scored in {scoring:.1f} s")
    for what, mine, theirs in zip(("clock", "processor"), whole, map(statistics.median, singles), strict=True):
        print(
            f"  {what}: search {mine:.1f} s, a training {theirs:.2f} s, {trials} of them {trials * theirs:.0f} s "
            f"(extrapolated), factor {trials * theirs / mine:.1f}",
            flush=True,
        )


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="halved:9,whole:9,whole:2,whole:1", help="halved or whole, and the epochs")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(describe_machine())
    for case in options.cases.split(","):
        pruner, _, epochs = case.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), pruner=pruner, epochs=int(epochs), trials=options.trials, threads=options.threads)


if __name__ == "__main__":
    main()
