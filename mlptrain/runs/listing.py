"""The table of runs in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from mlptrain.errors import MlptrainError, UserError
from mlptrain.runs.comparison import ComparisonFiles
from mlptrain.runs.folder import RunFolder, runs_of_group
from mlptrain.runs.group import RunGroup
from mlptrain.runs.records import figures_of
from mlptrain.runs.search import SearchFiles
from mlptrain.spec import describe_model, describe_optimizer
from mlptrain.spec.base import either
from mlptrain.spec.choosing import higher_is_better
from mlptrain.spec.kinds import COMPARISON, study_in
from mlptrain.spec.reader import read_file
from mlptrain.system.lock import is_locked
from mlptrain.system.paths import AnyPath, user_path


@dataclass(frozen=True)
class RunSummary:
    """One run in the table.

    ``status`` is completed, stopped early, diverged, running, interrupted, damaged, or outdated: of an earlier version.
    ``metric`` names the value in ``value`` (the accuracy where there is one, else the loss) of the weights the run
    stands for; ``figures`` holds all that there are, of an unfinished run those measured after its last epoch.
    ``epoch`` is the last one trained, of ``epochs``; ``age`` is in seconds.

    ``what`` is a run, or a comparison or search, which has a ``name`` and so many recorded ``trials``, and whose value
    is the mean over scoring seeds of what is ``best`` in it.
    """

    path: Path
    status: str
    data: str = ""
    model: str = ""
    optimizer: str = ""
    lr: float | None = None
    epoch: int | None = None
    epochs: int | None = None
    figures: dict[str, float] = field(default_factory=dict)
    metric: str | None = None
    value: float | None = None
    age: float = 0.0
    what: str = "run"
    name: str = ""
    best: str = ""
    trials: int | None = None


def list_runs(*places: AnyPath) -> list[RunSummary]:
    """Every run at, or directly below, each of ``places`` or in a group there, the newest first.

    The runs of a group stand together, by number; a run that several places lead to stands once. Other folders are
    passed over.
    """
    blocks = []
    for path in dict.fromkeys(path for place in places for path in _candidates(user_path(place))):
        try:
            folders = runs_of_group(path) if RunGroup.is_group(path) else [path]
            runs = [summarise(RunFolder(folder)) for folder in folders if (folder / "resolved.yaml").is_file()]
        except OSError:
            continue  # another user's, or deleted in between
        if runs:
            blocks.append(runs)
    blocks.sort(key=lambda block: min(run.age for run in block))
    return [run for block in blocks for run in block]


def list_studies(*places: AnyPath) -> list[RunSummary]:
    """Every comparison and search at, or directly below, each of ``places``, the newest first."""
    found = []
    for path in dict.fromkeys(path for place in places for path in _candidates(user_path(place))):
        try:
            if (study := study_in(path)) is not None:
                found.append(_study(ComparisonFiles(path) if study == COMPARISON else SearchFiles(path)))
        except OSError:
            continue  # another user's, or deleted in between
    return sorted(found, key=lambda study: study.age)


def _study(files: ComparisonFiles | SearchFiles) -> RunSummary:
    """A study's line in its table, whatever state it is in."""
    line = RunSummary(
        files.path,
        "running" if is_locked(files.path) else "interrupted",
        what=files.kind.name,
        age=time.time() - files.plan.stat().st_mtime,
    )
    try:
        plan = read_file(files.plan)[1].value
    except MlptrainError:
        return replace(line, status="damaged")
    line = replace(line, name=str(plan.get("name", "")), trials=files.recorded)
    try:
        files.kind.check_format(plan, files.plan)
    except MlptrainError:
        return replace(line, status="outdated")
    if not files.summary.is_file() or line.status == "running":
        return line
    try:
        best, metric, value = files.read_summary().winner
    except (MlptrainError, LookupError):
        return replace(line, status="damaged")
    figures = {} if metric is None or value is None else {metric: value}
    return replace(line, status="completed", best=best, figures=figures, metric=metric, value=value)


def _candidates(place: Path) -> list[Path]:
    """A run, a group or a study itself, else what lies in the folder."""
    if (place / "resolved.yaml").is_file() or RunGroup.is_group(place) or study_in(place) is not None:
        return [place]
    return list(place.iterdir()) if place.is_dir() else []


def sort_runs(runs: Sequence[RunSummary], key: str) -> list[RunSummary]:
    """By a column of the table, the best first: the highest accuracy, the lowest loss; other columns from the lowest.

    Runs without a value stand last, in their order. Raises UserError for a key that no run has a value of.
    """
    columns: dict[str, Callable[[RunSummary], str | float | None]] = {
        "run": lambda run: str(run.path), "status": lambda run: run.status, "data": lambda run: run.data,
        "model": lambda run: run.model, "optimizer": lambda run: run.optimizer, "lr": lambda run: run.lr,
        "epoch": lambda run: run.epoch, "epochs": lambda run: run.epochs, "age": lambda run: run.age,
    }  # fmt: skip
    columns |= {name: partial(_figure, name=name) for run in runs for name in run.figures}
    name = key.strip().lower().replace("-", "_").replace(" ", "_")
    if name not in columns:
        ends = [known for known in columns if known.endswith(name) or name.endswith(known)]
        near = ends or get_close_matches(name, columns, n=1)
        hint = f"; did you mean {either(near)}?" if near else ""
        raise UserError(f"--sort {key}: the table has no such column{hint or ';'} choose from {', '.join(columns)}")
    sign = -1 if higher_is_better(name.removeprefix("running_")) else 1

    def place(run: RunSummary) -> tuple[bool, float, str]:
        value = columns[name](run)
        known = value is not None and value != ""
        return not known, sign * value if isinstance(value, (int, float)) else 0.0, str(value)

    return sorted(runs, key=place)


def _figure(run: RunSummary, *, name: str) -> float | None:
    return run.figures.get(name)


def summarise(folder: RunFolder) -> RunSummary:
    """A run's line in the table, whatever state it is in."""
    age = time.time() - folder.resolved.stat().st_mtime
    if not folder.facts.exists():
        return RunSummary(folder.path, "outdated", age=age)
    try:
        spec = folder.experiment()
        result = folder.read_result()
        completed = result if result is not None and result.status == "completed" else None
        lines = folder.read_metrics(through=-1 if completed is None else completed.epochs)
    except MlptrainError:
        return RunSummary(folder.path, "damaged", age=age)
    diverged = result is not None and completed is None  # its figures stand for nothing
    last = figures_of(lines[-1]) if lines and not diverged else {}
    metric, value = best_metric((completed.kept.metrics if completed else {}) or last)
    return RunSummary(
        folder.path,
        result.state if result is not None else "running" if _is_trained(folder) else "interrupted",
        name=spec.name,
        data=spec.data.label,
        model=describe_model(spec),
        optimizer=describe_optimizer(spec),
        lr=spec.optimizer.lr,
        epoch=lines[-1]["epoch"] if lines else None,
        epochs=spec.training.epochs,
        figures=dict(completed.kept.metrics) if completed else _measured(last),
        metric=metric,
        value=value,
        age=age,
    )


def _measured(line: Mapping[str, float]) -> dict[str, float]:
    """The figures of a line that are of the epoch's last weights; those of training are not."""
    return {key: value for key, value in line.items() if key.startswith(("validation_", "test_"))}


def _is_trained(folder: RunFolder) -> bool:
    """Whether a living process trains this run, alone or with its group."""
    group = folder.path.resolve().parent
    return is_locked(folder.path) or (RunGroup.is_group(group) and is_locked(group))


def best_metric(metrics: dict[str, float]) -> tuple[str | None, float | None]:
    """The metric that says most: test before validation before training, accuracy before loss."""
    for kind in ("accuracy", "loss"):
        for split in ("test", "validation", "train", "running_train"):
            if f"{split}_{kind}" in metrics:
                return f"{split}_{kind}", metrics[f"{split}_{kind}"]
    return None, None
