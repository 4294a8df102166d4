"""The page of a run: what ``templates/run.html.jinja`` shows of it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mlptrain.errors import RunFolderError
from mlptrain.keys import SPLITS, metric_of, run_figure, split_of, table_of
from mlptrain.report.arrays import (
    ClassCurves,
    DecisionMap,
    FittedCurve,
    FloatArray,
    Mistakes,
    PermutationImportance,
    ReliabilityDiagram,
    Residuals,
)
from mlptrain.report.comparison.units import MINUS
from mlptrain.report.curves import ALWAYS, draw_curves, draw_steps, metrics_of, plain_name, within
from mlptrain.report.figures import draw_decisions, draw_fits, draw_reliability, draw_residuals
from mlptrain.report.frame import render
from mlptrain.report.history import History, read_history, read_steps
from mlptrain.report.images import percentage
from mlptrain.report.tables import draw_class_curves, draw_importance
from mlptrain.runs import RunFolder
from mlptrain.runs.listing import summarise
from mlptrain.runs.log import read_lines
from mlptrain.runs.records import CompletedRun, RunResult
from mlptrain.spec import Experiment, describe_model, describe_optimizer, layers_of
from mlptrain.spec.choosing import best_in_words
from mlptrain.spec.metrics import is_share
from mlptrain.spec.overview import legend
from mlptrain.spec.reader import MAX_BYTES
from mlptrain.system.files import read_regular

_PHONE = (4.4, 3.4)  # inches of a picture: as wide as a phone, its letters stay readable
_MAX_CLASSES = 30  # of a whole confusion matrix; beyond, the most frequent mix-ups are listed
_MAX_ROWS = 100
_HEADS = {"loss": "loss, mean per example", "objective": "objective minimised"}
_OF_NUMBERS = {"rmse": "in the target's own unit", "r2": "share of the variance that is explained"}
_MAX_KINDS = 3  # figures beside each other; of more there is a row for each
SPLIT_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}


def render_page(
    run: Path,
    *,
    evaluation: Mapping[str, Any] | None = None,
    missing_classes: str = "",
    mistakes: Mistakes | None = None,
    decision: DecisionMap | None = None,
    fit: FittedCurve | None = None,
    residuals: Residuals | None = None,
    reliability: ReliabilityDiagram | None = None,
    columns: Sequence[Mapping[str, Any]] = (),
    curves_of_classes: ClassCurves | None = None,
    importance: PermutationImportance | None = None,
) -> str:
    """The page, from the run's folder and what was computed from its checkpoint, all of it optional.

    ``evaluation`` has the keys of ``mlptrain eval --json``, ``missing_classes`` is a sentence on classes without
    training rows, or empty, ``columns`` are those of a table as ``spec.overview.columns_report`` gives them. Raises
    RunFolderError for what is not a run.
    """
    folder = RunFolder.open(run)
    experiment, lines, result = folder.experiment(), folder.read_metrics(), folder.read_result()
    classes = _class_rows(evaluation["per_class"]) if evaluation and evaluation["per_class"] else []
    return render(
        "run.html.jinja",
        experiment=experiment,
        result=result,
        status=summarise(folder).status,
        best=best_in_words(experiment.evaluation.metric),
        path=str(folder.path),
        folder_name=folder.path.resolve().name,
        resolved=str(folder.resolved),
        model=describe_model(experiment),
        optimizer=describe_optimizer(experiment),
        parameters=sum(math.prod(shape) for shape in experiment.parameter_shapes.values()),
        reached=f"epoch {lines[-1]['epoch']:,} of {experiment.training.epochs:,}" if lines else "no epoch yet",
        figures=[*(_measured(evaluation) if evaluation else _last_figures(lines)), *_training_time(folder)],
        kept=_kept_rows(result.kept.metrics) if isinstance(result, CompletedRun) else [],
        calibration=list(_calibration_rows(result)),
        missing_classes=missing_classes,
        layers=[("layer", "units", "operations", "tensors", "parameters"), *layer_rows(experiment)],
        curves=list(curve_pictures(read_history(run))) if len(lines) > 1 else [],
        steps=list(_steps(read_steps(run))) if folder.steps.exists() else [],
        decision=decision,
        decision_figure=decision and draw_decisions([decision]),
        fit=fit,
        fit_figure=fit and draw_fits([fit]),
        residuals=residuals,
        residuals_figure=residuals and draw_residuals(residuals, titled=False),
        reliability=reliability,
        reliability_figure=reliability and draw_reliability(reliability, titled=False),
        columns=_column_rows(columns),
        column_legend=legend(columns[:_MAX_ROWS]),
        more_columns=max(0, len(columns) - _MAX_ROWS),
        curves_of_classes=curves_of_classes,
        curves_of_classes_figure=curves_of_classes and draw_class_curves(curves_of_classes, titled=False),
        importance=importance,
        importance_figure=importance and draw_importance(importance, titled=False),
        importance_rows=importance and _importance_rows(importance),
        evaluation=evaluation,
        split_names=SPLIT_NAMES,
        mix_ups=_mix_ups(evaluation) if evaluation and evaluation["confusion"] else [],
        mistakes=mistakes,
        png=_png,
        classes=classes,
        undefined=any("–" in row for row in classes),
        specification=folder.resolved.read_text(encoding="utf-8").rstrip(),
        written=_as_written(folder.config).rstrip(),
        environment=[("what", "value"), *_environment(folder)],
    )


def _measured(evaluation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    split, examples = SPLIT_NAMES[evaluation["split"]], evaluation["examples"]
    loss = (f"{split} loss", run_figure("loss", evaluation["loss"]), f"mean over {examples:,} examples")
    if evaluation["accuracy"] is None:
        found = {key: value for key, value in evaluation["metrics"].items() if key in _OF_NUMBERS and value is not None}
        of_numbers = [(f"{split} {within(key)}", f"{value:.4g}", _OF_NUMBERS[key]) for key, value in found.items()]
        return [*of_numbers, loss]
    low, high = (100 * bound for bound in evaluation["interval"])
    accuracy = f"{100 * evaluation['accuracy']:.2f} %"
    return [
        (f"{split} accuracy", accuracy, f"95 % interval (Wilson) {low:.2f} to {high:.2f} %"),
        ("Misclassified", f"{evaluation['wrong']:,}", f"of {examples:,} {split.lower()} examples"),
        loss,
    ]


def _kept_rows(metrics: Mapping[str, float]) -> list[tuple[str, ...]]:
    """The figures of the kept weights on every split that they were measured on; – where they are undefined.

    A row for each split; with further figures a row for each figure.
    """
    if not any(f"{split}_loss" in metrics for split in SPLITS):
        return []
    return table_of(metrics, show=shown_figure, widest=_MAX_KINDS, named=_head, split_named=SPLIT_NAMES.__getitem__)


def _head(metric: str) -> str:
    return _HEADS.get(metric) or within(metric)


def shown_figure(kind: str, value: float | None) -> str:
    """A figure of this kind as a table shows it, – where it is undefined."""
    if value is None:
        return "–"
    return f"{100 * value:.2f} %" if is_share(kind) else _with_minus(run_figure(kind, value))


def _calibration_rows(result: RunResult | None) -> Iterator[tuple[str, ...]]:
    """Log-loss and ECE of each split without the temperature and with it; nothing where there is none."""
    if not isinstance(result, CompletedRun) or result.calibration is None:
        return
    before, after = result.calibration.before, result.calibration.after
    yield "figure", "before", "after"
    for key, value in before.items():
        split, kind = split_of(key), metric_of(key)
        fitted_on = " (of the rows it was fitted on)" if split == "validation" and after else ""
        yield (
            f"{SPLIT_NAMES[split]} {within(kind)}{fitted_on}",
            shown_figure(kind, value),
            shown_figure(kind, after.get(key)),
        )


def _last_figures(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Of a run that did not end: what its last epoch was measured at, or in training came to on the way."""
    for split in reversed(SPLITS if lines else ()):
        name, when = SPLIT_NAMES[split], "during" if split == "train" else "after"
        note = f"{when} epoch {lines[-1]['epoch']:,}"
        if (accuracy := lines[-1].get(f"{split}_accuracy")) is not None:
            yield f"{name} accuracy", f"{100 * accuracy:.2f} %", note
        if (loss := lines[-1].get(f"{split}_loss")) is not None:
            yield f"{name} loss", run_figure("loss", loss), f"{note}, mean per example"


def _training_time(folder: RunFolder) -> Iterator[tuple[str, str, str]]:
    """Spent in training steps; nothing where that is not on record."""
    try:
        seconds = float(sum(line.get("training", 0) for line in read_lines(folder.timings)))
    except RunFolderError:
        return  # nothing else depends on the timings
    if seconds:
        minutes = round(seconds / 60)
        long = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
        yield "Training time", f"{seconds:.1f} s" if seconds < 100 else long, f"on {folder.read_environment().device}"


def curve_pictures(history: History) -> Iterator[tuple[str, str, Figure, list[tuple[str, ...]]]]:
    """Metric, its name, picture, and of every curve what it is, first epoch and value, last epoch and value."""
    for metric in metrics_of([history]):
        ends: list[tuple[str, ...]] = []
        for split in SPLITS:
            if (found := history.values.get(f"{split}_{metric}")) is not None:
                x, y = found
                first, last = (percentage(float(v)) if is_share(metric) else f"{v:.4g}" for v in (y[0], y[-1]))
                start, end = (math.ceil(place) for place in (x[0], x[-1]))  # a mean's place is its epoch's middle
                kind = ", mean during the epoch," if split == "train" else ""
                ends.append((f"{SPLIT_NAMES[split]} {within(metric)}{kind}", f"{start:,}", first, f"{end:,}", last))
        if ends:
            yield (
                metric,
                plain_name(metric),
                draw_curves([history], metrics=(metric,), panel=_PHONE, titled=False),
                ends,
            )


def _steps(history: History) -> Iterator[tuple[str, Figure]]:
    for metric in ALWAYS:
        if f"train_{metric}" in history.values:
            yield metric, draw_steps([history], metrics=(metric,), panel=_PHONE, titled=False)


def layer_rows(experiment: Experiment) -> Iterator[tuple[str, ...]]:
    """Of each layer its number, widths, operations, tensors, and how many numbers it learns."""
    layers = layers_of(experiment)
    for index, layer in enumerate(layers):
        tensors = ", ".join(f"{name} {'×'.join(map(str, shape)) or '1'}" for name, shape in layer["tensors"].items())
        units = f"{layer['inputs']:,} → {layer['outputs']:,}"
        yield str(index), units, ", ".join(layer["operations"]), tensors, f"{layer['parameters']:,}"


def _mix_ups(evaluation: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The most frequent ones, where there are too many classes for a matrix."""
    if len(evaluation["confusion"]) <= _MAX_CLASSES:
        return []
    names = [row["class"] for row in evaluation["per_class"]]
    counts = [(n, i, j) for i, row in enumerate(evaluation["confusion"]) for j, n in enumerate(row) if i != j and n]
    worst = sorted(counts, key=lambda count: (-count[0], count[1:]))[:_MAX_CLASSES]
    return [("true", "predicted", "examples"), *((names[i], names[j], f"{n:,}") for n, i, j in worst)]


def _png(image: FloatArray) -> str:
    """A data address of the image (height, width), its largest value black and its smallest white."""
    low, high = float(image.min()), float(image.max())
    grey = 255 * (high - image) / ((high - low) or 1.0)
    stream = io.BytesIO()
    Image.fromarray(np.rint(grey).astype(np.uint8)).save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _class_rows(shown: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Precision, recall, – where undefined, and examples of every class; of very many, those with the lowest recall.

    Of several labels of a row also the accuracy of each.
    """
    if len(shown) > _MAX_ROWS:
        shown = sorted(shown, key=lambda row: (row["recall"] is None, row["recall"]))[:_MAX_ROWS]
    of_labels = "accuracy" in shown[0]
    names = ("accuracy", "precision", "recall") if of_labels else ("precision", "recall")
    shares = (("–" if row[name] is None else percentage(row[name]) for name in names) for row in shown)
    rows = ((row["class"], *share, f"{row['examples']:,}") for row, share in zip(shown, shares, strict=True))
    return [("label" if of_labels else "class", *names, "examples"), *rows]


def _column_rows(columns: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Name, kind, missing and different values, range or levels, and what becomes of each column of a table."""
    if not columns:
        return []
    rows = []
    for column in columns[:_MAX_ROWS]:
        examples = ", ".join(column["examples"]) + (", …" if len(column["examples"]) < column["levels"] else "")
        values = examples if column["examples"] else f"{column['low']} … {column['high']}" if column["low"] else ""
        counts = (f"{column['missing']:,}", "" if column["levels"] is None else f"{column['levels']:,}")
        rows.append((column["name"], column["kind"], *counts, values, column["becomes"]))
    return [("column", "kind", "missing", "levels", "values", "becomes"), *rows]


def _importance_rows(importance: PermutationImportance) -> list[tuple[str, ...]]:
    """Mean and standard deviation of each column's figures, the most important column first."""
    second = f"decrease of {importance.second}" if importance.second == "R²" else f"decrease of {importance.second} (%)"
    rows: list[tuple[str, ...]] = [("column", "increase of the loss", *([second] if importance.second else []))]
    scale = 1 if importance.second == "R²" else 100
    for column in importance.order[:_MAX_ROWS]:
        row = [importance.columns[column], _mean_and_spread(importance.increase[column])]
        if importance.decrease is not None:
            row.append(_mean_and_spread(scale * importance.decrease[column]))
        rows.append(tuple(row))
    return rows


def _mean_and_spread(values: FloatArray) -> str:
    return f"{_with_minus(f'{values.mean():.4g}')} ± {values.std():.2g}"


def _with_minus(number: str) -> str:
    """A number that is not for machines, with a proper minus sign."""
    return number.replace("-", MINUS, 1) if number.startswith("-") else number


def _as_written(config: Path) -> str:
    try:
        return read_regular(config, most=MAX_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        return ""


def _environment(folder: RunFolder) -> Iterator[tuple[str, str]]:
    for key, value in folder.read_environment().plain().items():
        if isinstance(value, dict) and "columns" in value:
            numbers = {name: "mean {mean:.6g}, std {std:.6g}".format(**one) for name, one in value["columns"].items()}
            value = numbers or {name: one for name, one in value.items() if name != "columns"}
        start = "hash of" if key == "hashes" else key
        for name, one in value.items() if isinstance(value, dict) else [("", value)]:
            if one is not None:
                yield f"{start} {name}".strip().replace("_", " "), str(one)
