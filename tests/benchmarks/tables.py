"""mlptrain beside scikit-learn's MLP, RealMLP and Ludwig on tables: the same splits.

    python -m tests.benchmarks.tables DIR [--splits 5] [--only NAME …]

Test rows, a fifth, are drawn by the seeds from 5 on; the recipe was settled on validation rows of the seeds 0 to 4. It
is one network, whose numeric embedding and dropout every split chooses on a fifth of its other rows; then it trains on
all of them. So do scikit-learn's MLPClassifier and MLPRegressor with
their defaults, on the inputs that mlptrain makes of the columns; the targets of its regression are scaled too.
RealMLP-TD (pytabkit) and Ludwig with their defaults, each left out where it is not installed, read the columns as they
are and hold out a fifth of the rows for the choice of their epoch; RealMLP reads missing numbers as the mean of the
training rows.

Four tables need no file; the others are ``DIR/misc/mpg.csv``, ``DIR/misc/abalone.csv``, ``DIR/keel/phoneme.dat``
and ``DIR/uci_regression/concrete/data.txt``.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from mlptrain.experiment import train_seeds
from mlptrain.experiment.build import load_data_of_seeds
from mlptrain.spec import load_spec

RECIPE: dict[str, Any] = {
    "model": {"hidden": [256, 256]},
    "optimizer": {"name": "adamw", "lr": 0.003, "weight_decay": 0.01},
    "schedule": {"name": "cosine", "warmup": 0.05},
    "training": {"batch_size": 32, "threads": 1},
}
FIRST_SEED = 5
DROPOUT = (0.3, 0.5, 0.1)
EPOCHS = {"none": 30, "piecewise_linear": 150}  # by numeric embedding
STEPS = 13_500  # at most
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
    """The configuration of a table."""
    data = TABLES[name] if "name" in TABLES[name] else {"name": "table"} | TABLES[name]
    if "path" in data:
        data = data | {"path": str(folder / data["path"])}
    config = {"name": name, "data": data | {"validation": 0}, **RECIPE}
    return config | {"loss": "mse", "evaluation": {"metrics": ["rmse"]}} if name in REGRESSIONS else config


def settings_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """What a split may choose from, as changes of the configuration: as many epochs long as ``STEPS`` allow."""
    rows = load_spec(config).experiment.facts.train_rows
    most = STEPS * config["training"]["batch_size"] // rows
    return [
        {"model.numeric_embedding": name, "model.dropout": rate, "training.epochs": min(epochs, most)}
        for name, epochs in EPOCHS.items()
        for rate in DROPOUT
    ]


def choice(tried: Sequence[dict[str, float]], *, rows: int, regression: bool) -> int:
    """Which setting a split takes by its figures of so many validation rows, where simpler ones are before others.

    The lowest loss of a regression; else the first whose accuracy is within a standard error of the highest.
    """
    if regression:
        return min(range(len(tried)), key=lambda index: tried[index]["validation_loss"])
    best = max(figures["validation_accuracy"] for figures in tried)
    least = best - math.sqrt(best * (1 - best) / rows)
    return next(index for index, figures in enumerate(tried) if figures["validation_accuracy"] >= least)


def of_mlptrain(config: dict[str, Any], seeds: Sequence[int], *, regression: bool) -> list[float]:
    """Accuracy or RMSE of every seed on its test rows."""

    def kept(seeds: Sequence[int], changes: dict[str, Any], validation: float) -> list[dict[str, float]]:
        changes = changes | {"data.validation": validation, "evaluation.keep": "last"}
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder) / "runs"
            found = train_seeds(load_spec(config, changes), seeds, run_dir=run_dir, on_note=lambda _: None)
            return [outcome.result.plain()["kept"] for outcome in found.outcomes]

    settings = settings_of(config)
    tried = [kept(seeds, changes, 0.2) for changes in settings]
    rows = load_spec(config, {"data.validation": 0.2}).experiment.facts.validation_rows
    best = [choice(of_seed, rows=rows, regression=regression) for of_seed in zip(*tried, strict=True)]
    figures: dict[int, float] = {}
    for index, changes in enumerate(settings):
        if chosen := [seed for seed, found in zip(seeds, best, strict=True) if found == index]:
            tested = kept(chosen, changes, 0)
            key = "test_rmse" if regression else "test_accuracy"
            figures |= {seed: of_seed[key] for seed, of_seed in zip(chosen, tested, strict=True)}
    return [figures[seed] for seed in seeds]


def of_scikit_learn(config: dict[str, Any], seed: int) -> float:
    """Accuracy or RMSE on the test rows."""
    [splits] = load_data_of_seeds([load_spec(config).experiment.changed(seed=seed)])
    assert splits.test is not None
    x, y = splits.train.inputs.numpy(), splits.train.targets.numpy()
    tested, true = splits.test.inputs.numpy(), splits.test.targets.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if config["name"] not in REGRESSIONS:
            return _accuracy(MLPClassifier(random_state=seed).fit(x, y).predict(tested), true)
        mean, std = y.mean(), y.std()
        model = MLPRegressor(random_state=seed).fit(x, (y[:, 0] - mean) / std)
    return _rmse(model.predict(tested) * std + mean, true[:, 0])


class Raw(NamedTuple):
    """Columns as they are, and their targets; categories are numbered, −1 where one is missing."""

    columns: dict[str, NDArray[np.float64]]
    categorical: frozenset[str]
    y: NDArray[Any]
    train: NDArray[np.intp]
    test: NDArray[np.intp]

    @classmethod
    def of(cls, config: dict[str, Any], seed: int) -> Raw:
        """Of a table, with the split of a seed."""
        experiment = load_spec(config).experiment.changed(seed=seed)
        raw = experiment.data.source().read(seed=seed, folder=Path())
        [splits] = load_data_of_seeds([experiment])
        assert splits.test is not None
        assert splits.train.index is not None
        assert splits.test.index is not None
        named = {column.name: raw.x[:, at].astype(float) for at, column in enumerate(experiment.facts.columns)}
        categorical = frozenset(column.name for column in experiment.facts.columns if column.kind == "categorical")
        columns = {name: np.nan_to_num(x, nan=-1) if name in categorical else x for name, x in named.items()}
        y = raw.y[:, 0] if experiment.facts.is_regression else raw.y
        return cls(columns, categorical, y, splits.train.index.numpy(), splits.test.index.numpy())


def of_real_mlp(config: dict[str, Any], seed: int) -> float:
    """Accuracy or RMSE on the test rows of RealMLP-TD (Holzmüller et al., 2024). Raises ModuleNotFoundError."""
    import pandas as pd
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    raw, regression = Raw.of(config, seed), config["name"] in REGRESSIONS
    frame = pd.DataFrame(raw.columns)
    for name in frame:
        if name in raw.categorical:
            frame[name] = frame[name].astype(int).astype("category")
        else:
            frame[name] = frame[name].fillna(frame[name].iloc[raw.train].mean())
    kind = RealMLP_TD_Regressor if regression else RealMLP_TD_Classifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(random_state=seed, device="cpu", n_threads=1, verbosity=0)
        predicted = model.fit(frame.iloc[raw.train], raw.y[raw.train]).predict(frame.iloc[raw.test])
    return (_rmse if regression else _accuracy)(predicted, raw.y[raw.test])


def of_ludwig(config: dict[str, Any], seed: int) -> float:
    """Accuracy or RMSE on the test rows of Ludwig's own network for these columns. Raises ModuleNotFoundError."""
    import pandas as pd
    from ludwig.api import LudwigModel

    raw, regression = Raw.of(config, seed), config["name"] in REGRESSIONS
    frame = pd.DataFrame(raw.columns | {"target": raw.y})
    coded = [*raw.categorical] if regression else [*raw.categorical, "target"]
    frame[coded] = frame[coded].astype(int).astype(str)
    kinds = {name: "category" if name in raw.categorical else "number" for name in raw.columns}
    model = LudwigModel(
        {
            "input_features": [{"name": name, "type": kind} for name, kind in kinds.items()],
            "output_features": [{"name": "target", "type": "number" if regression else "category"}],
            "preprocessing": {"split": {"type": "random", "probabilities": [0.8, 0.2, 0.0]}},
        },
        logging_level=logging.ERROR,
        backend="local",
    )
    nothing = ("training_description", "training_statistics", "model", "progress", "log", "processed_input")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        rows = frame.iloc[raw.train].reset_index(drop=True)
        model.train(rows, output_directory=folder, random_seed=seed, **{f"skip_save_{what}": True for what in nothing})
        found, _ = model.predict(frame.iloc[raw.test].reset_index(drop=True))
    predicted = found["target_predictions"].astype(float).to_numpy()
    return (_rmse if regression else _accuracy)(predicted, raw.y[raw.test])


PEERS = {"scikit-learn": of_scikit_learn, "RealMLP-TD": of_real_mlp, "Ludwig": of_ludwig}


def _accuracy(predicted: NDArray[Any], true: NDArray[Any]) -> float:
    return float((predicted == true).mean())


def _rmse(predicted: NDArray[Any], true: NDArray[Any]) -> float:
    return float(np.sqrt(((predicted - true) ** 2).mean()))


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
    parser.add_argument("--beside", nargs="*", choices=list(PEERS), default=list(PEERS), metavar="PEER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.splits)
    peers = "".join(f" {name} | ahead by |" for name in arguments.beside)
    print(f"| table | mlptrain |{peers} seconds of a split |\n|{'---|' * (3 + 2 * len(arguments.beside))}")
    for name in arguments.only:
        config = config_of(name, arguments.folder)
        regression = name in REGRESSIONS
        started = time.process_time()
        ours = of_mlptrain(config, seeds, regression=regression)
        took = [f"{(time.process_time() - started) / len(seeds):.1f}"]
        row = [f"{name}, {'RMSE' if regression else 'accuracy'}", interval(ours)]
        for peer in arguments.beside:
            started = time.process_time()
            try:
                theirs = [PEERS[peer](config, seed) for seed in seeds]
            except ModuleNotFoundError:
                row, took = [*row, "–", "–"], [*took, "–"]
                continue
            took.append(f"{(time.process_time() - started) / len(seeds):.1f}")
            row += [interval(theirs), interval(ahead(ours, theirs, regression=regression))]
        print(f"| {' | '.join(row)} | {', '.join(took)} |", flush=True)


if __name__ == "__main__":
    main()
