"""The tables of a comparison's page, as HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mlptrain.report.comparison.record import Optimizer, Pair, Summary, Timings
from mlptrain.report.comparison.words import (
    SYMBOLS,
    counted,
    describe_failure,
    describe_good_range,
    describe_setting,
    epochs_and_reached,
    listed,
    median_epochs,
    median_steps,
    number,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
    seconds_to_target,
    what_failed,
)
from mlptrain.report.style import colour, marker
from mlptrain.report.tables import scrolling

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
    timed = bool(timings.seconds_per_epoch)
    head = ["optimizer", "chosen setting", "mean accuracy", "95 % interval", "median", "learnt"]
    head += ["epochs to target"] if summary.target else []
    head += ["s/epoch alone"] if timed else []
    rows = []
    for name, entry in summary.ranked:
        accuracy = entry.accuracy
        setting = describe_setting(entry) + (" (under-tuned)" if entry.under_tuned else "")
        cells = [
            f'<td class="text long">{escape(setting)}</td>',
            f'<td class="main">{percent(accuracy.mean)}</td>',
            _cell(percent_interval(accuracy.low, accuracy.high)),
            _cell(percent(accuracy.median)),
            _cell(f"{entry.completed} of {len(entry.trials)}"),
        ]
        if (times := entry.epochs_to_target) is not None:
            cells.append(_cell(epochs_and_reached(times)))
        if timed:
            seconds = timings.seconds_per_epoch.get(name)
            cells.append(_cell("–" if seconds is None else f"{seconds:.3g}"))
        rows.append([row_head(summary, name), *cells])
    return _table(head, rows, name="Results", text=2)


def verdict_matrix(summary: Summary) -> str:
    """What is said of the optimizer in the row against the one in the column."""
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
    """Every pair once, told of the better ranked one."""
    head = ["pair", "verdict on the first", "difference (points)", "95 % interval", "p (Holm)", "p (uncorrected)"]
    rows = [
        [
            f'<th scope="row">{escape(pair.a)} against {escape(pair.b)}</th>',
            f'<td class="text">{SYMBOLS[pair.verdict]} {pair.verdict}</td>',
            _cell(points(pair.mean)),
            _cell(points_interval(pair.low, pair.high)),
            _cell(p_value(pair.p_holm)),
            _cell(p_value(pair.p)),
        ]
        for pair in summary.ranked_pairs
    ]
    return _table(head, rows, name="Verdicts as a list", text=2)


def rates_table(summary: Summary) -> str:
    """Of every optimizer that tuned its learning rate: the chosen one, the good range, what did not last."""
    head = ["optimizer", "chosen", "its median accuracy", "good range", "width", "tried", "did not last"]
    rows = []
    for name, entry in summary.ranked:
        medians, good = entry.medians_by_rate, entry.good_range
        if not medians:
            continue
        outcomes = [value for tried in entry.tuning for value in tried.accuracies]
        rows.append(
            [
                row_head(summary, name),
                _cell(number(entry.rate)),
                _cell("–" if good is None else percent(medians[entry.rate])),
                _cell("–" if good is None else f"{good.low:.3g} to {good.high:.3g}"),
                _cell(describe_good_range(entry).removeprefix("good over ")),
                _cell(f"{len(medians)} values"),
                _cell(f"{outcomes.count(None)} of {len(outcomes)} trials"),
            ]
        )
    return _table(head, rows, name="Learning rates")


def times_table(summary: Summary, timings: Timings, names: Sequence[str]) -> str:
    """Median time to target in epochs and steps, and in seconds where they were taken alone."""
    timed = bool(timings.seconds_per_epoch)
    head = ["optimizer", "reached", "median epochs", "median steps"]
    head += ["s/epoch alone", "seconds"] if timed else []
    rows = []
    for name in names:
        times = summary.optimizers[name].epochs_to_target
        if times is None:
            continue
        cells = [f"{times.reached} of {times.n}", median_epochs(times), median_steps(times, summary)]
        cells += [_seconds(timings, name), seconds_to_target(name, times, timings)] if timed else []
        rows.append([row_head(summary, name), *map(_cell, cells)])
    return _table(head, rows, name="Time to target")


def failures_table(summary: Summary) -> str:
    """The trials that diverged, did not learn or failed; empty where there are none."""
    rows = [
        [
            row_head(summary, name),
            f'<td class="text">{escape(status)}</td>',
            f'<td class="text long">{escape(describe_failure(trials, summary.split))}</td>',
            _cell(f"{len(trials)} of {len(entry.trials)}"),
        ]
        for name, entry in summary.ranked
        for status, trials in what_failed(entry)
    ]
    return _table(["optimizer", "what", "where", "trials"], rows, name="What failed", text=3) if rows else ""


def budget_table(summary: Summary) -> str:
    """What was tried for every optimizer."""
    head = ["optimizer", "tried values", "tuning trials", "grid extended", "under-tuned"]
    rows = [
        [
            row_head(summary, name),
            f'<td class="text long">{escape(_grids(entry))}</td>',
            _cell(f"{entry.tuning_trials:,}"),
            _cell(counted(entry.extensions, "time")),
            _cell("yes" if entry.under_tuned else "no"),
        ]
        for name, entry in summary.optimizers.items()
    ]
    return _table(head, rows, name="Tuning budget", text=2)


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


def _seconds(timings: Timings, name: str) -> str:
    """The median of the rounds, with their range."""
    seconds, samples = timings.seconds_per_epoch.get(name), timings.samples.get(name, [])
    if seconds is None:
        return "–"
    spread = f" ({min(samples):.2g} to {max(samples):.2g})" if len(samples) > 1 else ""
    return f"{seconds:.3g}{spread}"


def _grids(entry: Optimizer) -> str:
    told = [f"{field} {listed(values)}" for field, values in entry.grids.items()]
    return "; ".join(told) or "nothing: all values fixed"


def _cell(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, name: str, text: int = 1, kind: str = "") -> str:
    """Rows of cells that are HTML already, under headings that are not; the first ``text`` columns hold words."""
    words = ' class="text"'
    heads = "".join(
        f'<th scope="col"{words if index < text else ""}><span>{escape(one)}</span></th>'
        for index, one in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    classes = f' class="{kind}"' if kind else ""
    return scrolling(f"<table{classes}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>", name=name)
