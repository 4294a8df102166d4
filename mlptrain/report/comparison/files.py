"""The tables of a comparison as CSV, Markdown and LaTeX. Every text that comes from outside is escaped here."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

from mlptrain.report.comparison.rows import Rows, pair_rows, result_rows
from mlptrain.report.comparison.units import MINUS, Units
from mlptrain.report.comparison.words import (
    basis,
    caveats,
    has_lost,
    lost_note,
    number,
    steps_by_arm,
    target_note,
    what,
)
from mlptrain.runs.comparison import OptimizerResult, Summary, Timings

_OF_A_TRIAL = ("seed", "status", "score", "accuracy", "loss", "epoch", "step")
_OF_AN_ARM = ("tuning_trials", "steps_per_epoch")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula to be executed
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
_BLOCK = re.compile(r"^([#+=-]|[0-9]+(?=[.)]))")  # begins a heading, a list, a line
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\char34{}", MINUS: "$-$", "±": r"$\pm$", "–": r"\textendash{}",
}  # fmt: skip


def summary_csv(summary: Summary) -> str:
    """A line per scored trial; numbers are written so that reading them gives the same floats.

    The name is followed by the setting, or by what an arm changes (one without a field has an empty cell). ``score``
    enters the means and differences; ``accuracy`` and ``loss`` are empty where training did not last, and ``step`` says
    where it diverged. ``epochs_to_target`` is ``inf`` where the target was not reached, and empty where there is none.
    The last columns, ``tuning_trials`` and ``steps_per_epoch``, are the budget of the whole arm.
    An apostrophe stands before a name that a spreadsheet would execute as a formula.
    """
    settings = {name: _setting(entry) for name, entry in summary.optimizers.items()}
    fields = list(dict.fromkeys(key for setting in settings.values() for key in setting))
    fields.sort(key=lambda key: (key != "name", key != "lr"))
    stream, steps = io.StringIO(), steps_by_arm(summary)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([what(summary), *fields, *_OF_A_TRIAL, "epochs_to_target", *_OF_AN_ARM])
    for name, entry in summary.optimizers.items():
        text = f"'{name}" if name.startswith(_FORMULA) else name
        setting = [settings[name].get(key) for key in fields]
        budget = [entry.tuning_trials, steps[name]]
        times = entry.epochs_to_target.trials if entry.epochs_to_target is not None else [""] * len(entry.trials)
        for trial, epochs in zip(entry.trials, times, strict=True):
            figures = [getattr(trial, key) for key in _OF_A_TRIAL]
            writer.writerow([text, *map(_plain, [*setting, *figures, "inf" if epochs is None else epochs, *budget])])
    return stream.getvalue()


def _setting(entry: OptimizerResult) -> dict[str, Any]:
    """The chosen setting, or what an arm changes by key path; a section as one text."""
    if entry.setting is not None:
        return entry.setting.model_dump()
    return {key: number(value) if isinstance(value, dict) else value for key, value in (entry.changes or {}).items()}


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def summary_markdown(summary: Summary, timings: Timings) -> str:
    """The table, the verdicts and the sentence, in GitHub's Markdown."""
    title = f"# {markdown_text(summary.name)}"
    return _document(summary, timings, title, text=_paragraph, table=_markdown_table)


def summary_latex(summary: Summary, timings: Timings) -> str:
    """The same as LaTeX: two plain tabulars that need no package."""
    return _document(summary, timings, text=latex_text, table=_latex_table)


def _document(
    summary: Summary, timings: Timings, *title: str, text: Callable[[str], str], table: Callable[[Rows], str]
) -> str:
    tables = result_rows(summary, timings), pair_rows(summary.ranked_pairs, Units.of(summary))
    lost = lost_note(summary) if has_lost(summary) else ""
    notes = [target_note(summary), basis(summary), lost, *caveats(summary)]
    return "\n\n".join([*title, text(summary.sentence), *map(table, tables), *map(text, filter(None, notes))]) + "\n"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is within a line: no markup, no HTML, no line end."""
    return _MARKDOWN.sub(r"\\\1", escape(" ".join(text.split()), quote=False))


def _paragraph(text: str) -> str:
    escaped = markdown_text(text)
    return _BLOCK.sub(lambda match: f"\\{match[1]}" if not match[1].isdigit() else f"{match[1]}\\", escaped)


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is."""
    escaped = "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", escaped)  # two hyphens would become a dash


def _markdown_table(rows: Rows) -> str:
    lines = ["| " + " | ".join(map(markdown_text, row)) + " |" for row in rows]
    lines.insert(1, "|---|" + "---|" * (len(rows[0]) - 1))
    return "\n".join(lines)


def _latex_table(rows: Rows) -> str:
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in rows]
    columns = "l" * len(rows[0])
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline",
                      r"\end{tabular}"])  # fmt: skip
