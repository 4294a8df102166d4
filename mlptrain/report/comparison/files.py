"""The tables of a comparison as CSV, Markdown and LaTeX. Every text that comes from outside is escaped here."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from mlptrain.report.comparison.record import Optimizer, Summary, Timings
from mlptrain.report.comparison.words import (
    MINUS,
    basis,
    caveats,
    describe_setting,
    describe_target,
    epochs_and_reached,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
    split_name,
)

_OF_A_TRIAL = ("seed", "status", "score", "accuracy", "loss", "epoch", "step")
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

    The optimizer's name is followed by its setting (an optimizer without a field has an empty cell). ``score`` enters
    the means and differences; ``accuracy`` and ``loss`` are empty where training did not last, and ``step`` says where
    it diverged. ``epochs_to_target`` is ``inf`` where the target was not reached and empty where there is none. An
    apostrophe stands before a name that a spreadsheet would execute as a formula.
    """
    fields = list(dict.fromkeys(key for entry in summary.optimizers.values() for key in entry.setting))
    fields.sort(key=lambda key: (key != "name", key != "lr"))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["optimizer", *fields, *_OF_A_TRIAL, "epochs_to_target"])
    for name, entry in summary.optimizers.items():
        text = f"'{name}" if name.startswith(_FORMULA) else name
        setting = [entry.setting.get(key) for key in fields]
        for index, trial in enumerate(entry.trials):
            figures = [getattr(trial, key) for key in _OF_A_TRIAL]
            writer.writerow([text, *map(_plain, [*setting, *figures, _epochs(entry, index)])])
    return stream.getvalue()


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_plain, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _epochs(entry: Optimizer, index: int) -> int | str:
    if entry.epochs_to_target is None:
        return ""
    epochs = entry.epochs_to_target.trials[index]
    return "inf" if epochs is None else epochs


def summary_markdown(summary: Summary, timings: Timings) -> str:
    """The table, the verdicts and the sentence, in GitHub's Markdown."""
    parts = [
        f"# {markdown_text(summary.name)}",
        _paragraph(summary.sentence),
        _markdown_table(_results(summary, timings)),
        _markdown_table(_verdicts(summary)),
        *(_paragraph(note) for note in [basis(summary), *caveats(summary)]),
    ]
    return "\n\n".join(parts) + "\n"


def summary_latex(summary: Summary, timings: Timings) -> str:
    """The same as LaTeX: two plain tabulars that need no package."""
    parts = [
        latex_text(summary.sentence),
        _latex_table(_results(summary, timings)),
        _latex_table(_verdicts(summary)),
        *(latex_text(note) for note in [basis(summary), *caveats(summary)]),
    ]
    return "\n\n".join(parts) + "\n"


def _results(summary: Summary, timings: Timings) -> list[list[str]]:
    head = ["optimizer", "setting", f"{split_name(summary.split)} accuracy", "95 % interval", "median", "learnt"]
    if timings.seconds_per_epoch:
        head.append("s/epoch alone")
    if summary.target is not None:
        head.append(f"epochs to {describe_target(summary.target)}")
    rows = [head]
    for name, entry in summary.ranked:
        accuracy = entry.accuracy
        row = [
            name,
            describe_setting(entry) + (" (under-tuned)" if entry.under_tuned else ""),
            percent(accuracy.mean),
            percent_interval(accuracy.low, accuracy.high),
            percent(accuracy.median),
            f"{entry.completed} of {len(entry.trials)}",
        ]
        if timings.seconds_per_epoch:
            seconds = timings.seconds_per_epoch.get(name)
            row.append("–" if seconds is None else f"{seconds:.3g}")
        if (times := entry.epochs_to_target) is not None:
            row.append(epochs_and_reached(times))
        rows.append(row)
    return rows


def _verdicts(summary: Summary) -> list[list[str]]:
    head = ["pair", "difference (points)", "95 % interval", "p (Holm)", "verdict on the first"]
    return [head] + [
        [
            f"{pair.a} against {pair.b}",
            points(pair.mean),
            points_interval(pair.low, pair.high),
            p_value(pair.p_holm),
            pair.verdict,
        ]
        for pair in summary.ranked_pairs
    ]


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is within a line: no markup, no HTML, no line end."""
    return _MARKDOWN.sub(r"\\\1", escape(" ".join(text.split()), quote=False))


def _paragraph(text: str) -> str:
    found = markdown_text(text)
    return _BLOCK.sub(lambda match: f"\\{match[1]}" if not match[1].isdigit() else f"{match[1]}\\", found)


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is."""
    escaped = "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", escaped)  # two hyphens would become a dash


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(map(markdown_text, row)) + " |" for row in rows]
    lines.insert(1, "|---|" + "---|" * (len(rows[0]) - 1))
    return "\n".join(lines)


def _latex_table(rows: Sequence[Sequence[str]]) -> str:
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in rows]
    columns = "l" * len(rows[0])
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline",
                      r"\end{tabular}"])  # fmt: skip
