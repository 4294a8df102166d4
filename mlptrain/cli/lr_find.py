"""``mlptrain lr-find``: learning rates tried side by side. Torch and matplotlib are imported inside."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import AllowCode, Config, DataDir, Json, Set, output_file

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from mlptrain.experiment.lr_finding import LearningRates

_SHOWN_EVERY = 0.1  # seconds, in a terminal; elsewhere a line every two
_LINE_EVERY = 2.0


def lr_find(
    config: Config,
    overrides: Set = [],  # noqa: B006 - typer copies it
    low: Annotated[float, typer.Option("--from", metavar="RATE", help="The lowest rate.")] = 1e-6,
    high: Annotated[float, typer.Option("--to", metavar="RATE", help="The highest rate.")] = 10.0,
    rates: Annotated[int, typer.Option(min=3, max=200, help="How many, evenly in logarithms.")] = 22,
    steps: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Steps at each rate; default 200, or those of a shorter run.")
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            metavar="<local|ray>",
            help="Where the rates are trained: local, ray, which starts Ray here, or as in a study's file, e.g. "
            '"{name: ray, address: auto}" for the cluster that runs here. The result is the same to the byte.',
        ),
    ] = "local",
    out: Annotated[
        Path | None,
        typer.Option(help="The picture's file, ending in .png or .svg; default: lr-find.png, in this folder."),
    ] = None,
    code: AllowCode = False,  # noqa: ARG001 - its callback allows it
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find a learning rate: try many at once.

    The first steps of the run at each rate, from the same start on the same batches, without the configuration's
    schedule; only training rows are read. Ends with the training loss by rate, where it diverges, a suggestion with its
    reason, and a picture. `mlptrain train` then says what a rate is worth on validation rows.
    """
    from mlptrain.report.loading import load_matplotlib
    from mlptrain.spec import load_spec
    from mlptrain.spec.executor import divides_gpus, read_executor

    where = read_executor(executor, source="--executor")
    loaded = load_spec(config, overrides)  # before torch is imported: a typing error is answered at once
    screen.show_warnings([*loaded.warnings, *loaded.dropped])
    device = loaded.experiment.training.device
    if divides_gpus(where) and device == "cpu":
        screen.show_warnings(["--executor  gpus: has no effect: training.device is cpu"])
    screen.warn_without_gpu(where, device, where="--executor  gpus", key="training.device")
    load_matplotlib()
    file = output_file(out, default=Path("lr-find.png"), what="picture", suffixes=(".png", ".svg"))
    from mlptrain.experiment import lr_find as find
    from mlptrain.report.style import picture_bytes

    with _Steps() as progress:
        found = find(
            loaded,
            low=low,
            high=high,
            rates=rates,
            steps=steps,
            executor=where,
            data_dir=data_dir,
            on_fetch=progress.fetch,
            on_steps=progress.steps,
            on_note=progress.note,
        )
    screen.write_file(file, picture_bytes(found.figure, file.suffix.lower().removeprefix(".")), announced=False)
    screen.show_warnings(found.warnings)
    if as_json:
        screen.say_json(_report(config, found, file))
    else:
        _show(config, found, file)


def _report(config: Path, found: LearningRates, file: Path) -> dict[str, Any]:
    columns = zip(found.rates, found.losses, found.diverges, found.ended, strict=True)
    return {
        "config": str(config),
        "optimizer": found.optimizer.name,
        "steps": found.steps,
        "averaged": found.averaged,
        "start": found.start,
        "rates": [{"lr": lr, "loss": loss, "diverges": bad, "step": step} for lr, loss, bad, step in columns],
        "suggestion": found.suggestion,
        "reason": found.reason,
        "warnings": list(found.warnings),
        "yaml": found.yaml,
        "picture": str(file),
    }


def _show(config: Path, found: LearningRates, file: Path) -> None:
    screen.say(
        f"{found.optimizer.name}, {found.steps:,} steps of {found.batch_size:,} rows at each rate; training loss, mean "
        f"of the last {found.averaged:,}; the untrained network's is {found.start:.4g}:"
    )
    rows = []
    for lr, loss, bad, step in zip(found.rates, found.losses, found.diverges, found.ended, strict=True):
        words = "suggested" if lr == found.suggestion else ""
        if bad:
            words = "diverges" if step is None else f"diverges: not finite at step {step:,}"
        rows.append((f"{lr:g}", f"{loss:.4g}" if math.isfinite(loss) else "–", words))
    screen.show_table(("lr", "loss", ""), rows, right=(0, 1))
    if found.suggestion is None:
        screen.say(found.reason)
    else:
        screen.say(f"suggested: {found.suggestion:g}, since {found.reason}")
        screen.say(f"in {config}: {found.yaml}")
    screen.say(file)


class _Steps(screen.Fetching):
    """Progress of the steps of all rates: a bar in a terminal, elsewhere a line now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._training: RichProgress | None = None
        self._task: Any = None
        self._shown_at = time.monotonic()

    def steps(self, done: int, total: int) -> None:
        """So many steps are done."""
        now = time.monotonic()
        if now - self._shown_at < (_SHOWN_EVERY if self._console.is_terminal else _LINE_EVERY):
            return
        self._shown_at = now
        if not self._console.is_terminal:
            self._console.print(f"{100 * done / total:.0f} % of the steps")
            return
        if self._training is None:
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

            words = TextColumn("{task.percentage:.0f} % of the steps")
            self._training = self.new_bars(words, BarColumn(bar_width=20), TimeRemainingColumn())
            self._task = self._training.add_task("", total=total)
        self._training.update(self._task, completed=done)
