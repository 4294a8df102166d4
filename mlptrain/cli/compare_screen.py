"""What the terminal shows of a comparison."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlptrain.cli.screen import Fetching, say, show_table
from mlptrain.comparison.study import Progress
from mlptrain.report.comparison.budgets import half_text
from mlptrain.report.comparison.rows import Rows, pair_rows, result_rows, time_rows
from mlptrain.report.comparison.units import Units
from mlptrain.report.comparison.words import (
    caveats,
    counted,
    describe_failure,
    describe_target,
    has_lost,
    lost_note,
    what_failed,
)
from mlptrain.runs.comparison import Summary, Timings
from mlptrain.spec.code import is_code_allowed
from mlptrain.spec.comparison.sections import ComparedMetric
from mlptrain.spec.metrics import figure_text
from mlptrain.system.text import duration

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_SECONDS_BETWEEN_LINES = 5.0
_MAX_PAIRS = 15  # as many as six optimizers have


class TrialProgress(Fetching, Progress):
    """Live progress over trials: a bar for each phase in a terminal, lines elsewhere."""

    def __init__(self, metric: ComparedMetric | None = None) -> None:
        super().__init__()
        self._metric = metric  # of a search, whose best value so far is shown too
        self._phases: RichProgress | None = None
        self._phase: Any = None
        self._name = ""
        self._beside = ""
        self._total = self._done = self._before = 0.0
        self._started = self._printed = time.monotonic()

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """A phase of the comparison begins."""
        self._name, self._total, self._done = name, float(trials), float(done)
        self._before = self._done
        self._started = self._printed = time.monotonic()
        if not self._console.is_terminal:
            recorded = f", {done} of them already recorded" if done else ""
            self._console.print(f"{name}: {trials} trials{recorded}")
            return
        if self._phases is None:
            from rich.progress import BarColumn, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[shown]}"))
            self._phases = self.new_bars(*columns)
        self._phase = self._phases.add_task(name, total=trials, completed=done, shown=self._shown())

    def advance(self, trials: float) -> None:
        """Some more trials, or parts of them, are done; 0 before the first means that training starts now."""
        if trials == 0 and self._done == self._before:
            self._started = time.monotonic()  # loading data does not count as training
        self._done += trials
        if self._total - self._done < 1e-6:
            self._done = self._total  # parts of trials add up to a little less
        if self._phases is not None:
            self._phases.update(self._phase, completed=self._done, shown=self._shown())
        elif time.monotonic() - self._printed >= _SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            self._console.print(f"{self._name}: {self._shown()}")

    def best(self, value: float) -> None:
        """The best value so far, which stands beside the number of trials from now on."""
        if self._metric is not None:
            self._beside = f"  best {self._metric.name} {figure_text(self._metric.key, value)}"
        if self._phases is not None:
            self._phases.update(self._phase, shown=self._shown())

    def _shown(self) -> str:
        gained, seconds = self._done - self._before, time.monotonic() - self._started
        remaining = self._total - self._done
        left = f"  {duration(seconds / gained * remaining)} left" if gained > 0 and remaining > 0 else ""
        return f"{int(self._done)} of {int(self._total)} trials{left}{self._beside}"


def show_preview(name: str, plan: Mapping[str, Any]) -> None:
    """The answer to --plan."""
    tuning, extensions = "nothing to tune", ""
    if plan["tuning_trials"]:
        tuning, extensions = f"{plan['tuning_trials']:,} tuning trials", ", without extensions"
        if plan["most_extension_trials"]:
            tuning += f" (extensions of the grids: up to {plan['most_extension_trials']:,} more)"
    say(
        f"{name}: {tuning}, {plan['scoring_trials']:,} scoring trials, in {plan['batches']:,} batches of up to "
        f"{plan['models_at_once']} models"
    )
    show_cost(plan, but=extensions, without="timing alone")
    if plan["smallest_detectable"] is None:
        say(f"verdicts: none possible with {counted(plan['seeds'], 'seed')}, {plan['seeds_for_verdict']} are needed")
        return
    if plan["assumed_spread"] is None:
        say(
            "verdicts: how much differences vary from seed to seed is not known beforehand; "
            f"{plan['seeds']} seeds would show a true one of about {plan['smallest_detectable']:.1f} times their "
            "standard deviation, in four of five comparisons"
        )
        return
    detectable, spread = 100 * plan["smallest_detectable"], 100 * plan["assumed_spread"]
    say(
        f"verdicts: if differences by seed had a standard deviation of {spread:.1f} percentage points (assumed for "
        f"{plan['scored_rows']:,} scored rows; hard data spread more), {plan['seeds']} seeds would show a true "
        f"difference of {detectable:.2f} points in four comparisons of five; about {detectable / spread:.1f} times the "
        "deviation"
    )


def show_cost(plan: Mapping[str, Any], *, without: str, but: str = "") -> None:
    """What the trials of a plan will take."""
    say(
        f"training: about {duration(plan['seconds'])} by a probe of this machine{but}; excluding start-up, {without} "
        f"and pictures; disk: {plan['bytes'] / 1e6:.1f} MB"
    )


def show_summary(folder: str, summary: Summary, timings: Timings) -> None:
    """The tables, what failed, and the sentence; of many pairs only those of the best."""
    seeds, pairs, title = counted(len(summary.seeds), "seed"), summary.ranked_pairs, "paired differences"
    if len(pairs) > _MAX_PAIRS:
        title += f": the best mean against the others (all {len(pairs):,} pairs: summary.md and the page)"
        pairs = [pair for pair in pairs if pair.a == summary.ranking[0]]
    units = Units.of(summary)
    way = "" if units.higher_is_better else ", lower is better"
    _show_rows(result_rows(summary, timings), f"{summary.split} {units.name} over {seeds}{way}", text=2)
    if summary.target is not None:
        _show_rows(time_rows(summary, timings), f"median time to {describe_target(summary.target)}")
    _show_rows(pair_rows(pairs, units), title)
    for note in (*caveats(summary), *_failures(summary)):
        is_name_first = note.startswith(tuple(f"{name} " for name in summary.ranking))
        say(f"note: {note if is_name_first else note[0].lower() + note[1:]}")
    say(summary.sentence)
    if (half := half_text(summary, timings)) is not None:
        say(half)
    say(f"comparison: {folder}")
    say(f"page: mlptrain report {shlex.quote(folder)}")
    command = "compare-optimizers" if summary.compared_by is None else "compare"
    allowed = " --allow-code" if is_code_allowed() else ""
    say(f"repeat: mlptrain {command} {shlex.quote(f'{folder}/plan.yaml')} --run-dir NEW{allowed}")


def _show_rows(rows: Rows, title: str, *, text: int = 1) -> None:
    """Rows below their headings; the first ``text`` columns hold words, and so does one of verdicts."""
    head, *body = rows
    right = [index for index, column in enumerate(head) if index >= text and not column.startswith("verdict")]
    show_table(head, body, title=title, right=right)


def _failures(summary: Summary) -> Iterator[str]:
    """Which trials did not learn or diverged, and where, and why the machine could not train others."""
    retry = "; rerun the same command to retry"
    for name, entry in summary.ranked:
        for status, trials in what_failed(entry):
            where = describe_failure(trials, summary.split, Units.of(summary))
            yield f"{name} {status}: {where}{retry if status == 'failed' else ''}"
        if entry.failed_tuning_trials:
            yield f"{name} failed in {counted(entry.failed_tuning_trials, 'tuning trial')}{retry}"
    if has_lost(summary):
        yield lost_note(summary)
