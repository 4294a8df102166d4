"""How often the verdicts of a comparison are right: simulated comparisons whose truth is known.

    python tests/benchmarks/verdict_simulation.py [--comparisons 2000] [--seeds 10] [--noise 0.002]

A simulated accuracy is 0.97, plus what the seed does to every optimizer alike (its initial weights and batches; the
pairing takes it out again), plus the optimizer's own noise, rounded to whole images of a test set of 10,000. Both are
normal; ``--noise`` is the standard deviation of the own noise, as an accuracy, and the seed's is 0.001.

Measured to choose them, on MNIST (784-392-196-98-10, batch 2,500, 8 epochs on all 60,000 images, test accuracy,
seeds 0 to 9): a standard deviation of 0.16 points with Nesterov's momentum (lr 0.1), 0.14 with Adam (lr 0.003), and
0.18 for their paired difference. The default, 0.2 points of own noise a run, makes it 0.28: harder than measured.

Rows: two equal optimizers; one of two better by 0.5 points; six equal ones (15 pairs, an error is any *better* or
*worse* among them); six of which one is better by 0.5 points (an error is any among the other five); and fifteen, 105
pairs, likewise, with at least 14 seeds: with fewer than 13 there would be no verdict.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from mlptrain.comparison.statistics import smallest_detectable
from mlptrain.comparison.verdicts import compare_all
from mlptrain.runs.comparison import Pair

TEST_IMAGES = 10_000
PLANTED = 0.005
CLAIMS = ("better", "worse")
# Of the 10,000 that the tool takes: two fifths of the time, and the verdicts rest on the exact test.
RESAMPLES = 1999


def simulated(
    *, comparisons: int, seeds: int, optimizers: int, noise: float, advantage: float, resamples: int = RESAMPLES
) -> Iterator[list[Pair]]:
    """Yields the verdicts of one comparison after the other; the first optimizer is better by ``advantage``."""
    generator = np.random.default_rng(2024)
    for _ in range(comparisons):
        common = generator.normal(0.97, 0.001, seeds)
        accuracies = common + generator.normal(0, noise, (optimizers, seeds))
        accuracies[0] += advantage
        accuracies = np.round(accuracies * TEST_IMAGES) / TEST_IMAGES
        scores = {f"optimizer {i}": row.tolist() for i, row in enumerate(accuracies)}
        yield compare_all(scores, resamples=resamples)


def false_claim(pairs: list[Pair], *, planted: bool) -> bool:
    """Whether any verdict is *better* or *worse* among optimizers that are equal."""
    return any(pair.verdict in CLAIMS for pair in pairs if not (planted and pair.a == "optimizer 0"))


def main() -> None:
    """Simulate, and print one row per kind of comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--noise", type=float, default=0.002)
    options = parser.parse_args()
    table = Table(
        "optimizers", "advantage", "a false claim", "verdicts on the first optimizer", title=str(vars(options))
    )
    for optimizers in (2, 6, 15):
        seeds = max(options.seeds, 14) if optimizers == 15 else options.seeds
        for advantage in (0.0, PLANTED):
            errors, verdicts = 0, Counter[str]()
            given = {"comparisons": options.comparisons, "noise": options.noise, "seeds": seeds}
            for pairs in simulated(optimizers=optimizers, advantage=advantage, **given):
                errors += false_claim(pairs, planted=advantage > 0)
                verdicts.update(pair.verdict for pair in pairs if pair.a == "optimizer 0")
            shares = ", ".join(f"{name} {count / verdicts.total():.2%}" for name, count in verdicts.most_common())
            error = f"{errors / options.comparisons:.2%}"
            table.add_row(str(optimizers), f"{100 * advantage:.1f} points", error, shares)
    console = Console()
    console.print(table)
    for pairs_shown in (1, 15, 105):
        seeds = max(options.seeds, 14) if pairs_shown == 105 else options.seeds
        least = smallest_detectable(seeds, pairs=pairs_shown, spread=2**0.5 * options.noise)
        console.print(
            f"{pairs_shown} pairs, {seeds} seeds: a difference of {100 * least:.2f} points is *better* in 80 %"
        )


if __name__ == "__main__":
    main()
