"""What a fitted estimator keeps: the checkpoint, and its network in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.data import Preprocessing
from mlptrain.experiment.build import build_network
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.nn.losses import make_loss
from mlptrain.sources.facts import DataFacts
from mlptrain.spec import load_text, to_yaml
from mlptrain.training.metrics import chunk_rows
from mlptrain.updates.chain import ModelState


class Fitted:
    """A checkpoint in use.

    Outputs are computed in float64, so that a row has the same ones, to 1e-12, whatever rows stand beside it: in
    float32 the seventh digit depends on how many there are, which scikit-learn's checks refuse. A pickle holds the
    configuration as YAML, arrays and plain values.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._use(checkpoint)

    def _use(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._network = build_network(checkpoint.experiment)
        self._parameters = {name: tensor.double() for name, tensor in checkpoint.state.parameters.items()}
        self._loss = make_loss(
            checkpoint.experiment.loss, [checkpoint.class_weights], [checkpoint.preprocessing.target]
        )
        self._rows = chunk_rows(self._network)

    @torch.no_grad()
    def outputs(self, stored: NDArray[np.float32]) -> Tensor:
        """Outputs (n, outputs) float64 for stored rows (n, columns), of a regression in the unit of its targets."""
        inputs = self.checkpoint.preprocessing.apply(torch.from_numpy(stored))
        found = [self._network.forward(self._parameters, part.double()) for part in torch.split(inputs, self._rows)]
        return self._loss.in_unit(found[0] if len(found) == 1 else torch.cat(found))

    def __getstate__(self) -> dict[str, Any]:
        checkpoint, state = self.checkpoint, self.checkpoint.state
        return {
            "spec": to_yaml(checkpoint.experiment.spec),
            "facts": checkpoint.experiment.facts.plain(),
            "preprocessing": checkpoint.preprocessing.plain(),
            "checkpoint": {
                name: getattr(checkpoint, name)
                for name in ("epoch", "step", "data_fingerprint", "class_weights", "temperature")
            },
            "parameters": _arrays(state.parameters),
            "buffers": {name: _arrays(tensors) for name, tensors in state.buffers.items()},
            "scalars": _arrays(state.scalars),
            "raw": _arrays(state.raw),
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        loaded = load_text(state["spec"], source="the pickled estimator", facts=DataFacts(**state["facts"]))
        checkpoint = Checkpoint(
            experiment=loaded.experiment,
            preprocessing=Preprocessing.model_validate(state["preprocessing"]),
            state=ModelState(
                _tensors(state["parameters"]),
                {name: _tensors(arrays) for name, arrays in state["buffers"].items()},
                _tensors(state["scalars"]),
                _tensors(state["raw"]),
            ),
            **state["checkpoint"],
        )
        self._use(checkpoint)


def without_updates(checkpoint: Checkpoint) -> Checkpoint:
    """With the weights alone, a third of what AdamW keeps."""
    return replace(checkpoint, state=ModelState(checkpoint.state.parameters))


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _tensors(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """Copies, since arrays of joblib's files cannot be written to."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
