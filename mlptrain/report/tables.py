"""The page's parts that are tables or lists, as HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from mlptrain.report.arrays import FloatArray, Mistakes
from mlptrain.report.images import percentage

MOST_CLASSES = 30  # of a whole confusion matrix; beyond, the most frequent mix-ups are listed
_MOST_ROWS = 100


def scrolling(table: str, *, name: str) -> str:
    """A table in a box of its own that scrolls sideways, by keyboard too, so that the page does not."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{table}</div>'


def confusion_table(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Rows are the true classes, columns the predicted ones; of many classes only the most frequent mix-ups."""
    if len(names) > MOST_CLASSES:
        return _mix_ups(counts, names)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(_confusion_cell(count, count / total) for count in row)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    note = "Rows: true class. Columns: predicted class. Cells: examples, shaded by their share of the true class."
    table = (
        '<table class="confusion">'
        f'<thead><tr><th scope="col">true \\ predicted</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    return f'<p class="note">{note}</p>\n{scrolling(table, name="Confusion matrix")}'


def _confusion_cell(count: int, share: float) -> str:
    if not count:
        return '<td class="none">·</td>'
    shade = share**0.5  # a root, or a class with 2 % of mistakes would look like one with none
    strong = ' class="strong"' if shade > 0.6 else ""
    return f'<td{strong} style="--share:{shade:.2f}">{count:,}</td>'


def _mix_ups(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    pairs = [(count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if i != j and count]
    worst = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:MOST_CLASSES]
    rows = "".join(
        f'<tr><td class="text">{escape(names[i])}</td><td class="text">{escape(names[j])}</td><td>{count:,}</td></tr>'
        for count, i, j in worst
    )
    note = f"The most frequent mix-ups of {len(names)} classes."
    table = (
        "<table><thead><tr>"
        '<th scope="col" class="text">true</th><th scope="col" class="text">predicted</th>'
        f'<th scope="col">examples</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    return f'<p class="note">{note}</p>\n{scrolling(table, name="Most frequent mix-ups")}'


def class_table(per_class: Sequence[Mapping[str, Any]]) -> str:
    """Precision, recall and number of examples of every class; of very many, those with the lowest recall."""
    shown, note = list(per_class), ""
    if len(shown) > _MOST_ROWS:
        shown = sorted(shown, key=lambda row: row["recall"])[:_MOST_ROWS]
        note = f'<p class="note">The {_MOST_ROWS} of {len(per_class)} classes with the lowest recall.</p>\n'
    rows = "".join(
        f'<tr><th scope="row">{escape(row["class"])}</th><td>{percentage(row["precision"])}</td>'
        f"<td>{percentage(row['recall'])}</td><td>{row['examples']:,}</td></tr>"
        for row in shown
    )
    table = (
        f'<table><thead><tr><th scope="col" class="text">class</th><th scope="col">precision</th>'
        f'<th scope="col">recall</th><th scope="col">examples</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    return note + scrolling(table, name="Figures per class")


def mistake_list(mistakes: Mistakes) -> str:
    """The wrong images, each with what it is, what it was predicted as, and how confidently."""
    names = mistakes.class_names
    items = []
    for image, true, predicted, confidence in zip(
        mistakes.images, mistakes.true, mistakes.predicted, mistakes.confidence, strict=True
    ):
        alternative = f"An image of class {names[true]} that was predicted as {names[predicted]}."
        height, width = image.shape
        items.append(
            f'<li><figure><img src="{_png(image)}" alt="{escape(alternative)}" width="{width}" height="{height}">'
            f"<figcaption><strong>{escape(names[true])} → {escape(names[predicted])}</strong><br>"
            f"{escape(percentage(float(confidence)))}</figcaption></figure></li>"
        )
    return f'<ul class="mistakes">{"".join(items)}</ul>'


def name_value_table(pairs: Iterable[tuple[str, str]], *, name: str) -> str:
    """Two columns: what, and its value."""
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td class="text long">{escape(value)}</td></tr>' for key, value in pairs
    )
    head = '<thead><tr><th scope="col" class="text">what</th><th scope="col" class="text">value</th></tr></thead>'
    return scrolling(f"<table>{head}<tbody>{rows}</tbody></table>", name=name)


def code_block(text: str, *, name: str) -> str:
    """Text as it is, in a box that scrolls."""
    return f'<pre tabindex="0" role="region" aria-label="{escape(name)}"><code>{escape(text.rstrip())}</code></pre>'


def _png(image: FloatArray) -> str:
    """A data address of the image (height, width), its largest value black and its smallest white."""
    low, high = float(image.min()), float(image.max())
    grey = 255 * (high - image) / ((high - low) or 1.0)
    stream = io.BytesIO()
    Image.fromarray(np.rint(grey).astype(np.uint8)).save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
