"""The page of a run: one self-contained HTML file, without script, network or fonts of its own."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from mlptrain.errors import RunFolderError
from mlptrain.report import tables
from mlptrain.report.arrays import DecisionMap, Mistakes
from mlptrain.report.curves import draw_curves
from mlptrain.report.figures import draw_decisions
from mlptrain.report.frame import document, section
from mlptrain.report.history import SPLITS, History, read_history
from mlptrain.report.images import percentage
from mlptrain.report.style import inline_svg
from mlptrain.runs import RunFolder
from mlptrain.runs.listing import summarise
from mlptrain.runs.records import CompletedRun, Diagnosis, RunResult
from mlptrain.spec import Experiment, describe_model, describe_optimizer
from mlptrain.spec.reader import MAX_BYTES
from mlptrain.system.files import read_regular

_PHONE = (4.4, 3.4)  # inches of a picture: as wide as a phone, its letters stay readable
_SPLIT_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}


def render_page(
    run: Path,
    *,
    evaluation: Mapping[str, Any] | None = None,
    mistakes: Mistakes | None = None,
    decision: DecisionMap | None = None,
) -> str:
    """The page, from the run's folder and what was computed from its checkpoint, all of it optional.

    ``evaluation`` has the keys of ``mlptrain eval --json``. Raises RunFolderError for what is no run.
    """
    folder = RunFolder.open(run)
    experiment = folder.experiment()
    result = folder.read_result()
    sections = [
        _outcome(folder, experiment, result, evaluation),
        _curves(run, folder),
        _decision(decision),
        _confusion(evaluation),
        _mistakes(mistakes),
        _per_class(evaluation),
        _specification(folder),
        _environment(folder),
        _repeat(folder),
    ]
    return document(
        sections,
        title=f"{experiment.name}: run report",
        kind="Run report",
        heading=experiment.name,
        lead=_lead(folder, experiment),
    )


def _lead(folder: RunFolder, experiment: Experiment) -> str:
    parameters = sum(math.prod(shape) for shape in experiment.parameter_shapes.values())
    model, optimizer = describe_model(experiment), describe_optimizer(experiment)
    lead = f"{model}, {parameters:,} parameters · {optimizer} · data {experiment.data.name}"
    place = folder.path.resolve().name
    return escape(lead) if place == experiment.name else f"{escape(lead)}<br>{escape(place)}"


def _outcome(
    folder: RunFolder, experiment: Experiment, result: RunResult | None, evaluation: Mapping[str, Any] | None
) -> str:
    status = summarise(folder).status
    parts = [f'<p class="status">{_status(folder, experiment, status, result)}</p>']
    figures = _measured(evaluation) if evaluation else _last_figures(folder)
    if seconds := _training_seconds(folder):
        figures.append(("Training time", _duration(seconds), f"on {folder.read_environment().device}"))
    entries = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="value{" first" if number == 0 else ""}">{escape(value)}</dd>'
        f'<dd class="note">{escape(note)}</dd></div>'
        for number, (name, value, note) in enumerate(figures)
    )
    if entries:
        parts.append(f'<dl class="figures">{entries}</dl>')
    doubtful = ""
    if result is not None and result.status == "completed":
        if result.diagnosis is not None:
            parts.append(_diagnosis(result.diagnosis))
            doubtful = " doubtful"
        parts.append(f'<p class="note">{escape(_kept(experiment, result))}</p>')
    return section("outcome", "Outcome", "\n".join(parts), kind=status + doubtful)


def _status(folder: RunFolder, experiment: Experiment, status: str, result: RunResult | None) -> str:
    """What became of the run and what to do, as HTML."""
    lines = folder.read_metrics()
    reached = f"epoch {lines[-1]['epoch']:,} of {experiment.training.epochs:,}" if lines else "no epoch yet"
    path = shlex.quote(str(folder.path))
    if result is not None and result.status == "completed" and status == "completed":
        return f"Completed: {result.epochs:,} epochs, {result.steps:,} steps."
    if result is not None and result.status == "diverged":
        again = (
            f"mlptrain train {shlex.quote(str(folder.resolved))} --set optimizer.lr={experiment.optimizer.lr / 10:g}"
        )
        return f"{escape(_sentence(result.message))} For instance: <code>{escape(again)}</code>"
    if status == "running":
        return f"Still running, {reached}; make this report again when it has ended."
    resume = f"mlptrain train --resume {path}"
    return f"Interrupted after {reached}. Go on with <code>{escape(resume)}</code>"


def _measured(evaluation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    split, examples = _SPLIT_NAMES[evaluation["split"]], evaluation["examples"]
    loss = (f"{split} loss", f"{evaluation['loss']:.4f}", f"mean over {examples:,} examples")
    if evaluation["accuracy"] is None:
        return [loss]
    low, high = (100 * bound for bound in evaluation["interval"])
    accuracy = f"{100 * evaluation['accuracy']:.2f} %"
    return [
        (f"{split} accuracy", accuracy, f"95 % interval (Wilson) {low:.2f} to {high:.2f} %"),
        ("Wrong", f"{evaluation['wrong']:,}", f"of {examples:,} {split.lower()} examples"),
        loss,
    ]


def _last_figures(folder: RunFolder) -> list[tuple[str, str, str]]:
    """Of a run that did not end: what its last epoch was measured at."""
    lines = folder.read_metrics()
    if not lines:
        return []
    note = f"after epoch {lines[-1]['epoch']:,}"
    figures = []
    for split in reversed(SPLITS):
        if (accuracy := lines[-1].get(f"{split}_accuracy")) is not None:
            figures.append((f"{_SPLIT_NAMES[split]} accuracy", f"{100 * accuracy:.2f} %", note))
        if (loss := lines[-1].get(f"{split}_loss")) is not None:
            figures.append((f"{_SPLIT_NAMES[split]} loss", f"{loss:.4f}", note))
    return figures


def _diagnosis(diagnosis: Diagnosis) -> str:
    causes = "".join(f"<li>{escape(cause)}</li>" for cause in diagnosis.causes)
    listed = f"<ul>{causes}</ul>" if causes else ""
    message = escape(_sentence(diagnosis.message))
    return f'<div class="warning" role="note"><p><strong>{message}</strong></p>{listed}</div>'


def _kept(experiment: Experiment, result: CompletedRun) -> str:
    why = "lowest validation loss" if experiment.evaluation.keep == "best" else "the last"
    kept = f"The figures are those of the weights after epoch {result.kept.epoch:,} ({why})."
    if not experiment.facts.test_rows:
        return kept
    count = result.test_evaluations
    times = {0: "never", 1: "once"}.get(count, f"{count:,} times")
    return f"{kept} This run evaluated the test set {times}."


def _curves(run: Path, folder: RunFolder) -> str:
    if len(folder.read_metrics()) < 2:
        return ""
    history = read_history(run)
    pictures = []
    for metric in ("loss", "accuracy"):
        if not any(f"{split}_{metric}" in history.values for split in SPLITS):
            continue
        figure = draw_curves([history], metrics=(metric,), panel=_PHONE, titled=False)
        described = _described(history, metric)
        svg = inline_svg(figure, prefix=metric, title=f"{metric.capitalize()} by epoch", description=described)
        pictures.append(
            f'<figure><div class="picture">{svg}</div><figcaption>{escape(described)}</figcaption></figure>'
        )
    single = "" if len(pictures) > 1 else " single"
    return section("curves", "Training curves", f'<div class="pictures{single}">{"".join(pictures)}</div>')


def _described(history: History, metric: str) -> str:
    """A curve in words: where it began and where it ended."""
    parts = []
    for split in SPLITS:
        if (found := history.values.get(f"{split}_{metric}")) is not None:
            x, y = found
            first, last = (f"{v:.4g}" if metric == "loss" else percentage(float(v)) for v in (y[0], y[-1]))
            parts.append(
                f"{_SPLIT_NAMES[split]} {metric} from {first} (epoch {x[0]:,.0f}) to {last} (epoch {x[-1]:,.0f})."
            )
    return " ".join(parts)


def _decision(decision: DecisionMap | None) -> str:
    if decision is None:
        return ""
    caption = (
        f"Colours: the probability of each of {len(decision.training.class_names)} classes. Black lines: where the "
        f"predicted class changes. Points: the {len(decision.training.points):,} training examples, "
        f"{percentage(decision.accuracy)} of them correct."
    )
    svg = inline_svg(draw_decisions([decision]), prefix="decision", title="Decision map", description=caption)
    picture = f'<div class="picture">{svg}</div><figcaption>{escape(caption)}</figcaption>'
    return section("decision-map", "Decision map", f'<figure class="single">{picture}</figure>')


def _confusion(evaluation: Mapping[str, Any] | None) -> str:
    if not evaluation or evaluation["confusion"] is None:
        return ""
    names = [row["class"] for row in evaluation["per_class"]]
    heading = f"Confusion on the {_SPLIT_NAMES[evaluation['split']].lower()} examples"
    return section("confusion", heading, tables.confusion_table(evaluation["confusion"], names))


def _mistakes(mistakes: Mistakes | None) -> str:
    if mistakes is None:
        return ""
    count, examples = len(mistakes.images), f"{mistakes.examples:,} {mistakes.split} images"
    if not count:
        return section("mistakes", "Most confident errors", f"<p>None: all {examples} are classified correctly.</p>")
    note = (
        f"The {count:,} most confident of {mistakes.wrong:,} misclassified in {examples}: true → predicted class, "
        "and the confidence in the latter."
    )
    return section(
        "mistakes", "Most confident errors", f'<p class="note">{escape(note)}</p>\n{tables.mistake_list(mistakes)}'
    )


def _per_class(evaluation: Mapping[str, Any] | None) -> str:
    if not evaluation or evaluation["per_class"] is None:
        return ""
    return section("classes", "Per class", tables.class_table(evaluation["per_class"]))


def _specification(folder: RunFolder) -> str:
    resolved = tables.code_block(folder.resolved.read_text(encoding="utf-8"), name="Resolved specification")
    try:
        written = read_regular(folder.config, most=MAX_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        written = ""
    as_written = tables.code_block(written, name="Configuration as written")
    details = (
        f"<details><summary>The configuration as it was written</summary>{as_written}</details>" if written else ""
    )
    note = '<p class="note">Every value in force, defaults and overrides written out.</p>'
    return section("specification", "Specification", f"{note}\n{resolved}\n{details}")


def _environment(folder: RunFolder) -> str:
    flat: list[tuple[str, str]] = []
    for key, value in folder.read_environment().plain().items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        start = "hash of" if key == "hashes" else key
        flat += [(f"{start} {name}".strip().replace("_", " "), str(v)) for name, v in inner if v is not None]
    return section("environment", "Environment", tables.name_value_table(flat, name="Environment"))


def _repeat(folder: RunFolder) -> str:
    command = f"mlptrain train {shlex.quote(str(folder.resolved))}"
    note = (
        '<p class="note">On the same data, with the same versions, device and number of threads, this gives the same '
        "bytes; elsewhere the last digits may differ.</p>"
    )
    return section("repeat", "Repeat it", f"{tables.code_block(command, name='Command')}\n{note}")


def _training_seconds(folder: RunFolder) -> float:
    """Seconds spent in training steps; 0 where they are not on record."""
    try:
        return float(sum(line.get("training", 0) for line in folder.read_timings()))
    except RunFolderError:
        return 0.0  # nothing else depends on them


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _sentence(text: str) -> str:
    """With a capital first and a full stop last."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
