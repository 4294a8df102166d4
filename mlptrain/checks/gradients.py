"""The gradient check of a configuration or of trained weights, on the batch that training would take next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from mlptrain.data import Examples
from mlptrain.data.batches import epoch_order
from mlptrain.errors import UserError
from mlptrain.experiment.build import (
    SharedData,
    build_network,
    fitted_loss,
    initial_parameters,
    load_data,
    loss_of,
    prepared,
)
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.evaluate import load_kept, load_split
from mlptrain.nn.gradcheck import GradientCheck, ParameterCheck, check_gradients
from mlptrain.nn.losses import Loss
from mlptrain.nn.parameters import Parameters
from mlptrain.runs import RunGroup
from mlptrain.seeds import derived_seed
from mlptrain.sources.fetch import Progress
from mlptrain.spec import Config, Experiment, Loaded, Overrides, as_loaded
from mlptrain.spec.base import first_of
from mlptrain.system.paths import AnyPath, user_path
from mlptrain.training.device import applied, resolve_device

MAX_ROWS = 100  # more rows check nothing more, and bring every coordinate nearer to a kink
_MAX_NAMED = 5


def gradcheck(
    source: Loaded | Checkpoint | Config,
    *,
    overrides: Overrides = (),
    data_dir: AnyPath | None = None,
    on_fetch: Progress | None = None,
) -> GradientCheck:
    """Check the gradients of an experiment before training, or of a trained network, in float64 on the CPU.

    ``source`` is a configuration, or a run folder or checkpoint file with its weights. Taken is the next batch: the
    first of epoch 1, or of the epoch after the one whose weights were kept, without augmentation. Of more than 100
    rows as many are taken, evenly spaced. Coordinates of large tensors are drawn by the seed, so that a check repeats
    itself.

    Raises the errors of mlptrain.errors for the specification, checkpoint and data, and UserError where gradients are
    not finite.
    """
    if not isinstance(source, (Loaded, Checkpoint, Mapping)) and holds_weights(user_path(source)):
        source = load_kept(source)
    if isinstance(source, Checkpoint):
        _, train = load_split(source, "train", data_dir=data_dir, on_fetch=on_fetch)
        parameters = Parameters.zeros(source.experiment.shapes).copy_(source.state.parameters)
        loss = loss_of([source.experiment], [source.class_weights], [source.preprocessing.target])
        return _check(source.experiment, train, loss, parameters, epoch=source.epoch + 1)
    experiment = as_loaded(source, overrides).experiment
    return _check_initial(experiment, load_data(experiment, data_dir=data_dir, on_fetch=on_fetch).train)


Outcomes = Iterator[tuple[int, GradientCheck | UserError]]


def gradcheck_seeds(
    config: Loaded | Config,
    seeds: Sequence[int],
    *,
    overrides: Overrides = (),
    data_dir: AnyPath | None = None,
    on_fetch: Progress | None = None,
) -> Outcomes:
    """``gradcheck`` of a configuration with each of these seeds: every seed with its check, or why there is none.

    Raises as ``gradcheck`` where no seed can be checked.
    """
    experiment = as_loaded(config, overrides).experiment
    of_seed = SharedData(experiment, data_dir=data_dir, on_fetch=on_fetch)
    for seed in seeds:
        yield seed, _or_reason(partial(_check_seed, experiment.changed(seed=seed), of_seed))


def gradcheck_group(path: AnyPath, *, data_dir: AnyPath | None = None, on_fetch: Progress | None = None) -> Outcomes:
    """``gradcheck`` of the trained weights of every run of a group: its number with its check, or why not."""
    group = RunGroup.open(user_path(path))
    for number in group.numbers:
        check = partial(gradcheck, group.member(number), data_dir=data_dir, on_fetch=on_fetch)
        yield number, _or_reason(check)


def _or_reason(check: Callable[[], GradientCheck]) -> GradientCheck | UserError:
    try:
        return check()
    except UserError as error:
        return error


def holds_weights(path: Path) -> bool:
    """Whether a path names trained weights, a folder or a checkpoint file, rather than a configuration."""
    return path.is_dir() or path.suffix == ".safetensors"


@dataclass(frozen=True)
class Worst:
    """The largest error of one kind over all networks: None where there is none."""

    error: float
    number: int
    parameter: str


@dataclass(frozen=True)
class SeedsCheck:
    """The checks of one network with several seeds; ``refused`` holds the seeds without one, and why.

    Or of several folds, if the ``word`` says so.
    """

    checks: Mapping[int, GradientCheck]
    refused: Mapping[int, str]
    word: str = "seed"

    @classmethod
    def of(cls, outcomes: Iterable[tuple[int, GradientCheck | UserError]], *, word: str = "seed") -> SeedsCheck:
        """Gather ``gradcheck_seeds`` or ``gradcheck_group``. Raises the first refusal where there is nothing else."""
        found = dict(outcomes)
        refused = {seed: outcome for seed, outcome in found.items() if isinstance(outcome, UserError)}
        if found and len(refused) == len(found):
            raise next(iter(refused.values()))
        checks = {seed: outcome for seed, outcome in found.items() if isinstance(outcome, GradientCheck)}
        return cls(checks, {seed: str(error) for seed, error in refused.items()}, word)

    @property
    def passed(self) -> bool | None:
        """As that of one check: False where one failed, else None where one could not be checked wholly."""
        outcomes = [check.passed for check in self.checks.values()]
        return False if False in outcomes else None if None in outcomes or self.refused else True

    def worst(self, kind: Literal["autograd_error", "difference_error"]) -> Worst | None:
        """The largest of all networks and tensors."""
        errors = [
            Worst(error, seed, parameter.name)
            for seed, check in self.checks.items()
            for parameter in check.parameters
            if (error := getattr(parameter, kind)) is not None
        ]
        return max(errors, key=lambda one: one.error, default=None)

    @property
    def by_parameter(self) -> list[tuple[ParameterCheck, ...]]:
        """The checks of every tensor, over the seeds."""
        return list(zip(*(check.parameters for check in self.checks.values()), strict=True))

    @property
    def verdict(self) -> str:
        """How many networks passed, and of the others what became of them."""
        total, outcomes = len(self.checks) + len(self.refused), {s: c.passed for s, c in self.checks.items()}
        passed = sum(outcome is True for outcome in outcomes.values())
        others = {
            "disagree": [seed for seed, outcome in outcomes.items() if outcome is False],
            "not wholly checked": [seed for seed, outcome in outcomes.items() if outcome is None],
            "cannot be checked": list(self.refused),
        }
        named = "".join(f"; {what}: {self._named(numbers)}" for what, numbers in others.items() if numbers)
        return f"{passed} of {total} networks passed{named}."

    def _named(self, numbers: Sequence[int]) -> str:
        return f"{self.word}{'s' * (len(numbers) > 1)} {first_of(list(map(str, numbers)), _MAX_NAMED)}"


def _check_seed(experiment: Experiment, of_seed: SharedData) -> GradientCheck:
    return _check_initial(experiment, of_seed(experiment.seed).train)


def _check_initial(experiment: Experiment, train: Examples) -> GradientCheck:
    parameters = initial_parameters(experiment, build_network(experiment), train)
    return _check(experiment, train, fitted_loss(experiment, train), parameters, epoch=1)


def _check(experiment: Experiment, train: Examples, loss: Loss, parameters: Parameters, *, epoch: int) -> GradientCheck:
    """The check on the first batch of an epoch."""
    experiment = experiment.with_training(device="cpu")
    with applied(resolve_device(device="cpu", precision="highest", threads=experiment.training.threads)):
        network = build_network(experiment)
        ready = prepared(train, loss=loss, experiment=experiment, device="cpu")
        shuffle = experiment.training.shuffle and experiment.steps_per_epoch > 1
        rows = epoch_order(len(ready), seed=experiment.seed, epoch=epoch, shuffle=shuffle)[: experiment.batch_size]
        rows = rows[:: -(-len(rows) // MAX_ROWS)]
        return check_gradients(
            network,
            loss=loss,
            parameters=parameters,
            x=ready.inputs[rows],
            targets=ready.targets[rows],
            generator=torch.Generator().manual_seed(derived_seed(experiment.seed, "gradcheck")),
            weight_decay=experiment.optimizer.penalty,
            decay_for=experiment.optimizer.weight_decay_for,
            l1=experiment.training.l1,
            noise=(experiment.seed, epoch),
            adversarial=experiment.training.adversarial,
        )
