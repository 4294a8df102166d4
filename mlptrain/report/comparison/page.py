"""The page of a comparison: one self-contained HTML file, without script, network or fonts of its own."""

from __future__ import annotations

import shlex
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlptrain.report.comparison import tables
from mlptrain.report.comparison.curves import curve_key, draw_learning_curves, draw_learning_rates
from mlptrain.report.comparison.figures import draw_differences, draw_scores, draw_times, scores_are_joined
from mlptrain.report.comparison.rates import GOOD_WITHIN, rates_are_tuned
from mlptrain.report.comparison.words import (
    SYMBOLS,
    basis,
    caveats,
    counted,
    describe_target,
    listed,
    majority,
    percent,
    split_name,
    target_note,
)
from mlptrain.report.frame import document, section
from mlptrain.report.style import inline_svg
from mlptrain.report.tables import code_block, name_value_table
from mlptrain.runs.comparison import Summary, Timings
from mlptrain.spec import Experiment, describe_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IN_THE_ERROR = "Where the scale is logarithmic in the error, 98 and 99 % lie as far apart as 96 and 98 %."
_OPEN_UP_TO = 15  # pairs; a longer list is folded


def render_comparison(summary: Summary, timings: Timings, *, base: Experiment, plan: str, folder: Path) -> str:
    """The page. ``base`` is the task, ``plan`` the plan's own text, which lies in the comparison's ``folder``."""
    sections = [
        _outcome(summary),
        _results(summary, timings),
        _verdicts(summary),
        _curves(summary),
        _rates(summary),
        _times(summary, timings),
        _failures(summary),
        _disclosure(summary, base),
        section("plan", "The plan", code_block(plan, name="Plan")),
        _repeat(folder),
    ]
    lead = (
        f"{describe_model(base)} on {base.data.name}, {counted(summary.epochs, 'epoch')} of "
        f"{counted(summary.steps_per_epoch, 'step')} with batches of {base.batch_size:,} · "
        f"{counted(len(summary.optimizers), 'optimizer')}, {counted(len(summary.seeds), 'seed')} each "
        f"· plan {summary.plan}"
    )
    title, kind = f"{summary.name}: comparison of optimizers", "Comparison of optimizers"
    return document(sections, title=title, kind=kind, heading=summary.name, lead=escape(lead), broad=True)


def _note(text: str) -> str:
    return f'<p class="note">{_held(text)}</p>'


def _held(text: str) -> str:
    """Escaped, and a figure keeps its per-cent sign beside it."""
    return escape(text).replace(" %", "&nbsp;%")


def _picture(figure: Figure, name: str, title: str, caption: str, *, wide: bool = False) -> str:
    svg = inline_svg(figure, prefix=name, title=title, description=caption)
    kind = "picture large" if wide else "picture"
    box = f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(title)}">{svg}</div>'
    return f"<figure>{box}<figcaption>{_held(caption)}</figcaption></figure>"


def _outcome(summary: Summary) -> str:
    parts = [f'<p class="verdict">{_held(summary.sentence)}</p>']
    if notes := caveats(summary):
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        parts.append(f'<div class="warning" role="note"><ul>{items}</ul></div>')
    caption = (
        f"Every marker is one seed's {split_name(summary.split)} accuracy; the black bar is the mean, the band its "
        "95 % interval. On the right the mean, and the verdict against the best mean."
    )
    if scores_are_joined(summary):
        caption += " A thin line joins the markers of one seed."
    parts.append(_picture(draw_scores(summary), "scores", "Accuracy of every seed", caption, wide=True))
    return section("outcome", "Outcome", "\n".join(parts))


def _results(summary: Summary, timings: Timings) -> str:
    seconds = ""
    if timings.seconds_per_epoch:
        seconds = (
            " Seconds per epoch: each optimizer trained alone, in turn with the others, without evaluation; the median "
            "of the rounds."
        )
    note = (
        f"Sorted by the mean {split_name(summary.split)} accuracy over {counted(len(summary.seeds), 'seed')}. A trial "
        f"that diverged or failed counts as if it always named the largest class, {majority(summary)}."
        f" {target_note(summary)}{seconds}"
    )
    return section("results", "Results", f"{tables.results_table(summary, timings)}\n{_note(note)}")


def _verdicts(summary: Summary) -> str:
    best = summary.ranking[0]
    caption = (
        f"How far each optimizer lies from {best}, seed by seed; a line that crosses 0 leaves open which is better. "
        "The verdict is on the right, with the corrected p-value. An arrow names a mean that lies beyond the scale."
    )
    signs = ", ".join(f"{sign} {verdict}" for verdict, sign in SYMBOLS.items())
    legend = f"The row against the column: {signs}; the number is the difference in percentage points."
    listing = tables.verdict_list(summary)
    if len(summary.pairs) > _OPEN_UP_TO:
        listing = f"<details><summary>All {len(summary.pairs):,} pairs as a list</summary>{listing}</details>"
    parts = [
        _picture(draw_differences(summary), "differences", f"Differences from {best}", caption, wide=True),
        f"<h3>Every pair</h3>\n{_note(legend)}\n{tables.verdict_matrix(summary)}",
        listing,
        _note(basis(summary)),
    ]
    return section("verdicts", "Who beats whom", "\n".join(parts))


def _curves(summary: Summary) -> str:
    lasting = {
        name: sum(trial.status in ("completed", "did not learn") for trial in entry.trials)
        for name, entry in summary.ranked
    }
    n = len(summary.seeds)
    gone = [
        f"{name} ({'none' if not count else f'only {count}'} of {n})" for name, count in lasting.items() if count < n
    ]
    missing = f"Trials that diverged or failed have no curve, and are left out of: {', '.join(gone)}." if gone else ""
    if not summary.lasted:
        return section("curves", "Learning curves", _note(f"No trial lasted, so there are none. {missing}"))
    pictures = []
    metrics: tuple[Literal["loss", "accuracy"], ...] = ("loss", "accuracy")
    for name in metrics:
        split = split_name(curve_key(summary, name)[1])
        figure = draw_learning_curves(summary, name)
        caption = f"Mean {split} {name} over the seeds; the band reaches from the lowest to the highest seed."
        caption += f" {_IN_THE_ERROR}" if name == "accuracy" else ""
        several = len(figure.axes) > 1
        title = f"{split.capitalize()} {name} by epoch"
        pictures.append(_picture(figure, f"curves-{name}", title, caption, wide=several))
    together = "".join(pictures) if several else f'<div class="pictures">{"".join(pictures)}</div>'
    content = together + (f"\n{_note(missing)}" if missing else "")
    return section("curves", "Learning curves", content)


def _rates(summary: Summary) -> str:
    if not rates_are_tuned(summary):
        return ""
    caption = (
        f"Every tried value on {counted(len(summary.tuning_seeds), 'tuning seed')}; the line joins the medians, the "
        f"ring is the chosen value, the band the good range. {_IN_THE_ERROR}"
    )
    rule = (
        "The good range reaches from the chosen value as far as the median validation accuracy stays within "
        f"{100 * GOOD_WITHIN:g} percentage point of the chosen value's, interpolated between tried values over the "
        "logarithm of the rate; towards a value whose median trial did not last it ends at the last tried one. Its "
        "width is in decades (powers of ten): the wider, the less the choice matters. At least: it reaches the end of "
        "what was tried. With other tuned values, each rate counts with the best of them."
    )
    picture = _picture(draw_learning_rates(summary), "rates", "Accuracy by learning rate", caption, wide=True)
    return section(
        "rates", "How much the learning rate matters", f"{picture}\n{tables.rates_table(summary)}\n{_note(rule)}"
    )


def _times(summary: Summary, timings: Timings) -> str:
    if summary.target is None:
        return ""
    caption = (
        f"The epoch after which each seed reached a {describe_target(summary.target)}; a cross in the grey field is a "
        "trial that never did."
    )
    note = (
        "Medians over all trials, a miss counted as longer than any time: not reached means that the median trial did "
        f"not reach the target within {counted(summary.epochs, 'epoch')}."
    )
    if timings.seconds_per_epoch:
        note += (
            " Seconds: the seconds per epoch of the optimizer trained alone (the median of the rounds "
            "and, in brackets, their range) times the median epochs."
        )
    picture = _picture(draw_times(summary), "times", "Time to target", caption, wide=True)
    table = tables.times_table(summary, timings)
    return section("times", "Time to target", f"{picture}\n{table}\n{_note(note)}")


def _failures(summary: Summary) -> str:
    scored = len(summary.optimizers) * len(summary.seeds)
    outcomes = [value for entry in summary.optimizers.values() for value in entry.tuning_accuracies]
    none = f"<p>Nothing: all {counted(scored, 'scored trial')} lasted and learnt.</p>"
    table = tables.failures_table(summary) or none
    bar = "" if summary.majority_bar is None else f", that is below {percent(summary.majority_bar)}"
    rule = (
        "Did not learn: the accuracy is not significantly above the share of the largest class, "
        f"{majority(summary)} (one-sided exact binomial test, 5 % for all trials together){bar}. Diverged: "
        "a loss or a parameter was no longer finite. Failed: the machine could not train it; rerun the command to "
        "retry. All of them stay in every count and mean."
    )
    if outcomes:
        failed = sum(entry.failed_tuning_trials for entry in summary.optimizers.values())
        rule += (
            f" While tuning, {outcomes.count(None):,} of {counted(len(outcomes), 'trial')} did not last: "
            f"{outcomes.count(None) - failed:,} diverged, {failed:,} failed."
        )
    return section("failures", "What failed", f"{table}\n{_note(rule)}")


def _disclosure(summary: Summary, base: Experiment) -> str:
    tuned = bool(summary.tuning_seeds)
    pairs = [
        ("scored on", f"the {split_name(summary.split)} split, read once per scored trial, after tuning had closed"),
        ("scoring seeds", listed(summary.seeds)),
        ("tuning seeds", listed(summary.tuning_seeds) if tuned else "none: nothing was tuned"),
        ("chosen by", "the best median validation accuracy over the tuning seeds" if tuned else "the plan's author"),
        ("seeds a verdict needs", f"{summary.seeds_for_verdict} for {counted(len(summary.pairs), 'pair')}"),
        ("tie", f"within ±{100 * summary.tie:g} percentage points"),
        ("target", "none" if summary.target is None else describe_target(summary.target)),
        ("share of the largest class", majority(summary)),
        *([] if summary.majority_bar is None else [("learnt from", percent(summary.majority_bar))]),
        ("plan's hash", summary.plan),
        *((key, str(getattr(base.training, key))) for key in ("device", "precision", "threads")),
    ]
    note = (
        "For one seed every optimizer starts from the same weights and sees the same batches. Every trial is in "
        "trials.jsonl, failed ones too; the scored ones are in summary.csv."
    )
    budget = f"<h3>Tuning budget</h3>\n{tables.budget_table(summary)}"
    return section(
        "disclosure", "How it was done", f"{name_value_table(pairs, name='How it was done')}\n{budget}\n{_note(note)}"
    )


def _repeat(folder: Path) -> str:
    again = f"mlptrain compare-optimizers {shlex.quote(str(folder / 'plan.yaml'))} --run-dir NEW"
    text = (
        "Retrains every trial, in the new folder NEW. On the same data, with the same versions, device and number "
        "of threads it gives the same summary.json to the byte; elsewhere the last digits may differ."
    )
    return section("repeat", "Repeat it", f"{code_block(again, name='Command')}\n{_note(text)}")
