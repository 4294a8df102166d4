"""Activations and gradients by layer, at the moments of a training whose weights are known."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np

from mlptrain.errors import RunFolderError
from mlptrain.experiment.build import build_network, initial_parameters, loss_of, prepared
from mlptrain.experiment.resuming import load_own_checkpoint
from mlptrain.inference.evaluate import load_kept, load_split
from mlptrain.nn.parameters import Parameters
from mlptrain.report.arrays import LayerMoment, LayerProfiles
from mlptrain.runs import RunFolder
from mlptrain.runs.log import read_lines
from mlptrain.spec import describe_model
from mlptrain.training.layers import RECORDED, measure_layers
from mlptrain.views.inputs import Source

_ROWS = 2048


def layer_profiles(run: Path, *, label: str | None = None, **source: Unpack[Source]) -> LayerProfiles:
    """What the layers of a run do with training rows: before training, with the kept weights, and with the last ones.

    By epoch too where ``training.record_layers`` kept it. Raises CheckpointError or RunFolderError for a run without
    weights, DataError or MachineError without its data.
    """
    folder, kept = RunFolder.open(run), load_kept(run)
    experiment, last = kept.experiment, load_own_checkpoint(folder, folder.last)
    _, train = load_split(kept, "train", **source)
    network = build_network(experiment)
    loss = loss_of([experiment], [kept.class_weights], [kept.preprocessing.target])
    rows = prepared(train.spaced(_ROWS), loss=loss, experiment=experiment, device="cpu")
    weights = {0: initial_parameters(experiment, network, train)}
    for checkpoint in (kept, last):
        if checkpoint.epoch:
            weights[checkpoint.epoch] = Parameters.zeros(network.shapes).copy_(checkpoint.state.parameters)
    moments = []
    for epoch, parameters in sorted(weights.items()):
        layers = measure_layers(network, parameters, loss=loss, x=rows.inputs, targets=rows.targets)
        columns = {name: np.array([getattr(layer, figure) for layer in layers]) for name, figure in RECORDED.items()}
        title = f"after epoch {epoch}" if epoch else "before training"
        moments.append(LayerMoment(title + " (kept)" * (epoch == kept.epoch), **columns))
    recorded = None
    if lines := list(read_lines(folder.layers)):
        numbers = range(1, len(network.layers) + 1)
        try:
            recorded = {key: np.array([[line[f"{key}_{n}"] for n in numbers] for line in lines]) for key in RECORDED}
        except KeyError as error:
            raise RunFolderError(f"{folder.layers} lacks {error}; the run folder is damaged") from None
    return LayerProfiles(label or experiment.name, describe_model(experiment), len(rows), tuple(moments), recorded)
