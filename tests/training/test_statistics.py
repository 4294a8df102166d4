"""Batch norm's statistics over all training rows, against torch.optim.swa_utils."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from mlptrain.data import Examples
from mlptrain.experiment.build import build_network, initial_parameters
from mlptrain.spec import load_text
from mlptrain.training.statistics import measure_statistics

TEXT = """
name: norms
data: {name: digits, validation: 100}
model: {hidden: [20, 15], norm: batch, dropout: 0.5}
optimizer: sgd
"""


@pytest.mark.parametrize(("rows", "parts"), [(500, 1), (5000, 3)])
@pytest.mark.parametrize("chosen", [True, False])
def test_they_are_those_of_update_bn(rows: int, parts: int, chosen: bool) -> None:
    experiment = load_text(TEXT).experiment
    network = build_network(experiment)
    parameters = initial_parameters(experiment, network)
    x = torch.randn(rows * 2, 64, generator=torch.Generator().manual_seed(0)) * 3 + 1
    index = torch.arange(rows) * 2 if chosen else None
    examples = Examples(x if chosen else x[::2].contiguous(), torch.zeros(rows * 2), index)
    module = nn.Sequential(
        nn.Linear(64, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 15), nn.BatchNorm1d(15), nn.ReLU()
    )
    learnt = [parameters[name] for name in network.parameter_shapes if not name.startswith("layers.2")]
    with torch.no_grad():
        for theirs, ours in zip(module.parameters(), learnt, strict=True):
            theirs.copy_(ours)
    update_bn([x[::2][part::parts] for part in range(parts)], module)
    measure_statistics(network, parameters, examples)
    buffers = [buffer for name, buffer in module.named_buffers() if "running" in name]
    for name, expected in zip(network.state_shapes, buffers, strict=True):
        torch.testing.assert_close(parameters[name], expected, rtol=1e-4, atol=1e-5)
