"""Short trainings from the initial weights that show whether a change of a configuration would help.

Learning rates are tried side by side, as models that train together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from mlptrain.data import Examples, Preprocessing
from mlptrain.experiment.build import build_network, class_weights_of, fitted_loss, initial_parameters, prepared
from mlptrain.experiment.parts import chunks, most_together
from mlptrain.nn.losses import Loss, make_loss
from mlptrain.spec import Experiment, OptimizerSpec
from mlptrain.spec.optimizer import LBFGS
from mlptrain.training.metrics import Metrics, evaluate
from mlptrain.training.trainer import Model, Trainer
from mlptrain.updates.wrapped import StepError, needs_closure

STEPS = 100
RATES = (1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)
# Of a network that many are too costly for. 1 is left out: two layers of 2,048 had an accuracy of 0.56 after a trial at
# 0.3 and of 0.14 at 0.1; 1 took at most a tenth more off the loss than 0.1.
_FEW_RATES = (1e-6, 1e-4, 1e-3, 1e-2, 0.1, 0.3)
# Of L-BFGS, whose models cannot train side by side; its usual rate is 1.
_LBFGS_RATES = (1e-3, 1e-2, 0.1, 1.0)
_LBFGS_ITERATIONS = 20  # of a step of it, torch's default: a trial has as many evaluations as others have steps
_LBFGS_ROWS = 256  # which are its whole batch
_CALL = 20_000_000  # what an evaluation costs besides its products, where each model has its own: 0.1 ms
MIN_STEPS = 40
_MAX_BATCH = 64  # where the loss is a mean, a smaller batch says as much of a rate
_BUDGET = 1e11  # multiplications and additions that a diagnosis may cost at least: 0.6 s of one core
_FEW = 10  # models that train together have trials as long as one alone; of more, each has a share of the time
_PROBE_ROWS = 1024
_MEASURED_ROWS = 2048
_FOR_MEASURING = 0.2  # of the budget: for measurements of layers
_MEASUREMENTS = 6  # of all layers, counted twice for float64: after training, before it, and with changes
# Where the budget is short:
_SHORT_STEPS, _SHORT_BATCH, _FEW_ROWS = 5, 32, 128
_SINGLES = 3  # trials besides those of all rates: the run's own rate, and changes at that
# So short a run is no average's measure, and a step is to cost what ``_BUDGET`` counts.
_LEFT_OUT = {"ema": 0.0, "adversarial": None, "norm_statistics": "running"}


class Trials:
    """Trials of an experiment's variants on its training rows. ``models`` train together.

    All that a diagnosis computes is to cost no more than the run, counted in multiplications and additions so that it
    repeats, or than ``_BUDGET`` where the run costs less. Where that does not last, ``steps`` and ``batch_size`` are
    smaller, there are fewer ``rates``, and fewer rows, ``measured``, that its layers are measured on. An optimizer with
    a closure has fewer steps, as many as it has evaluations in each. ``least`` steps show something.
    """

    def __init__(self, experiment: Experiment, train: Examples, *, models: int = 1) -> None:
        self._train = train
        self._device = experiment.training.device
        self._found: dict[tuple[str, float], Metrics] = {}
        self._constants: dict[str, float] = {}
        self._scalings = {repr(experiment.data.scaling): train.preprocessing}
        weights = sum(math.prod(shape) for shape in experiment.parameter_shapes.values()) * experiment.model.members.k
        self._row = 6 * weights  # what a row costs, forward and backward
        least = _BUDGET / max(1, models / _FEW)
        budget = max(least, self._row * experiment.facts.train_rows * experiment.training.epochs)
        self._left = (1 - _FOR_MEASURING) * budget
        self._probe = max(_FEW_ROWS, min(_PROBE_ROWS, int(self._left / self._row / 100)))
        self.measured = max(_FEW_ROWS, min(_MEASURED_ROWS, int(_FOR_MEASURING * budget / (_MEASUREMENTS * self._row))))
        self.rates: Sequence[float] = RATES
        is_lbfgs = isinstance(experiment.optimizer, LBFGS)
        self.batch_size = self._batch(experiment, _LBFGS_ROWS if is_lbfgs else _MAX_BATCH)
        self._evaluations = 1  # of a step, about
        if needs_closure(experiment.optimizer):
            self._evaluations = _LBFGS_ITERATIONS * 5 // 4 if is_lbfgs else 2
            self.rates = _LBFGS_RATES if is_lbfgs else _FEW_RATES
        wanted = max(MIN_STEPS, min(STEPS, int(least / (self._row * self.batch_size * (len(RATES) + 1)))))
        self.steps = min(wanted, self._affordable_steps())
        if self.steps < MIN_STEPS / 2:
            self.rates, self.batch_size = _FEW_RATES, self._batch(experiment, _SHORT_BATCH)
            self.steps = max(_SHORT_STEPS, min(wanted, self._affordable_steps()))
        self.steps, self.least = (max(1, steps // self._evaluations) for steps in (self.steps, MIN_STEPS))

    @staticmethod
    def _batch(experiment: Experiment, most: int) -> int:
        return experiment.batch_size if experiment.loss.reduction == "sum" else min(experiment.batch_size, most)

    def _affordable_steps(self) -> int:
        """The steps of a trial, of which all rates and a few settings at the run's own are to be affordable."""
        return int(
            (self._left / (len(self.rates) + _SINGLES) - self._row * self._probe / 3) / (self._row * self.batch_size)
        )

    def affords(self, trials: Iterable[tuple[Experiment, float]]) -> bool:
        """Whether such trials, each at its rate, leave enough to try every learning rate once more."""
        missing = {found for experiment, rate in trials if (found := (_key(experiment), rate)) not in self._found}
        return (len(missing) + len(self.rates)) * self._cost <= self._left

    @property
    def _cost(self) -> float:
        """What a trial costs."""
        evaluations = self.steps * self._evaluations
        calls = evaluations * _CALL if self._evaluations > 1 else 0
        return self._row * (evaluations * self.batch_size + self._probe / 3) + calls

    def rows(self, experiment: Experiment, n: int) -> Examples:
        """``n`` training rows of a variant, as its scaling and its loss make them, on the device. Raises DataError."""
        scaling = experiment.data.scaling
        if (key := repr(scaling)) not in self._scalings:
            plain = scaling if isinstance(scaling, str) else scaling.model_dump()
            self._scalings[key] = Preprocessing.fit(plain, self._train.stored, experiment.facts)
        chosen = self._train.spaced(n)
        weight = None if chosen.weight is None else chosen.chosen_weights()
        few = Examples(chosen.stored(), chosen.targets, None, self._scalings[key], weight)
        return prepared(
            few,
            loss=make_loss(experiment.loss, (), [self._train.preprocessing.target]),
            experiment=experiment,
            device=self._device,
        )

    def constant_loss(self, experiment: Experiment) -> float:
        """What the best constant guess costs on the training rows."""
        if (key := repr(experiment.loss)) not in self._constants:
            loss = make_loss(experiment.loss, [class_weights_of(experiment, self._train)])
            targets = loss.encode_targets(self._train.targets, experiment.output_width)
            self._constants[key] = best_constant_loss(experiment, loss, targets)
        return self._constants[key]

    def at(self, experiment: Experiment, rates: Sequence[float]) -> list[Metrics]:
        """Loss and accuracy on a sample of the training rows after the trial with each learning rate.

        The loss is infinite where training diverges.
        """
        key = _key(experiment)
        if missing := [rate for rate in dict.fromkeys(rates) if (key, rate) not in self._found]:
            found = self._run(experiment, missing)
            self._found |= {(key, rate): metrics for rate, metrics in zip(missing, found, strict=True)}
        return [self._found[key, rate] for rate in rates]

    def _run(self, experiment: Experiment, rates: Sequence[float]) -> list[Metrics]:
        if needs_closure(experiment.optimizer) and len(rates) > 1:  # see experiment.parts.most_together
            return [self._run(experiment, [rate])[0] for rate in rates]
        batches = 1 if isinstance(experiment.optimizer, LBFGS) else self.steps
        rows, loss = self.rows(experiment, batches * self.batch_size), fitted_loss(experiment, self._train)
        network, classify = build_network(experiment), not experiment.facts.is_regression
        initial = initial_parameters(experiment, network, rows).clone(device=self._device)
        probe = rows.spaced(self._probe)
        measure = partial(evaluate, network, loss=loss, examples=probe, classify=classify)
        found: list[Metrics] = []
        for part in self._parts(experiment, rates):
            trainer = Trainer(
                network,
                models=[
                    Model(initial, _tried(experiment, rate), experiment.seed, examples=rows, evaluated=None)
                    for rate in part
                ],
                loss=loss,
                classify=classify,
                batch_size=self.batch_size,
                shuffle=True,
                training=experiment.training.model_copy(update=_LEFT_OUT),
            )
            epochs = -(-self.steps // trainer.steps_per_epoch)
            try:
                for _ in trainer.epochs(first=1, last=epochs, should_stop=lambda: False):
                    pass
            except StepError:  # of a class that cannot go on from where this rate has led it
                found += [Metrics(math.inf, None)] * len(part)
                continue
            found += map(measure, trainer.parameters.members)
        self._left -= len(rates) * self._cost
        return [one if math.isfinite(one.loss) else Metrics(math.inf, one.accuracy) for one in found]

    def _parts(self, experiment: Experiment, rates: Sequence[float]) -> Sequence[Sequence[float]]:
        """The rates whose models train together: as many as a group has in one trainer."""
        return chunks(rates, most_together(experiment) if self._device == "cpu" else len(rates))


def _key(experiment: Experiment) -> str:
    """The same for all that differ in their learning rate alone."""
    return repr(experiment.spec.model_copy(update={"optimizer": _with_rate(experiment, 1.0)}))


def _with_rate(experiment: Experiment, rate: float) -> OptimizerSpec:
    return experiment.optimizer.model_copy(update={"lr": rate})


def _tried(experiment: Experiment, rate: float) -> OptimizerSpec:
    section = _with_rate(experiment, rate)
    if isinstance(section, LBFGS):
        iterations = min(section.max_iter, _LBFGS_ITERATIONS)
        return section.model_copy(update={"max_iter": iterations, "max_eval": None})
    return section


def best_constant_loss(experiment: Experiment, loss: Loss, targets: Tensor) -> float:
    """The mean loss per example of ``Loss.constant_guess``; ``targets`` as the loss reads them."""
    targets = targets.double() if targets.is_floating_point() else targets
    guess = loss.constant_guess(targets, experiment.output_width).double()
    if targets.is_floating_point():
        return float(loss.per_example(guess.expand(len(targets), -1), targets).mean())
    labels, counts = torch.unique(targets, return_counts=True)  # all rows of a class cost the same
    return float((loss.per_example(guess.expand(len(labels), -1), labels) * counts).sum() / len(targets))


def even_constant_loss(experiment: Experiment) -> float:
    """``best_constant_loss`` of classes, or of labels, that are equally frequent: ln k for cross-entropy."""
    k, section = len(experiment.facts.class_names), experiment.loss
    if not section.is_plain:
        section = section.model_copy(update={"class_weights": "none", "label_smoothing": 0.0})
    loss = make_loss(section)
    rows = torch.tensor([[0.0] * k, [1.0] * k]) if experiment.facts.is_multi_label else torch.arange(k)
    return best_constant_loss(experiment, loss, loss.encode_targets(rows, experiment.output_width))


def largest_share(targets: Tensor) -> float:
    """The share of the most frequent class among the rows (n, …), or of the most frequent choice of labels."""
    return int(torch.unique(targets, dim=0, return_counts=True)[1].max()) / len(targets)
