"""What the terminal shows of a comparison."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlptrain.cli.screen import Fetching, duration, new_table, standard_error, standard_output

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.table import Table

_SECONDS_BETWEEN_LINES = 5.0
_MOST_PAIRS = 15  # as many as six optimizers have


class TrialProgress(Fetching):
    """Live progress over trials: a bar for each phase in a terminal, lines elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._console = standard_error()
        self._phases: RichProgress | None = None
        self._phase: Any = None
        self._name = ""
        self._total = self._done = self._before = 0.0
        self._started = self._printed = time.monotonic()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._phases is not None:
            self._phases.stop()

    def phase(self, name: str, *, trials: int, done: int) -> None:
        """A phase of the comparison begins."""
        super().__exit__()  # a download is over
        self._name, self._total, self._done = name, float(trials), float(done)
        self._before = self._done
        self._started = self._printed = time.monotonic()
        if not self._console.is_terminal:
            kept = f", {done} of them on record" if done else ""
            self._console.print(f"{name}: {trials} trials{kept}", markup=False)
            return
        if self._phases is None:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[shown]}"))
            self._phases = Progress(*columns, console=self._console)
            self._phases.start()
        self._phase = self._phases.add_task(name, total=trials, completed=done, shown=self._shown())

    def advance(self, trials: float) -> None:
        """Some more trials, or parts of them, are done; 0 before the first says that training begins only now."""
        if trials == 0 and self._done == self._before:
            self._started = time.monotonic()  # loading data is no part of what a trial takes
        self._done += trials
        if self._total - self._done < 1e-6:
            self._done = self._total  # parts of trials add up to a little less
        if self._phases is not None:
            self._phases.update(self._phase, completed=self._done, shown=self._shown())
        elif time.monotonic() - self._printed >= _SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            self._console.print(f"{self._name}: {self._shown()}", markup=False)

    def _shown(self) -> str:
        gained, seconds = self._done - self._before, time.monotonic() - self._started
        remaining = self._total - self._done
        left = f"  {duration(seconds / gained * remaining)} left" if gained > 0 and remaining > 0 else ""
        return f"{int(self._done)} of {int(self._total)} trials{left}"


def show_preview(name: str, found: Mapping[str, Any]) -> None:
    """The answer to --plan."""
    out = standard_output()
    tuning, extensions = "nothing to tune", ""
    if found["tuning_trials"]:
        tuning, extensions = f"{found['tuning_trials']:,} tuning trials", ", without extensions"
        if found["most_extension_trials"]:
            tuning += f" (extensions of the grids: up to {found['most_extension_trials']:,} more)"
    out.print(
        f"{name}: {tuning}, {found['scoring_trials']:,} scoring trials, in {found['batches']:,} batches of up to "
        f"{found['models_at_once']} models",
        markup=False,
        soft_wrap=True,
    )
    out.print(
        f"training: about {duration(found['seconds'])} by a probe of this machine{extensions}; start, timing alone and "
        f"pictures come on top; disk: {found['bytes'] / 1e6:.1f} MB",
        soft_wrap=True,
    )
    if found["smallest_detectable"] is None:
        out.print(
            f"verdicts: none possible with {found['seeds']} seeds, it takes {found['seeds_for_verdict']}",
            soft_wrap=True,
        )
    else:
        detectable, spread = 100 * found["smallest_detectable"], 100 * found["assumed_spread"]
        out.print(
            f"verdicts: if differences by seed had a standard deviation of {spread:.1f} percentage points (an "
            f"assumption: MNIST's; small data spread more), {found['seeds']} seeds would show a true difference of "
            f"{detectable:.2f} points in four comparisons of five; about {detectable / spread:.1f} times the deviation",
            soft_wrap=True,
        )


def show_summary(folder: str, summary: Mapping[str, Any], timings: Mapping[str, Any]) -> None:
    """The tables, what failed, and the sentence."""
    out = standard_output()
    seconds = timings.get("seconds_per_epoch", {})
    out.print(_accuracies(summary, seconds))
    if summary["target"] is not None:
        out.print(_times(summary, seconds))
    out.print(_differences(summary))
    for pair in summary["inclusion"]:
        out.print(
            f"note: {pair['a']} contains {pair['b']} as a special case and yet came out worse: its search space is too "
            "small to rank the two",
            markup=False,
            soft_wrap=True,
        )
    for name, entry in summary["optimizers"].items():
        for note in _failures(entry):
            out.print(f"note: {name} {note}", markup=False, soft_wrap=True)
    out.print(summary["sentence"], markup=False, soft_wrap=True)
    place = shlex.quote(folder)
    for what, told in (
        ("comparison", folder),
        ("page", f"mlptrain report {place}"),
        ("repeat", f"mlptrain compare-optimizers {shlex.quote(f'{folder}/plan.yaml')} --run-dir NEW"),
    ):
        out.print(f"{what}: {told}", markup=False, soft_wrap=True)


def _accuracies(summary: Mapping[str, Any], seconds: Mapping[str, float | None]) -> Table:
    table = new_table(
        "optimizer",
        "chosen setting",
        title=f"{summary['split']} accuracy over {len(summary['seeds'])} seeds, in percent",
    )
    for column in ("mean", "95 % interval", "median", "learnt", "s/epoch alone"):
        table.add_column(column, justify="right")
    for name in summary["ranking"]:
        entry = summary["optimizers"][name]
        accuracy = entry["accuracy"]
        table.add_row(
            name,
            describe_setting(entry["setting"]) + (" (under-tuned)" if entry["under_tuned"] else ""),
            f"{100 * accuracy['mean']:.2f}",
            "" if accuracy["low"] is None else f"{100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f}",
            f"{100 * accuracy['median']:.2f}",
            f"{entry['completed']} of {len(entry['trials'])}",
            _number(seconds.get(name)),
        )
    return table


def _times(summary: Mapping[str, Any], seconds: Mapping[str, float | None]) -> Table:
    """Of the median trial; seconds are those of training alone."""
    target = summary["target"]
    table = new_table("optimizer", title=f"median time to {target['metric']} {target['value']:g}")
    for column in ("epochs", "steps", "seconds", "reached"):
        table.add_column(column, justify="right")
    for name in summary["ranking"]:
        times = summary["optimizers"][name]["epochs_to_target"]
        epochs, per_epoch = times["median"], seconds.get(name)
        cells = ["not reached", "", ""]
        if epochs is not None:
            in_seconds = None if per_epoch is None else epochs * per_epoch
            cells = [f"{epochs:g}", f"{epochs * summary['steps_per_epoch']:,.0f}", _number(in_seconds)]
        table.add_row(name, *cells, f"{times['reached']} of {times['n']}")
    return table


def _differences(summary: Mapping[str, Any]) -> Table:
    """Told of the better ranked one; of many pairs only those of the best."""
    from mlptrain.report.comparison.record import read_summary

    found, title = read_summary(summary), "paired differences, in percentage points"
    pairs = found.ranked_pairs
    if len(pairs) > _MOST_PAIRS:
        title += f": the best mean against the others (all {len(pairs):,} pairs: summary.md and the page)"
        pairs = [pair for pair in pairs if pair.a == found.ranking[0]]
    table = new_table("pair", title=title)
    for column in ("difference", "95 % interval", "p (Holm)", "verdict"):
        table.add_column(column, justify="left" if column == "verdict" else "right")
    for pair in pairs:
        table.add_row(
            f"{pair.a} against {pair.b}",
            f"{100 * pair.mean:+.2f}",
            "" if pair.low is None or pair.high is None else f"{100 * pair.low:+.2f} to {100 * pair.high:+.2f}",
            f"{pair.p_holm:.3g}",
            pair.verdict,
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _failures(entry: Mapping[str, Any]) -> Iterator[str]:
    """Where trials diverged, and why the machine could not train others."""
    diverged = [trial for trial in entry["trials"] if trial["status"] == "diverged"]
    if diverged:
        steps = ", ".join(f"{trial['step']} (seed {trial['seed']})" for trial in diverged)
        yield f"diverged at step {steps}"
    failed = [trial for trial in entry["trials"] if trial["status"] == "failed"]
    if failed:
        yield f"failed, and the same command tries it again: {failed[0]['message']}"
    if entry["failed_tuning_trials"]:
        yield f"failed in {entry['failed_tuning_trials']} tuning trials, which the same command tries again"


def describe_setting(setting: Mapping[str, Any]) -> str:
    """Learning rate, and whatever else is not at rest."""
    parts = [f"lr {setting['lr']:.4g}"]
    parts += [f"{key} {setting[key]:.4g}" for key in ("momentum", "weight_decay") if setting.get(key)]
    if setting.get("nesterov"):
        parts.append("nesterov")
    return f"{setting['name']}, {', '.join(parts)}"
