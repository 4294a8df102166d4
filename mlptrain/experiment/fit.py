"""One way to train for everybody: models side by side, each from where it stands, and listeners that are notified.

A run, several seeds, a resumed group and the trials of a comparison are all trained by ``fit``; one model is a group of
one. What is done with an epoch (log, checkpoint, picture, screen) is a listener's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mlptrain.data import Splits
from mlptrain.experiment.build import Ready, build_trainer
from mlptrain.experiment.parts import parts_of
from mlptrain.experiment.recorder import metrics_line
from mlptrain.runs.records import Line
from mlptrain.spec import Experiment
from mlptrain.spec.schedule import Drops, Plateau
from mlptrain.spec.stopping import Waiting
from mlptrain.training.endings import Ending, follow
from mlptrain.training.trainer import Epoch, TrainedModel
from mlptrain.training.workers import Workers
from mlptrain.updates.chain import ModelState


class Listener(Protocol):
    """Notified of what happens while models train, with one entry for each model. A subclass may lack methods."""

    def started(self, models: Sequence[TrainedModel]) -> None:  # noqa: ARG002
        """The models are ready; nothing is trained yet."""
        return

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:  # noqa: ARG002
        """An epoch is over; None for a model that has no part in it, since it ended before or is further already."""
        return

    def ended(self, endings: Sequence[Ending | None]) -> None:  # noqa: ARG002
        """Training is over; None for a model that only took part."""
        return


@dataclass(frozen=True)
class Start:
    """Where a model starts: after ``epoch`` with its ``state``, or before training. A ``done`` one only takes part.

    It does so since the shapes of the products, and with them the last bits of the other models, depend on it.
    ``history`` are the lines of the log through ``epoch``, which early stopping and a plateau follow.
    """

    epoch: int = -1
    state: ModelState | None = None
    done: bool = False
    history: Sequence[Line] = ()


def follows_metrics(experiment: Experiment) -> bool:
    """Whether the figures of earlier epochs decide on later ones."""
    return experiment.training.early_stopping is not None or isinstance(experiment.schedule, Plateau)


class _Follower:
    """What the figures of a model's epochs decide: its end, and what a plateau makes of its learning rate."""

    def __init__(self, experiment: Experiment, model: TrainedModel, history: Sequence[Line]) -> None:
        self._experiment, self._model = experiment, model
        stopping, schedule = experiment.training.early_stopping, experiment.schedule
        self._waiting = None if stopping is None else Waiting(stopping)
        run = experiment.training.run_length(experiment.facts.train_rows)
        self._drops = Drops(schedule, schedule.first_epoch(run)) if isinstance(schedule, Plateau) else None
        for line in history:
            self._follow(line)

    def take(self, epoch: Epoch) -> Epoch:
        """The epoch, with an ending where early stopping ends the model."""
        if epoch.ending is not None or (self._waiting is None and self._drops is None):
            return epoch
        ending = self._follow(metrics_line(epoch, self._experiment))
        if ending is None:
            return epoch
        self._model.end(ending)
        return replace(epoch, ending=ending)

    def _follow(self, line: Line) -> Ending | None:
        if self._drops is not None:
            self._drops.take(line["epoch"], line.get(self._drops.section.metric))
            self._model.scale(self._drops.factor)
        return None if self._waiting is None else follow(self._waiting, line, epochs=self._experiment.training.epochs)


def fit(
    experiments: Sequence[Experiment],
    splits: Sequence[Splits],
    listeners: Sequence[Listener] = (),
    *,
    starts: Sequence[Start] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    workers: Workers | None = None,
    regroup: bool = False,
) -> None:
    """Train all models to the end of their runs, with other ``workers`` or alone; ``regroup`` is as in ``epochs_of``.

    Raises InterruptedRunError where ``should_stop`` becomes true, or another worker ends.
    """
    epochs = epochs_of(
        experiments, splits, listeners, starts=starts, should_stop=should_stop, workers=workers, regroup=regroup
    )
    deque(epochs, maxlen=0)


def epochs_of(
    experiments: Sequence[Experiment],
    splits: Sequence[Splits],
    listeners: Sequence[Listener] = (),
    *,
    starts: Sequence[Start] | None = None,
    evaluate: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    workers: Workers | None = None,
    last_steps: int | None = None,
    regroup: bool = False,
) -> Iterator[list[Epoch | None]]:
    """As ``fit``, epoch by epoch; ``evaluate`` false leaves out what the experiments measure or follow, and epoch 0.

    The last epoch ends after ``last_steps`` of its steps, by default all of them.
    Models train in the parts that ``parts_of`` makes, one part after the other in every epoch; the seconds of an epoch
    are those of all parts. A model that is further than others of its part takes part and is dropped until they have
    caught up; then it continues from its own state.

    So does one that ended before the others: their last bits depend on it, and are to be repeated. With ``regroup``,
    for models that all start at once, it leaves: after an epoch in which models ended, whoever ended them, the others
    continue in parts of their own, from their states. What they give is what they give alone, to float32 rounding.
    """
    starts = starts or [Start(-1 if evaluate else 0)] * len(experiments)
    ready = Ready()

    def parts_from(places: Sequence[int], starts: Sequence[Start]) -> dict[_Part, Iterator[list[Epoch | None]]]:
        of_places = [experiments[place] for place in places], [splits[place] for place in places]
        made = [
            _Part([places[at] for at in some], experiments, splits, starts, ready, evaluate, workers)
            for some in parts_of(*of_places)
        ]
        return {part: part.epochs(should_stop, last_steps) for part in made}

    trained = parts_from(range(len(experiments)), starts)
    by_place = {place: model for part in trained for place, model in zip(part.places, part.models, strict=True)}
    models = [by_place[place] for place in range(len(experiments))]
    for listener in listeners:
        listener.started(models)
    followers = [_Follower(*one) for one in zip(experiments, models, (start.history for start in starts), strict=True)]
    endings: list[Ending | None] = [None] * len(models)
    going = set(by_place)
    number = min(part.first for part in trained)
    while trained:
        taken: list[Epoch | None] = [None] * len(models)
        parts, advanced = [part.places for part in trained], False
        for part in [part for part in trained if part.first <= number]:
            found = next(trained[part], None)
            if found is None:
                del trained[part]
                continue
            advanced = True
            for place, epoch in zip(part.places, found, strict=True):
                taken[place] = followers[place].take(epoch) if evaluate and epoch is not None else epoch
        number += 1
        if not advanced:
            continue
        taken = taken if len(parts) == 1 else _with_all_seconds(taken, parts)
        for index, epoch in enumerate(taken):
            if epoch is not None:
                endings[index] = epoch.ending or Ending("completed", epoch.epoch, epoch.step, epoch.lr)
        for listener in listeners:
            listener.epoch(taken)
        yield taken
        left = {place for place in going if not models[place].has_ended}
        if regroup and left and left < going:
            going = left
            trained = parts_from(sorted(left), [Start(number - 1)] * len(models))
            for part in trained:
                for place, model in zip(part.places, part.models, strict=True):
                    models[place].go_on_as(model)
    for listener in listeners:
        listener.ended(endings)


class _Part:
    """The models of a group that one trainer trains, at their ``places`` in it; ``first`` is its first epoch."""

    def __init__(
        self,
        places: Sequence[int],
        experiments: Sequence[Experiment],
        splits: Sequence[Splits],
        starts: Sequence[Start],
        ready: Ready,
        evaluate: bool,
        workers: Workers | None,
    ) -> None:
        self.places = places
        self._experiments, self._starts = [experiments[place] for place in places], [starts[place] for place in places]
        self._trainer = build_trainer(
            self._experiments, [splits[place] for place in places], evaluate=evaluate, ready=ready, workers=workers
        )
        self.models = [self._trainer.model(index) for index in range(len(places))]
        self.first = min((start.epoch + 1 for start in self._starts if not start.done), default=0)

    def epochs(self, should_stop: Callable[[], bool], last_steps: int | None) -> Iterator[list[Epoch | None]]:
        """The epochs of its models from ``first`` on."""
        of_models = zip(self._experiments, self._starts, strict=True)
        last = max((one.training.epochs for one, start in of_models if not start.done), default=-1)
        _load(self.models, self._starts, self.first - 1)
        trained = self._trainer.epochs(first=self.first, last=last, should_stop=should_stop, last_steps=last_steps)
        for number, found in enumerate(trained, self.first):
            _load(self.models, self._starts, number)
            yield [
                None if start.done or number <= start.epoch else epoch
                for start, epoch in zip(self._starts, found, strict=True)
            ]


def _with_all_seconds(epochs: Sequence[Epoch | None], parts: Sequence[Sequence[int]]) -> list[Epoch | None]:
    """The epochs with the seconds of all parts, of which each has those of its own."""
    one_each = [next((epochs[place] for place in part if epochs[place] is not None), None) for part in parts]
    names = ("training_seconds", "evaluation_seconds", "waiting_seconds")
    seconds = {name: sum(getattr(epoch, name) for epoch in one_each if epoch is not None) for name in names}
    return [None if epoch is None else replace(epoch, **seconds) for epoch in epochs]


def _load(models: Sequence[TrainedModel], starts: Sequence[Start], epoch: int) -> None:
    """Give the models that stand after ``epoch`` their states."""
    for model, start in zip(models, starts, strict=True):
        if start.state is not None and start.epoch == epoch and not start.done:
            model.load(start.state)
