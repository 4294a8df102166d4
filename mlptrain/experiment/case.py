"""One run whose network did not learn: its configuration with changes, and what these do in short trainings.

A cause is a measurement with the changes of the configuration that it asks for. All changes are one mapping from keys
to values, so that no two of them contradict each other: later measurements are made on the configuration with the
earlier changes, and what a sentence advises is read off that mapping at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlptrain.data import Splits
from mlptrain.errors import MlptrainError
from mlptrain.experiment.build import build_network, fitted_loss, initial_parameters
from mlptrain.experiment.trials import Trials
from mlptrain.runs.records import Diagnosis, Kind, plain_value
from mlptrain.spec import Experiment, load_text, to_yaml
from mlptrain.training.layers import LayerFigures, measure_layers
from mlptrain.training.trainer import TrainedModel


class Case:
    """One run, its configuration with the changes found so far, and the causes that ask for them.

    ``loss`` is that of its last epoch, and ``layers`` are those of the last weights; of a run that diverged there are
    none. ``epochs`` are those that were trained, by default all.
    """

    def __init__(
        self,
        experiment: Experiment,
        splits: Splits,
        model: TrainedModel,
        trials: Trials,
        *,
        kind: Kind,
        loss: float = math.inf,
        layers: Sequence[LayerFigures] = (),
        epochs: int | None = None,
    ) -> None:
        self.experiment = self.changed = experiment
        self.model, self.kind, self.loss, self.layers = model, kind, loss, layers
        self._train = splits.train
        self.epochs = experiment.training.epochs if epochs is None else epochs
        self.trials = trials
        self.remedies: dict[str, Any] = {}
        self._first_layers: dict[str, list[LayerFigures]] = {}
        self._causes: list[tuple[str, tuple[str, ...]]] = []

    def add(self, cause: str, **remedies: Any) -> None:
        """A cause, and the keys to change with their values; a double underscore stands for a point."""
        changes = _by_path(remedies)
        self._causes.append((cause, tuple(changes)))
        self.remedies |= changes
        self.changed = with_changes(self.experiment, self.remedies)

    def first_layers(self) -> list[LayerFigures]:
        """The layers before training, with the changes so far."""
        experiment = self.changed
        if (key := repr((experiment.model, experiment.data, experiment.loss))) not in self._first_layers:
            rows, network = self.trials.rows(experiment, self.trials.measured), build_network(experiment)
            initial = initial_parameters(experiment, network, rows).clone(device=experiment.training.device)
            self._first_layers[key] = measure_layers(
                network, initial, loss=fitted_loss(experiment, self._train), x=rows.inputs, targets=rows.targets
            )
        return self._first_layers[key]

    def helps(self, *, share: float = 0.5, **remedies: Any) -> bool:
        """Whether the trials learn more with a change at the run's own learning rate.

        Or where without it even the best rate learns less than a ``share`` of what the best one learns with it. A
        change that the data or the specification refuse does not help, nor is one tried that costs too much.
        """
        rates = self.trials.rates
        try:
            before, after = self.changed, with_changes(self.changed, _by_path(remedies))
            lr = self.experiment.optimizer.lr
            if not self.trials.affords([(before, lr), (after, lr)]):
                return False
            old, new = self._gain(before, [lr]), self._gain(after, [lr])
            if new > max(1.5 * old, old + 0.05):
                return True
            if share == 0 or not self.trials.affords((one, rate) for one in (before, after) for rate in rates):
                return False
            return self._gain(before, rates) < share * self._gain(after, rates)
        except MlptrainError:
            return False

    def _gain(self, experiment: Experiment, rates: Sequence[float]) -> float:
        """What the best of some learning rates takes off the loss of a constant guess, as a share of it."""
        best = min(one.loss for one in self.trials.at(experiment, rates))
        return max(0.0, 1 - best / self.trials.constant_loss(experiment))

    def learns_at_its_rate(self) -> bool:
        """Whether the run's own learning rate, held constant, does better in the trials than the run did."""
        [own] = self.trials.at(self.changed, [self.experiment.optimizer.lr])
        return own.loss < min(self.loss, self.trials.constant_loss(self.changed))

    def learnable(self) -> bool:
        """Whether any learning rate of the trials does better than a constant guess."""
        return self._gain(self.changed, self.trials.rates) > 0.03

    def diagnosis(self, message: str) -> Diagnosis:
        """What was found, with every piece of advice as it is at the end."""
        causes = [cause + self._advice(cause, keys) for cause, keys in self._causes]
        if not self.remedies:
            known = "no known cause was found" if not causes else "no change was found that helps"
            causes.append(f"{known}; {self._nothing_learns()}")
        return Diagnosis(kind=self.kind, message=message, causes=causes, remedies=self.remedies, trial=self._trial())

    def _advice(self, cause: str, keys: Sequence[str]) -> str:
        tried = [
            plain_value(self.remedies[key])
            if cause.startswith(f"{key}:")
            else f"{key} {plain_value(self.remedies[key])}"
            for key in keys
        ]
        return f"; try {' and '.join(tried)}" if tried else ""

    def _nothing_learns(self) -> str:
        rates = self.trials.rates
        best = min(one.loss for one in self.trials.at(self.changed, rates))
        message = (
            f"of the learning rates from {rates[0]:g} to {rates[-1]:g} none ends below a loss of {best:.4g} in "
            f"{self.trials.steps} trial steps"
        )
        if best > 0.8 * self.trials.constant_loss(self.changed):
            message += ", so that the network may be too small, or the inputs may say little about the targets"
        return message

    def _trial(self) -> str:
        """What the changes did in the trials, where it can be seen there."""
        lr = self.experiment.optimizer.lr
        [before] = self.trials.at(self.experiment, [lr])
        [after] = self.trials.at(self.changed, [self.changed.optimizer.lr])
        if before.accuracy is not None and after.accuracy is not None and math.isfinite(after.loss):
            what, old, new = "accuracy", before.accuracy, after.accuracy
            better = new > old
        else:
            what, old, new = "loss", before.loss, after.loss
            better = new < old
        if not better:
            return ""
        instead = f"{old:.3g}" if math.isfinite(before.loss) else "a divergence"
        return f"{what} {new:.3g} instead of {instead} in {self.trials.steps} trial steps"


def with_changes(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """The experiment with keys such as ``optimizer.lr`` set, as ``--set`` would."""
    overrides = [f"{key}={plain_value(value)}" for key, value in changes.items()]
    changed = load_text(to_yaml(experiment.spec), overrides=overrides, facts=experiment.facts).experiment
    return replace(changed, folder=experiment.folder)  # where initial weights may lie


def _by_path(remedies: Mapping[str, Any]) -> dict[str, Any]:
    """Changes by the paths of their keys."""
    return {key.replace("__", "."): value for key, value in remedies.items()}
