"""The tables of a comparison's page, as HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

from mlptrain.report.comparison.rates import good_range, medians_by_rate
from mlptrain.report.comparison.rows import Rows, pair_rows, result_rows, time_rows
from mlptrain.report.comparison.words import (
    SYMBOLS,
    counted,
    describe_failure,
    describe_good_range,
    listed,
    number,
    percent,
    points,
    what_failed,
)
from mlptrain.report.style import colour, marker
from mlptrain.report.tables import scrolling
from mlptrain.runs.comparison import OptimizerResult, Pair, Summary, Timings

_WORDS_UP_TO = 8  # optimizers, up to which the matrix has room for the verdicts in words

# The shapes of matplotlib's markers, in a box of 12 by 12.
_SHAPES = {
    "o": '<circle cx="6" cy="6" r="4.6"/>',
    "s": '<rect x="2" y="2" width="8" height="8"/>',
    "^": '<path d="M6 1.2 11 10.4H1z"/>',
    "D": '<path d="M6 .8 11.2 6 6 11.2.8 6z"/>',
    "v": '<path d="M6 10.8 11 1.6H1z"/>',
    "P": '<path d="M4 1h4v3h3v4H8v3H4V8H1V4h3z"/>',
    "X": '<path d="M3.4 1 6 3.6 8.6 1 11 3.4 8.4 6 11 8.6 8.6 11 6 8.4 3.4 11 1 8.6 3.6 6 1 3.4z"/>',
    "*": '<path d="M6 .6 7.4 4.3l3.9.2-3 2.5 1 3.8L6 8.7l-3.3 2.1 1-3.8-3-2.5 3.9-.2z"/>',
}


def results_table(summary: Summary, timings: Timings) -> str:
    """Every optimizer, best mean accuracy first."""
    classes = {1: "text long", 2: "main"}
    return _optimizers_table(summary, result_rows(summary, timings), name="Results", classes=classes)


def times_table(summary: Summary, timings: Timings) -> str:
    """Median time to target in epochs and steps, and in seconds where they were taken alone, fastest first."""
    return _optimizers_table(summary, time_rows(summary, timings), name="Time to target")


def verdict_matrix(summary: Summary) -> str:
    """The verdict on the optimizer in the row against the one in the column."""
    pairs = {}
    for pair in summary.pairs:
        pairs[pair.a, pair.b], pairs[pair.b, pair.a] = pair, pair.mirrored()
    wide = len(summary.ranking) > _WORDS_UP_TO
    rows = [
        [row_head(summary, name), *(_verdict_cell(pairs.get((name, other)), wide=wide) for other in summary.ranking)]
        for name in summary.ranking
    ]
    kind = "matrix wide" if wide else "matrix"
    return _table(["row \\ column", *summary.ranking], rows, name="Verdicts by pair", kind=kind)


def verdict_list(summary: Summary) -> str:
    """Every pair once, the better ranked one first."""
    head, *rows = pair_rows(summary.ranked_pairs)
    cells = [
        [
            f'<th scope="row">{escape(row[0])}</th>',
            *map(_cell, row[1:-1]),
            _cell(f"{SYMBOLS[pair.verdict]} {pair.verdict}", "text"),
        ]
        for row, pair in zip(rows, summary.ranked_pairs, strict=True)
    ]
    return _table(head, cells, name="Verdicts as a list", text=(0, len(head) - 1))


def rates_table(summary: Summary) -> str:
    """Of every optimizer that tuned its learning rate: the chosen one, the good range, what did not last."""
    rows = [["optimizer", "chosen", "its median accuracy", "good range", "width", "tried", "did not last"]]
    for name, entry in summary.ranked:
        medians, good, outcomes = medians_by_rate(entry), good_range(entry), entry.tuning_accuracies
        if medians:
            rows.append(
                [
                    name,
                    number(entry.setting.lr),
                    "–" if good is None else percent(medians[entry.setting.lr]),
                    "–" if good is None else f"{good.low:.3g} to {good.high:.3g}",
                    describe_good_range(entry).removeprefix("good over "),
                    f"{len(medians)} values",
                    f"{outcomes.count(None)} of {len(outcomes)} trials",
                ]
            )
    return _optimizers_table(summary, rows, name="Learning rates")


def failures_table(summary: Summary) -> str:
    """The trials that diverged, did not learn or failed; empty where there are none."""
    rows = [["optimizer", "what", "where", "trials"]] + [
        [name, status, describe_failure(trials, summary.split), f"{len(trials)} of {len(entry.trials)}"]
        for name, entry in summary.ranked
        for status, trials in what_failed(entry)
    ]
    classes = {1: "text", 2: "text long"}
    return _optimizers_table(summary, rows, name="What failed", classes=classes) if rows[1:] else ""


def budget_table(summary: Summary) -> str:
    """What was tried for every optimizer."""
    rows = [["optimizer", "tried values", "tuning trials", "grid extended", "under-tuned"]] + [
        [
            name,
            _grids(entry),
            f"{entry.tuning_trials:,}",
            counted(entry.extensions, "time"),
            "yes" if entry.under_tuned else "no",
        ]
        for name, entry in summary.optimizers.items()
    ]
    return _optimizers_table(summary, rows, name="Tuning budget", classes={1: "text long"})


def row_head(summary: Summary, name: str) -> str:
    """An optimizer's name behind the colour and the marker that it has in every picture."""
    index = summary.number(name)
    shape = _SHAPES[marker(index)]
    key = f'<svg class="key" aria-hidden="true" viewBox="0 0 12 12" fill="{colour(index)}">{shape}</svg>'
    return f'<th scope="row">{key}{escape(name)}</th>'


def _verdict_cell(pair: Pair | None, *, wide: bool) -> str:
    if pair is None:
        return '<td class="self">–</td>'
    word = f'<span class="unseen">{pair.verdict}</span>' if wide else pair.verdict
    kind = pair.verdict.replace(" ", "-")
    return f'<td class="{kind}"><span class="sign">{SYMBOLS[pair.verdict]} {points(pair.mean)}</span> {word}</td>'


def _grids(entry: OptimizerResult) -> str:
    grids = [f"{field} {listed(values)}" for field, values in entry.grids.items()]
    return "; ".join(grids) or "nothing: all values fixed"


def _cell(text: str, kind: str = "") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f"<td{classes}>{escape(text)}</td>"


def _optimizers_table(summary: Summary, rows: Rows, *, name: str, classes: Mapping[int, str] | None = None) -> str:
    """Rows of text below their headings, an optimizer's name first; ``classes`` are those of whole columns."""
    head, *body = rows
    kinds = [(classes or {}).get(index, "") for index in range(len(head))]
    cells = [[row_head(summary, row[0]), *map(_cell, row[1:], kinds[1:])] for row in body]
    return _table(head, cells, name=name, text=[0, *(index for index, kind in enumerate(kinds) if "text" in kind)])


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, name: str, text: Collection[int] = (0,), kind: str = ""
) -> str:
    """Rows of cells that are HTML already, under headings that are not; the columns ``text`` hold words."""
    words = ' class="text"'
    heads = "".join(
        f'<th scope="col"{words if index in text else ""}><span>{escape(heading)}</span></th>'
        for index, heading in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    classes = f' class="{kind}"' if kind else ""
    return scrolling(f"<table{classes}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>", name=name)
