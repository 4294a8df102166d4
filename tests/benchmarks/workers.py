"""Two processes on one model against one process: seconds of an epoch, and ratios.

    python tests/benchmarks/workers.py [--rounds 1] [--data-dir DIR]

One process computes on one thread and on two, and two workers, as torchrun starts them, on one thread each. The figure
is the median over the epochs after the first, of all rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# Title: hidden layers, batch size, training rows.
CONFIGURATIONS = {
    "784-500-256-10, batch 64": ([500, 256], 64, 9_600),
    "784-500-256-10, batch 1,024": ([500, 256], 1_024, 20_480),
    "784-2048-2048-10, batch 1,024": ([2_048, 2_048], 1_024, 10_240),
}
KINDS = {"one process, one thread": (1, 1), "one process, two threads": (1, 2), "two workers": (2, 2)}
EPOCHS = 4


def seconds_of(title: str, kind: str, data_dir: Path | None) -> list[float]:
    """Seconds of every epoch but the first."""
    (hidden, batch_size, rows), (workers, threads) = CONFIGURATIONS[title], KINDS[kind]
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config, run = Path(folder) / "config.yaml", Path(folder) / "run"
        config.write_text(
            f"data: {{name: mnist, validation: 0, train_size: {rows}, test_size: 100}}\nmodel: {{hidden: {hidden}}}\n"
            "optimizer: {name: sgd, lr: 0.01}\n"
            f"training: {{batch_size: {batch_size}, epochs: {EPOCHS}, threads: {threads}}}\n",
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "mlptrain", "train", str(config), "--run-dir", str(run)]
        command += ["--data-dir", str(data_dir)] if data_dir else []
        started = []
        for rank in range(workers):
            numbers = {"RANK": rank, "WORLD_SIZE": workers, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": workers}
            launch = {name: str(number) for name, number in numbers.items()}
            environment = os.environ | launch | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            started.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
        if codes := [code for process in started if (code := process.wait())]:
            raise SystemExit(f"a training ended with exit status {max(codes)}: {title}, {kind}")
        lines = map(json.loads, (run / "timings.jsonl").read_text(encoding="utf-8").splitlines())
        return [line["training"] for line in lines if line["epoch"] > 1]


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    found: dict[tuple[str, str], list[float]] = {(title, kind): [] for title in CONFIGURATIONS for kind in KINDS}
    for _ in range(options.rounds):
        for (title, kind), seconds in found.items():
            seconds += seconds_of(title, kind, options.data_dir)
    print("\nmilliseconds per step\n")
    print(f"| | {' | '.join(KINDS)} |\n|---|{'---|' * len(KINDS)}")
    for title, (_, batch_size, rows) in CONFIGURATIONS.items():
        each = [1_000 * statistics.median(found[title, kind]) / (rows // batch_size) for kind in KINDS]
        print(f"| {title} | {' | '.join(f'{milliseconds:.2f}' for milliseconds in each)} |")


if __name__ == "__main__":
    main()
