"""The page of a group of seeds or folds: what ``templates/group.html.jinja`` shows of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlptrain.keys import SPLITS, metric_of, split_of
from mlptrain.report.curves import within
from mlptrain.report.frame import render
from mlptrain.report.history import read_curves
from mlptrain.report.page import SPLIT_NAMES, curve_pictures, layer_rows, shown_figure
from mlptrain.runs import RunFolder, RunGroup
from mlptrain.runs.listing import summarise
from mlptrain.runs.records import CompletedRun, Diagnosis, FoldSpread, RunResult, Spread
from mlptrain.spec import describe_model, describe_optimizer


def render_group_page(path: Path) -> str:
    """The page, from the folders of the group and of its runs. Raises RunFolderError for what is not a group."""
    group = RunGroup.open(path)
    folders = {number: RunFolder.open(group.member(number)) for number in group.numbers}
    results = {number: folder.read_result() for number, folder in folders.items()}
    first = next(iter(folders.values()))
    experiment = first.experiment()
    states = {number: summarise(folder).status for number, folder in folders.items()}
    ended = [result for result in results.values() if result is not None]
    kept = group.summarised(ended).kept if len(ended) == len(folders) else {}
    return render(
        "group.html.jinja",
        experiment=experiment,
        group=group,
        path=str(group.path),
        folder_name=group.path.resolve().name,
        model=describe_model(experiment),
        optimizer=describe_optimizer(experiment),
        parameters=sum(math.prod(shape) for shape in experiment.parameter_shapes.values()),
        completed=sum(isinstance(result, CompletedRun) for result in results.values()),
        is_finished=len(ended) == len(folders),
        figures=list(_spread_rows(kept)),
        runs=list(_run_rows(group, results, states)),
        diagnoses={number: found for number, result in results.items() if (found := _diagnosis(result)) is not None},
        falling={
            number: result.still_falling
            for number, result in results.items()
            if isinstance(result, CompletedRun) and result.still_falling
        },
        curves=list(curve_pictures(read_curves(path))) if _have_epochs(folders.values(), states.values()) else [],
        layers=[("layer", "units", "operations", "tensors", "parameters"), *layer_rows(experiment)],
        specification=first.resolved.read_text(encoding="utf-8").rstrip(),
    )


def _have_epochs(folders: Iterable[RunFolder], states: Iterable[str]) -> bool:
    """Whether those that did not diverge, of which there is one, have trained."""
    lasting = [folder for folder, state in zip(folders, states, strict=True) if state != "diverged"]
    return bool(lasting) and all(len(folder.read_metrics()) > 1 for folder in lasting)


def _spread_rows(kept: Mapping[str, Spread]) -> Iterator[tuple[str, ...]]:
    """A row for each figure of the kept weights; of a cross-validation with the standard error of the mean."""
    with_error = any(isinstance(spread, FoldSpread) for spread in kept.values())
    yield "figure", "mean", "std", *(["standard error"] if with_error else []), "lowest", "highest"
    for split in reversed(SPLITS):
        for name, spread in kept.items():
            if split_of(name) == split:
                kind = metric_of(name)
                values = [spread.mean, spread.std, *([spread.standard_error] if isinstance(spread, FoldSpread) else [])]
                yield (
                    f"{SPLIT_NAMES[split]} {within(kind)}",
                    *(shown_figure(kind, value) for value in (*values, spread.min, spread.max)),
                )


def _run_rows(
    group: RunGroup, results: Mapping[int, RunResult | None], states: Mapping[int, str]
) -> Iterator[tuple[str, ...]]:
    """Every run with its state, kept epoch and figures on the test rows, else on validation rows."""
    metrics = {
        number: result.kept.metrics if isinstance(result, CompletedRun) else {} for number, result in results.items()
    }
    names = dict.fromkeys(name for own in metrics.values() for name in own)
    split = next((split for split in reversed(SPLITS) if any(split_of(name) == split for name in names)), "train")
    shown = [name for name in names if split_of(name) == split]
    yield group.word, "state", "kept", *(f"{SPLIT_NAMES[split]} {within(metric_of(name))}" for name in shown)
    for number, result in results.items():
        epoch = f"epoch {result.kept.epoch:,}" if isinstance(result, CompletedRun) else "–"
        yield (
            str(number),
            states[number],
            epoch,
            *(shown_figure(metric_of(name), metrics[number].get(name)) for name in shown),
        )


def _diagnosis(result: RunResult | None) -> Diagnosis | None:
    return None if result is None else result.diagnosis
