"""How much longer one, two and four trainings take when they run at the same time: whole commands, and ratios.

    python tests/benchmarks/at_once.py [--rounds 3] [--data-dir DIR]

Each row trains the same configurations side by side, each a process of its own, started together; its figure is the
time of the slowest divided by the time that the slowest of them takes alone in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

CONFIGURATIONS = {
    "784-500-256-10, batch 64": ("mnist", [500, 256], 64, 6),
    "784-64-10, batch 125": ("mnist", [64], 125, 30),
    "64-64-10, batch 32": ("digits", [64], 32, 1500),
}
_MIXED = tuple(CONFIGURATIONS)[:2], tuple(CONFIGURATIONS)[::2], tuple(CONFIGURATIONS)[1:]


def configuration(name: str) -> str:
    """The YAML of one of the workloads."""
    data, hidden, batch_size, epochs = CONFIGURATIONS[name]
    return (
        f"data: {{name: {data}, validation: 0}}\nmodel: {{hidden: {hidden}}}\noptimizer: {{name: sgd, lr: 0.01}}\n"
        f"training: {{batch_size: {batch_size}, epochs: {epochs}}}\n"
    )


def seconds_of(names: Sequence[str], data_dir: Path | None) -> float:
    """Seconds until the last of these trainings, started together, has ended."""
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for number, name in enumerate(names):
            config = Path(folder) / f"{number}.yaml"
            config.write_text(configuration(name), encoding="utf-8")
            commands.append([sys.executable, "-m", "mlptrain", "train", str(config), "--run-dir", f"{folder}/{number}"])
            commands[-1] += ["--data-dir", str(data_dir)] if data_dir else []
        started = time.perf_counter()
        processes = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands
        ]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise SystemExit(f"a training ended with exit status {max(codes)}: {names}")
        return time.perf_counter() - started


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    together = [(name,) * count for name in CONFIGURATIONS for count in (2, 4)] + list(_MIXED)
    ratios: dict[tuple[str, ...], list[float]] = {names: [] for names in together}
    alone: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    for _ in range(options.rounds):
        for name, found in alone.items():
            found.append(seconds_of([name], options.data_dir))
        for names, found in ratios.items():
            found.append(seconds_of(names, options.data_dir) / max(alone[name][-1] for name in names))
    for name, found in alone.items():
        print(f"alone: {name}: {statistics.median(found):.1f} s")
    print("\n| at the same time | times as long as alone |\n|---|---|")
    for names, found in ratios.items():
        title = f"{len(names)} × {names[0]}" if len(set(names)) == 1 else " and ".join(names)
        print(f"| {title} | {statistics.median(found):.2f} |")


if __name__ == "__main__":
    main()
