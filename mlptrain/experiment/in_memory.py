"""A run that leaves no folder: the kept weights as a checkpoint in memory, and the lines of its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from mlptrain.experiment.build import load_data, prepared, resolved_for
from mlptrain.experiment.calibrating import calibrate
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.experiment.fit import Listener, Start, fit
from mlptrain.experiment.recorder import metrics_line
from mlptrain.nn.parameters import Parameters
from mlptrain.runs.records import Line
from mlptrain.spec import Loaded
from mlptrain.training.device import applied
from mlptrain.training.keep import KeepBest
from mlptrain.training.trainer import Epoch, TrainedModel
from mlptrain.updates.chain import ModelState

OnLine = Callable[[Line], None]


@dataclass(frozen=True)
class Trained:
    """The kept weights, on the CPU, with the state of their updates where these are the last; and the log's lines."""

    checkpoint: Checkpoint
    lines: tuple[Line, ...]


def train_in_memory(
    loaded: Loaded,
    *,
    after: Checkpoint | None = None,
    on_line: OnLine = lambda _: None,
) -> Trained:
    """Train as ``mlptrain.train`` does, with the same bytes, and write nothing.

    Nothing is diagnosed or measured at the end, and no signal is caught. ``after`` is where training
    continues, with its epochs, weights, preprocessing and the state of its optimizer. Data that are given are to be
    held meanwhile, see ``mlptrain.sources.held``. Raises DataError, DeviceError, and DivergedError where a loss or a
    weight is no longer finite.
    """
    experiment = loaded.experiment
    resolved = resolved_for(experiment)
    with applied(resolved):
        experiment = experiment.with_training(**asdict(resolved))
        splits = load_data(experiment, preprocessing=None if after is None else after.preprocessing)
        memory = _Memory(loaded=replace(loaded, experiment=experiment), after=after, on_line=on_line)
        start = Start() if after is None else Start(after.epoch)
        fit([experiment], [splits], [memory], starts=[start])
        kept, epoch, state = memory.kept()
        temperature = None
        if experiment.evaluation.calibrate == "temperature" and splits.validation is not None:
            loss, parameters = memory.model.loss, memory.model.parameters.clone().copy_(kept)
            rows = prepared(splits.validation, loss=loss, experiment=experiment, device=resolved.device)
            temperature = calibrate(memory.model, parameters, {"validation": rows}).temperature
        return Trained(
            Checkpoint(
                experiment=experiment,
                epoch=epoch,
                step=epoch * experiment.steps_per_epoch,
                preprocessing=splits.preprocessing,
                data_fingerprint=splits.fingerprint,
                state=replace(state, parameters=kept),
                best=memory.keep.best,
                class_weights=next(iter(memory.model.loss.class_weights), ()),
                temperature=temperature,
            ),
            tuple(memory.lines),
        )


class _Memory(Listener):
    """Remembers the lines of the only model, and its best weights."""

    def __init__(self, *, loaded: Loaded, after: Checkpoint | None, on_line: OnLine) -> None:
        self._experiment, self._after, self._on_line = loaded.experiment, after, on_line
        self.lines: list[Line] = []
        self._last = 0 if after is None else after.epoch

    def started(self, models: Sequence[TrainedModel]) -> None:
        [self.model] = models
        self.keep = KeepBest(self.model, self._experiment.evaluation.metric)
        if self._after is None:
            return
        state = self._after.state
        try:
            self.model.load(state)
        except ValueError:  # of weights alone, or of another optimizer, which then starts afresh
            fresh = self.model.state()
            raw = (state.raw or state.parameters) if fresh.raw else {}
            self.model.load(replace(fresh, parameters=state.parameters, raw=raw))

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        """Raises DivergedError."""
        [epoch] = epochs
        if epoch is None:
            return
        if epoch.ending is not None and epoch.ending.kind == "diverged":
            raise epoch.ending.error()
        line = metrics_line(epoch, self._experiment)
        self.lines.append(line)
        self._last = epoch.epoch
        if self._experiment.evaluation.keep == "best":
            self.keep.take(epoch.epoch, line)
        self._on_line(line)

    def kept(self) -> tuple[dict[str, Tensor], int, ModelState]:
        """The kept weights, their epoch, and the state of the updates where it is theirs."""
        best = self.keep.best
        if best is not None and self.keep.parameters is not None:
            return _copied(self.keep.parameters), best.epoch, ModelState({})
        state = self.model.state()
        return (
            _copied(state.parameters),
            self._last,
            ModelState(
                {},
                {name: _copied(buffers) for name, buffers in state.buffers.items()},
                {name: scalar.detach().cpu().clone() for name, scalar in state.scalars.items()},
                _copied(state.raw),
            ),
        )


def _copied(tensors: Parameters | Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", torch.float32, copy=True) for name, tensor in tensors.items()}
