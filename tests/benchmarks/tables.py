"""mlptrain beside scikit-learn's MLP and RealMLP on tables: the same splits.

    python -m tests.benchmarks.tables DIR [--splits 5] [--only NAME …]

Test rows, a fifth, are drawn by the seeds from 5 on; the recipe was tried on those of 0 to 4. One recipe of mlptrain,
whose dropout every split chooses on a fifth of its other rows, against scikit-learn's MLPClassifier and MLPRegressor
with their defaults. Both then train on all other rows and read the inputs that mlptrain makes of the columns; the
targets of scikit-learn's regression are scaled too. RealMLP-TD with its defaults (pytabkit, left out where that is not
installed) reads the columns as they are, missing numbers as the mean of the training rows, and holds out a fifth of
these for the choice of its epoch.

Four tables need no file; the others are ``DIR/misc/mpg.csv``, ``DIR/misc/abalone.csv``, ``DIR/keel/phoneme.dat``
and ``DIR/uci_regression/concrete/data.txt``.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from mlptrain.data import Splits
from mlptrain.experiment import train_seeds
from mlptrain.experiment.build import load_data_of_seeds
from mlptrain.spec import load_spec

RECIPE: dict[str, Any] = {
    "model": {"hidden": [128, 128], "dropout": 0.3},
    "optimizer": {"name": "adamw", "lr": 0.003, "weight_decay": 0.01},
    "schedule": {"name": "cosine", "warmup": 0.05},
    "training": {"batch_size": 32, "threads": 1},
}
FIRST_SEED = 5
STEPS = 5000  # at most
DROPOUT = (0.1, 0.3, 0.5)
TABLES: dict[str, dict[str, Any]] = {
    "penguins": {"name": "penguins"},
    "wine": {"name": "wine"},
    "breast_cancer": {"name": "breast_cancer"},
    "phoneme": {"path": "keel/phoneme.dat", "target": -1},
    "diabetes": {"name": "diabetes"},
    "concrete": {"path": "uci_regression/concrete/data.txt", "target": -1, "header": False},
    "mpg": {"path": "misc/mpg.csv", "target": "mpg"},
    "abalone": {"path": "misc/abalone.csv", "target": -1, "task": "regression"},
}
REGRESSIONS = ("diabetes", "concrete", "mpg", "abalone")


def config_of(name: str, folder: Path) -> dict[str, Any]:
    """The configuration of a table, as many epochs long as ``STEPS`` allow."""
    data = TABLES[name] if "name" in TABLES[name] else {"name": "table"} | TABLES[name]
    if "path" in data:
        data = data | {"path": str(folder / data["path"])}
    config = {"name": name, "data": data | {"validation": 0}, **RECIPE}
    facts = load_spec(config | {"loss": "mse"} if name in REGRESSIONS else config).experiment.facts
    config["training"] = RECIPE["training"] | {"epochs": min(100, STEPS * 32 // facts.train_rows)}
    if not facts.is_regression:
        return config
    return config | {"loss": "mse", "evaluation": {"metrics": ["rmse"]}}


def of_mlptrain(config: dict[str, Any], seeds: Sequence[int], *, key: str) -> list[float]:
    """Accuracy or RMSE of every seed on its test rows."""

    def kept(seeds: Sequence[int], dropout: float, validation: float, key: str) -> list[float]:
        changes = {"model.dropout": dropout, "data.validation": validation, "evaluation.keep": "last"}
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder) / "runs"
            found = train_seeds(load_spec(config, changes), seeds, run_dir=run_dir, on_note=lambda _: None)
            return [outcome.result.plain()["kept"][key] for outcome in found.outcomes]

    losses = np.array([kept(seeds, dropout, 0.2, "validation_loss") for dropout in DROPOUT])
    figures: dict[int, float] = {}
    for index, dropout in enumerate(DROPOUT):
        if chosen := [seed for seed, best in zip(seeds, losses.argmin(axis=0), strict=True) if best == index]:
            figures |= zip(chosen, kept(chosen, dropout, 0, key), strict=True)
    return [figures[seed] for seed in seeds]


def of_scikit_learn(splits: Splits, *, regression: bool, seed: int) -> float:
    """Accuracy or RMSE on the test rows."""
    assert splits.test is not None
    x, y = splits.train.inputs.numpy(), splits.train.targets.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if not regression:
            model = MLPClassifier(random_state=seed).fit(x, y)
            return float((model.predict(splits.test.inputs.numpy()) == splits.test.targets.numpy()).mean())
        mean, std = y.mean(), y.std()
        model = MLPRegressor(random_state=seed).fit(x, (y[:, 0] - mean) / std)
    errors = model.predict(splits.test.inputs.numpy()) * std + mean - splits.test.targets.numpy()[:, 0]
    return float(np.sqrt((errors**2).mean()))


def of_real_mlp(config: dict[str, Any], seed: int) -> float:
    """Accuracy or RMSE on the test rows of RealMLP-TD (Holzmüller et al., 2024). Raises ModuleNotFoundError."""
    import pandas as pd
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    experiment = load_spec(config).experiment.changed(seed=seed)
    raw = experiment.data.source().read(seed=seed, folder=Path())
    [splits] = load_data_of_seeds([experiment])
    assert splits.test is not None
    assert splits.train.index is not None
    assert splits.test.index is not None
    rows, tested = splits.train.index.numpy(), splits.test.index.numpy()
    frame = pd.DataFrame(raw.x, columns=[column.name for column in experiment.facts.columns])
    for column in experiment.facts.columns:
        values = frame[column.name]
        if column.kind == "categorical":
            frame[column.name] = values.fillna(-1).astype(int).astype("category")
        else:
            frame[column.name] = values.fillna(values.iloc[rows].mean())
    y = raw.y if not experiment.facts.is_regression else raw.y[:, 0]
    kind = RealMLP_TD_Regressor if experiment.facts.is_regression else RealMLP_TD_Classifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(random_state=seed, device="cpu", n_threads=1, verbosity=0).fit(frame.iloc[rows], y[rows])
        predicted = model.predict(frame.iloc[tested])
    if not experiment.facts.is_regression:
        return float((predicted == y[tested]).mean())
    return float(np.sqrt(((predicted - y[tested]) ** 2).mean()))


def interval(values: Sequence[float]) -> str:
    """Mean and half of its 95 % interval, by Student's t over the splits."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    decimals = 4 if half < 1e-9 else max(0, 1 - math.floor(math.log10(half)))
    return f"{np.mean(values):.{decimals}f} ± {half:.{decimals}f}"


def ahead(ours: Sequence[float], theirs: Sequence[float], *, regression: bool) -> list[float]:
    """By how much ours is better, split by split."""
    return [(b - a) * (1 if regression else -1) for a, b in zip(ours, theirs, strict=True)]


def main() -> None:
    """Print a row for every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(TABLES), default=list(TABLES), metavar="NAME")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.splits)
    print(
        "| table | figure | mlptrain | scikit-learn | ahead by | RealMLP-TD | ahead by | seconds of a split |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name in arguments.only:
        config = config_of(name, arguments.folder)
        regression = name in REGRESSIONS
        started = time.process_time()
        ours = of_mlptrain(config, seeds, key="test_rmse" if regression else "test_accuracy")
        seconds = time.process_time() - started
        started = time.process_time()
        experiment = load_spec(config).experiment
        splits = load_data_of_seeds([experiment.changed(seed=seed) for seed in seeds])
        theirs = [
            of_scikit_learn(of_seed, regression=regression, seed=seed)
            for seed, of_seed in zip(seeds, splits, strict=True)
        ]
        took = [seconds, time.process_time() - started]
        row = [name, "RMSE" if regression else "accuracy", interval(ours)]
        row += [interval(theirs), interval(ahead(ours, theirs, regression=regression))]
        try:
            started = time.process_time()
            real = [of_real_mlp(config, seed) for seed in seeds]
            took.append(time.process_time() - started)
            row += [interval(real), interval(ahead(ours, real, regression=regression))]
        except ModuleNotFoundError:
            row += ["–", "–"]
        print(f"| {' | '.join(row)} | {', '.join(f'{one / len(seeds):.1f}' for one in took)} |", flush=True)


if __name__ == "__main__":
    main()
