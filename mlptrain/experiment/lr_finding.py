"""Learning rates tried side by side: the first steps of a run, from one start on the same batches, at each rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlptrain.data import Splits
from mlptrain.errors import MachineError, UserError
from mlptrain.executors import OnAdvance, make_executor
from mlptrain.experiment.build import initial_weights, load_data, resolved_for
from mlptrain.experiment.fit import epochs_of
from mlptrain.experiment.parts import most_together, parts_of
from mlptrain.report.arrays import FloatArray, RateTrials
from mlptrain.report.loading import load_matplotlib
from mlptrain.sources.fetch import Progress
from mlptrain.sources.held import holding
from mlptrain.sources.store import data_folder
from mlptrain.spec import Config, Experiment, Loaded, OptimizerSpec, Overrides, as_loaded
from mlptrain.spec.code import code_allowed
from mlptrain.spec.constructors import defaults_of
from mlptrain.spec.dump import yaml_line
from mlptrain.spec.executor import LocalExecutor, RayExecutor, read_executor
from mlptrain.spec.optimizer import SGD, Foreign
from mlptrain.spec.schedule import Constant
from mlptrain.system.paths import AnyPath
from mlptrain.system.signals import ended_by_signals
from mlptrain.system.warn import warn
from mlptrain.training.device import ResolvedDevice, applied

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOW, HIGH, RATES, STEPS = 1e-6, 10.0, 22, 200  # three rates in every factor of ten
MIN_RATES, MAX_RATES, MAX_STEPS = 3, 200, 100_000
_CONSTANT = Constant(name="constant")
_UNTRAINED = SGD(name="sgd", lr=1e-30)  # float32 weights stay as they are
_SHARE = 0.95  # of the largest fall of the loss, in logarithms: the lowest rate that reaches it is suggested
_ALIKE = 1e-3  # of the untrained network's loss: lower ones are as good as this
_AVERAGED = 0.1  # of the steps, the last ones, whose mean is the loss at the end
_FALL = 0.01  # of the untrained network's loss: where no rate takes off as much, nothing is learnt
_JAGGED = (
    0.2  # of the fall of the loss, in logarithms. Of smooth curves (digits, MNIST, Fashion-MNIST) it is 0 to 0.01, of
)
# a table of 300 rows (penguins) 0.3 (2-core AMD EPYC, 2026-11-26)
_FAR = 4.0  # times the suggestion: a rate that diverges and lies further above leaves open where divergence begins
_WAY = 1e4  # from the rates that were tried to those of a next try, where none is of use
_ABOVE = 1e-3  # of the same: a loss that ends higher than that above it diverges
# What the first steps have no use for, or what nobody reads of them.
_LEFT_OUT: dict[str, Any] = {"ema": 0.0, "early_stopping": None, "record_steps": False, "record_layers": False}

_INTERRUPTED = "interrupted; nothing was written. Run the same command again"

OnSteps = Callable[[int, int], None]  # steps that are done, and all of them


@dataclass(frozen=True)
class LearningRates:
    """What ``lr_find`` found: the training loss at the end of so many ``steps`` at each rate, and a suggestion.

    ``losses`` are means over the last ``averaged`` steps, infinite where training was no longer finite, which ``ended``
    has the number of the step of; ``start`` is that of the untrained network on these batches. ``diverges``: the loss
    is not finite, or ends above ``start``. ``curves`` (rates, steps) are the losses of the steps. ``suggestion`` is
    None where nothing is learnt; ``warnings`` say what is doubtful. ``yaml`` is the section ``optimizer`` with the
    suggested rate, or empty.
    """

    name: str
    optimizer: OptimizerSpec
    batch_size: int
    steps: int
    averaged: int
    start: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    diverges: tuple[bool, ...]
    ended: tuple[int | None, ...]
    suggestion: float | None
    reason: str
    warnings: tuple[str, ...]
    yaml: str
    curves: FloatArray

    @cached_property
    def figure(self) -> Figure:
        """Loss against rate, and the losses of the steps."""
        load_matplotlib()
        from mlptrain.report.rate_trials import draw_rate_trials

        trials = RateTrials(
            self.name,
            self.optimizer.name,
            np.array(self.rates),
            self.curves,
            np.array(self.losses),
            self.diverges,
            self.averaged,
            self.start,
            self.suggestion,
        )
        return draw_rate_trials(trials)


def lr_find(
    config: Loaded | Config,
    *,
    overrides: Overrides = (),
    data: Any = None,
    low: float = LOW,
    high: float = HIGH,
    rates: int = RATES,
    steps: int | None = None,
    executor: str | Mapping[str, Any] | LocalExecutor | RayExecutor = "local",
    allow_code: bool = False,
    data_dir: AnyPath | None = None,
    on_fetch: Progress | None = None,
    on_steps: OnSteps | None = None,
    on_note: Callable[[str], None] = warn,
) -> LearningRates:
    """Train the first ``steps`` of a run at each of so many ``rates`` from ``low`` to ``high``, evenly in logarithms.

    All start from the run's initial weights, read its batches and draw its noise; models that can share a call do, as
    seeds do. The rate is constant: schedule, average and early stopping are left out. Only training rows are read, and
    nothing is written. ``steps`` are by default 200, or those of the run where it has fewer.

    ``executor`` is what a study's file has under this key, ``"ray"`` or ``{"name": "ray", "address": "auto"}``: the
    rates of one call are a task of the cluster, and the result is the same to the byte.

    ``config``, ``overrides``, ``data``, ``allow_code``, ``data_dir``, ``on_fetch`` and ``on_note`` are as of ``train``;
    ``on_steps`` is given the steps that are done, and how many there are at all rates together.

    Suggested is the lowest rate whose loss falls 95 % as far as that of the best one, in logarithms: the bottom of such
    a curve is flat, and its lower end holds for more steps than these. configs/README.md has what that is worth.

    Raises the errors of ``train`` on specification, data and device, UserError for rates that cannot be and a cluster
    that does not answer, MachineError where its workers die, and InterruptedRunError after a signal.
    """
    where = read_executor(executor) if isinstance(executor, (str, Mapping)) else executor
    tried = _spaced(low, high, rates)
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise UserError(f"steps {steps}: expected 1 to {MAX_STEPS:,}")
    with holding(data) as given, code_allowed(allow_code):
        experiment = as_loaded(config, overrides, given).experiment
        if steps is None:
            run = experiment.training.run_length(experiment.facts.train_rows).steps
            steps = min(STEPS, run) or STEPS
        if experiment.schedule.name != "constant" or experiment.schedule.warmup:
            on_note(
                f"the rates are constant: the schedule '{experiment.schedule.name}' is left out; optimizer.lr, "
                "which the suggestion is for, is its highest rate"
            )
        curves, ended = _train(experiment, tried, steps, where, data_dir, on_fetch, on_steps, on_note)
    averaged = max(1, round(_AVERAGED * steps))
    start, *losses = (float(loss) if math.isfinite(loss) else math.inf for loss in curves[:, -averaged:].mean(axis=1))
    losses = [math.inf if step is not None else loss for loss, step in zip(losses, ended, strict=True)]
    diverges = _diverges(losses, start)
    suggestion, reason = suggested(tried, losses, start)
    return LearningRates(
        name=experiment.name,
        optimizer=experiment.optimizer,
        batch_size=experiment.batch_size,
        steps=steps,
        averaged=averaged,
        start=start,
        rates=tuple(tried),
        losses=tuple(losses),
        diverges=tuple(diverges),
        ended=tuple(ended),
        suggestion=suggestion,
        reason=reason,
        warnings=tuple(_doubts(tried, losses, diverges, start, suggestion)),
        yaml="" if suggestion is None else _section(experiment, suggestion),
        curves=curves[1:],
    )


def suggested(rates: Sequence[float], losses: Sequence[float], start: float) -> tuple[float | None, str]:
    """A learning rate and why, from the losses at the end and that of the untrained network; None if nothing is learnt.

    The lowest rate whose loss falls 95 % as far as that of the best one, in logarithms: to best^0.95 · start^0.05. So
    it is near the best where losses differ by factors and also where most of the loss is noise; below a thousandth of
    ``start`` all losses are alike.
    """
    if not math.isfinite(start):
        return None, "nothing is learnt: the loss of the untrained network is not finite"
    best = min(range(len(rates)), key=lambda index: losses[index])
    if all(_diverges(losses, start)):
        return None, f"nothing is learnt: every rate diverges, from {rates[0]:g} on"
    if not start - losses[best] > _FALL * abs(start):
        return None, (
            f"nothing is learnt: no rate lowers the training loss by 1 % of the untrained network's, {start:.4g}"
        )
    lowest = max(losses[best], _ALIKE * start)
    chosen = next(index for index, loss in enumerate(losses) if loss <= lowest**_SHARE * start ** (1 - _SHARE))
    fell = f"from {start:.4g} to {losses[chosen]:.4g}"
    if chosen == best:
        return rates[best], f"the training loss falls furthest with it, {fell}, and with no lower rate nearly as far"
    return rates[chosen], (
        f"it is the lowest rate with which the training loss falls 95 % as far, in logarithms, as with the best one: "
        f"{fell}, with {rates[best]:g} to {losses[best]:.4g}"
    )


def _diverges(losses: Sequence[float], start: float) -> list[bool]:
    """Whether the loss ends above that of the untrained network, by rate."""
    return [loss > start + _ABOVE * abs(start) for loss in losses]


def _section(experiment: Experiment, lr: float) -> str:
    """The optimizer with another rate in one line of YAML, without what it has by default."""
    optimizer = experiment.optimizer
    given = optimizer.model_dump(exclude_defaults=True, exclude_none=True)
    if isinstance(optimizer, Foreign):
        usual = defaults_of(optimizer.name)
        given = {key: value for key, value in given.items() if key not in usual or value != usual[key]}
        given.pop("sha256", None)
        beside = experiment.folder / Path(*optimizer.name.partition(":")[0].split(".")).with_suffix(".py")
        if optimizer.path is not None and Path(optimizer.path).resolve() == beside.resolve():
            given.pop("path")  # where the name alone leads
    first = {"name": optimizer.name, "lr": lr}
    return yaml_line({"optimizer": first | given | first})


def _doubts(
    rates: Sequence[float], losses: Sequence[float], diverges: Sequence[bool], start: float, suggestion: float | None
) -> list[str]:
    """What the range of the rates leaves open, and losses that go up and down."""
    if suggestion is None and math.isfinite(start) and all(diverges):
        return [f"no rate is suggested: try lower rates, e.g. --from {rates[0] / _WAY:g} --to {rates[0]:g}"]
    if suggestion is None and not any(diverges) and rates[-1] < HIGH:
        higher = f"--from {rates[-1]:g} --to {min(HIGH, _WAY * rates[-1]):g}"
        else_what = "where these learn nothing either, `mlptrain train` says what holds the network up"
        return [f"no rate is suggested: try higher rates, e.g. {higher}; {else_what}"]
    if suggestion is None:
        return ["no rate is suggested; `mlptrain train` says of a network that does not learn what holds it up"]
    doubts, best = [], rates[min(range(len(rates)), key=lambda index: losses[index])]
    if best == rates[-1]:
        doubts.append(f"the loss is lowest at the highest rate tried, {best:g}: try higher ones, up to {100 * best:g}")
    if suggestion == rates[0]:
        lower = f"try lower ones, from {suggestion / 100:g} on"
        doubts.append(f"the lowest rate tried, {suggestion:g}, does nearly as well as the best: {lower}")
    above = next((index for index, rate in enumerate(rates) if rate > suggestion), None)
    if above is not None and diverges[above] and rates[above] > _FAR * suggestion:
        between = f"try more rates between, from {suggestion:g} to {rates[above]:g}"
        doubts.append(
            f"the next rate tried, {rates[above]:g}, diverges, and most of what lies below is open: {between}"
        )
    if (jags := _jags(losses, diverges, start)) > _JAGGED:
        doubts.append(
            f"the suggestion is uncertain: from rate to rate losses go up and down by {100 * jags:.0f} % of how far "
            "they fall, in logarithms; more steps, and other seeds, show what of this is chance"
        )
    return doubts


def _jags(losses: Sequence[float], diverges: Sequence[bool], start: float) -> float:
    """How far the loss rises on its way down to the best rate, or falls again above it, as a part of its whole fall."""
    best = min(range(len(losses)), key=lambda index: losses[index])
    end = next((index for index in range(best, len(losses)) if diverges[index]), len(losses))
    floored = [math.log(max(loss, _ALIKE * start)) for loss in losses[:end]]
    down, up = floored[: best + 1], floored[best:]
    rise = max(loss - low for loss, low in zip(down, accumulate(down, min), strict=True))
    fall = max(high - loss for loss, high in zip(up, accumulate(up, max), strict=True))
    return max(rise, fall) / (math.log(start) - floored[best])


def _spaced(low: float, high: float, count: int) -> list[float]:
    """Rates from ``low`` to ``high``, evenly in logarithms, each with no more digits than it needs to be another."""
    if not 0 < low < high <= 1e30:  # as optimizer.lr has it
        raise UserError(f"rates from {low:g} to {high:g}: expected two numbers above 0, the lower first")
    if not MIN_RATES <= count <= MAX_RATES:
        raise UserError(f"{count} rates: expected {MIN_RATES} to {MAX_RATES}")
    exact = np.geomspace(low, high, count)[1:-1].tolist()
    for digits in range(2, 17):
        spaced = [low, *(float(f"{rate:.{digits}g}") for rate in exact), high]
        if all(before < after for before, after in pairwise(spaced)):
            return spaced
    raise UserError(f"rates from {low:g} to {high:g}: between them there are no {count} different ones")


@dataclass(frozen=True)
class _Losses:
    """Of some of the models, at their ``places`` among all: the losses (places, steps), and where each diverged."""

    places: tuple[int, ...]
    curves: FloatArray
    ended: tuple[int | None, ...]


@dataclass(frozen=True)
class _Part:
    """The models of one trainer, at their ``places`` among all: an executor's job.

    They differ from the ``base`` by their optimizers, ``sections``. Which models these are follows from sizes and
    settings alone, so that a cluster gives the same bytes, and a killed node loses no more than its parts.
    """

    base: Experiment
    places: tuple[int, ...]
    sections: tuple[OptimizerSpec, ...]
    steps: int
    resolved: ResolvedDevice
    data_dir: Path

    @property
    def size(self) -> float:
        """How many steps it has."""
        return self.steps

    def optimizers(self) -> Iterable[OptimizerSpec]:
        """Those of its models."""
        return self.sections

    def run(self, on_advance: OnAdvance) -> _Losses:
        """Train its models. Raises the errors of mlptrain.errors on data and device."""
        models = [self.base.changed(optimizer=section) for section in self.sections]
        curves = np.full((len(models), self.steps), np.nan)
        ended: list[int | None] = [None] * len(models)
        per_epoch = self.base.steps_per_epoch
        last_steps = self.steps - (self.base.training.epochs - 1) * per_epoch
        done = 0

        def stepped() -> bool:
            nonlocal done
            if done < self.steps:  # steps are trained again for the others where a model has diverged
                done += 1
                on_advance(1)
            return False

        with applied(self.resolved):
            splits = [_splits(self.base, self.data_dir)] * len(models)
            for found in epochs_of(models, splits, evaluate=False, should_stop=stepped, last_steps=last_steps):
                for place, epoch in enumerate(found):
                    if epoch is None or epoch.step_losses is None:
                        continue
                    first = (epoch.epoch - 1) * per_epoch
                    curves[place, first : first + len(epoch.step_losses)] = epoch.step_losses
                    ended[place] = None if epoch.ending is None else epoch.ending.step
        if done < self.steps:  # where all of its models have diverged
            on_advance(self.steps - done)
        return _Losses(self.places, curves, tuple(ended))

    def failed(self, reason: str) -> _Losses:
        """Raises MachineError: where rates are missing nothing can be suggested."""
        raise MachineError(f"executor ray: a part of the rates cannot be trained ({reason})")


_kept: list[tuple[Experiment, Path, Splits]] = []  # one at most, from part to part: jobs are handed no data


def _splits(base: Experiment, data_dir: Path, on_fetch: Progress | None = None) -> Splits:
    if not _kept or _kept[0][:2] != (base, data_dir):
        _kept[:] = [(base, data_dir, load_data(base, data_dir=data_dir, on_fetch=on_fetch))]
    return _kept[0][2]


def _train(
    experiment: Experiment,
    rates: Sequence[float],
    steps: int,
    where: LocalExecutor | RayExecutor,
    data_dir: AnyPath | None,
    on_fetch: Progress | None,
    on_steps: OnSteps | None,
    on_note: Callable[[str], None],
) -> tuple[FloatArray, list[int | None]]:
    """The losses of all steps (1 + rates, steps), of the untrained network first, and where each rate diverged."""
    epochs = -(-steps // experiment.steps_per_epoch)
    base = experiment.changed(schedule=_CONSTANT).with_training(epochs=epochs, **_LEFT_OUT)
    resolved = resolved_for(base, models=min(len(rates) + 1, most_together(base)))
    base = base.with_training(**asdict(resolved))
    if (weights := initial_weights(base)) is not None:  # by their digest, so that a node whose file has others refuses
        base = base.with_weights(weights.file.absolute(), sha256=weights.sha256)
    folder = data_folder(data_dir).resolve()  # workers elsewhere have another working folder
    sections = [_UNTRAINED, *(base.optimizer.model_copy(update={"lr": rate}) for rate in rates)]
    curves = np.full((len(sections), steps), np.nan)
    ended: list[int | None] = [None] * len(sections)
    done = 0.0

    def take(found: _Losses) -> None:
        for place, curve, step in zip(found.places, found.curves, found.ended, strict=True):
            curves[place], ended[place] = curve, step

    def advance(more: float) -> None:
        nonlocal done
        done += more
        if on_steps is not None:
            on_steps(round(done), len(parts) * steps)

    try:
        with ended_by_signals(_INTERRUPTED), closing(make_executor(where)) as executor:
            with applied(resolved):  # here, also for parts that run elsewhere: faulty data are reported at once
                splits = _splits(base, folder, on_fetch)
                models = [base.changed(optimizer=section) for section in sections]
                parts = [
                    _Part(base, tuple(part), tuple(sections[place] for place in part), steps, resolved, folder)
                    for part in parts_of(models, [splits] * len(models))
                ]
            if isinstance(where, RayExecutor) and len(parts) == 1:
                on_note("executor ray: one worker trains all rates, since they share a call")
            executor.run(parts, take, advance)  # one after the other, which keeps the weights of one in memory
    finally:
        _kept.clear()
    return curves, ended[1:]
