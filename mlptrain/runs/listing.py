"""The table of runs in a folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mlptrain.errors import MlptrainError
from mlptrain.runs.folder import RunFolder, runs_of_seeds
from mlptrain.runs.group import SeedGroup
from mlptrain.runs.records import figures_of
from mlptrain.spec import describe_model, describe_optimizer
from mlptrain.system.lock import is_locked


@dataclass(frozen=True)
class RunSummary:
    """One run in the table.

    ``status`` is completed, diverged, running, interrupted, damaged, or outdated: of an earlier version. ``metric``
    names the value in ``value`` (the accuracy where there is one, else the loss) of the weights the run stands for,
    of an unfinished run that of its last epoch;
    ``age`` is in seconds.
    """

    path: Path
    status: str
    data: str = ""
    model: str = ""
    optimizer: str = ""
    epoch: int | None = None
    metric: str | None = None
    value: float | None = None
    age: float = 0.0


def list_runs(parent: Path) -> list[RunSummary]:
    """Every run directly below ``parent`` or in a group of seeds there, the newest first.

    The runs of a group stand together, by seed; ``parent`` may be a group itself. Other folders are passed over.
    """
    if not parent.is_dir():
        return []
    blocks = []
    for path in [parent] if SeedGroup.is_group(parent) else parent.iterdir():
        try:
            folders = runs_of_seeds(path) if SeedGroup.is_group(path) else [path]
            runs = [summarise(RunFolder(folder)) for folder in folders if (folder / "resolved.yaml").is_file()]
        except OSError:
            continue  # another user's, or deleted in between
        if runs:
            blocks.append(runs)
    blocks.sort(key=lambda block: min(run.age for run in block))
    return [run for block in blocks for run in block]


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
        result.status if result is not None else "running" if _is_trained(folder) else "interrupted",
        data=spec.data.name,
        model=describe_model(spec),
        optimizer=describe_optimizer(spec),
        epoch=lines[-1]["epoch"] if lines else None,
        metric=metric,
        value=value,
        age=age,
    )


def _is_trained(folder: RunFolder) -> bool:
    """Whether a living process trains this run, alone or with its group."""
    group = folder.path.resolve().parent
    return is_locked(folder.path) or (SeedGroup.is_group(group) and is_locked(group))


def best_metric(metrics: dict[str, float]) -> tuple[str | None, float | None]:
    """The metric that says most: test before validation before training, accuracy before loss."""
    for kind in ("accuracy", "loss"):
        for split in ("test", "validation", "train", "running_train"):
            if f"{split}_{kind}" in metrics:
                return f"{split}_{kind}", metrics[f"{split}_{kind}"]
    return None, None
