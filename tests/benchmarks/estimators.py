"""``mlptrain.sklearn`` beside scikit-learn's own MLP on ten tables: the same splits, both with their defaults.

    python -m tests.benchmarks.estimators DIR [--splits 5] [--first 5] [--only NAME …] [--set ARGUMENT=VALUE …]

Test rows, a fifth, are drawn by the seeds from ``--first`` on, of classes with their shares. mlptrain's estimators are
given the data frame. scikit-learn's get what its own transformers make of it: missing numbers become medians, numbers
are standardised, categories one-hot, and the targets of a regression standardised too. Seconds are those of ``fit``,
with these transformers, on one thread.

Three tables need no file; the others are in the folders that ``TABLES`` names below DIR.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mlptrain.sklearn
from mlptrain.sources.tables.read import read_table
from mlptrain.sources.tables.shipped import SHIPPED
from tests.benchmarks.tables import ahead, interval

TABLES: dict[str, dict[str, Any]] = {
    "penguins": {"target": "species"},
    "breast_cancer": {"target": "diagnosis"},
    "phoneme": {"path": "keel/phoneme.dat"},
    "credit-g": {"path": "arff/credit-g.arff"},
    "bank": {"path": "misc/bank.csv"},
    "diabetes": {"target": "progression"},
    "concrete": {"path": "uci_regression/concrete/data.txt", "header": False},
    "energy": {"path": "uci_regression/energy/data.txt", "header": False},
    "mpg": {"path": "misc/mpg.csv", "target": "mpg", "without": ["name"]},
    "abalone": {"path": "misc/abalone.csv"},
}
REGRESSIONS = ("diabetes", "concrete", "energy", "mpg", "abalone")


def rows_of(name: str, folder: Path) -> tuple[Any, NDArray[Any]]:
    """A data frame of pandas with the inputs, texts as categories, and the targets."""
    import pandas as pd

    table = TABLES[name]
    options = {"header": table["header"]} if "header" in table else {}
    read = read_table(folder / table["path"], **options) if "path" in table else SHIPPED[name].read()
    target = table.get("target", read.frame.columns[-1])
    frame = read.frame.filter(read.frame[target].is_not_null()).drop(table.get("without", []))
    whole = pd.DataFrame({one.name: one.to_numpy() if one.dtype.is_numeric() else one.to_list() for one in frame})
    for column in whole.columns:
        if not pd.api.types.is_numeric_dtype(whole[column]):
            whole[column] = whole[column].astype("category")
    y = np.asarray(whole.pop(target))
    return whole, y.astype(float) if name in REGRESSIONS else y


def of_scikit_learn(seed: int, *, regression: bool) -> Any:
    """scikit-learn's MLP with its defaults behind its own transformers."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    inputs = ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("categories", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        ]
    )
    if regression:
        scaled = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
        return make_pipeline(inputs, scaled)
    return make_pipeline(inputs, MLPClassifier(random_state=seed))


def measured(model: Any, parts: Sequence[Any], *, regression: bool) -> tuple[float, float]:
    """Accuracy or RMSE of a fit on its test rows, and the seconds of the fit."""
    x, tested, y, true = parts
    started = time.perf_counter()
    model.fit(x, y)
    seconds = time.perf_counter() - started
    predicted = model.predict(tested)
    return float(np.sqrt(((predicted - true) ** 2).mean()) if regression else (predicted == true).mean()), seconds


def main() -> None:
    """Print a row for every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--first", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(TABLES), default=list(TABLES), metavar="NAME")
    parser.add_argument("--set", nargs="*", default=[], metavar="ARGUMENT=VALUE", help="of mlptrain's, in Python")
    arguments = parser.parse_args()
    settings = {name: eval(value) for name, _, value in (one.partition("=") for one in arguments.set)}
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"| table, rows | mlptrain | scikit-learn | ahead by | seconds of a fit, each |\n|{'---|' * 5}")
    for name in arguments.only:
        regression = name in REGRESSIONS
        x, y = rows_of(name, arguments.folder)
        figures: list[list[tuple[float, float]]] = [[], []]
        for seed in range(arguments.first, arguments.first + arguments.splits):
            parts = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=None if regression else y)
            kind = mlptrain.sklearn.MLPRegressor if regression else mlptrain.sklearn.MLPClassifier
            models = kind(random_state=seed, **settings), of_scikit_learn(seed, regression=regression)
            for found, model in zip(figures, models, strict=True):
                found.append(measured(model, parts, regression=regression))
        ours, theirs = ([figure for figure, _ in found] for found in figures)
        took = ", ".join(f"{np.median([seconds for _, seconds in found]):.2f}" for found in figures)
        difference = interval(ahead(ours, theirs, regression=regression))
        what = f"{name}, {len(x):,}, {'RMSE' if regression else 'accuracy'}"
        print(f"| {what} | {interval(ours)} | {interval(theirs)} | {difference} | {took} |", flush=True)


if __name__ == "__main__":
    main()
