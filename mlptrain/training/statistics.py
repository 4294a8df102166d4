"""Batch norm's statistics over the whole training set, in place of the running ones of the last steps."""

from __future__ import annotations

from dataclasses import replace

import torch

from mlptrain.data import Examples
from mlptrain.nn.network import MLP
from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.ops.norms import BatchNorm
from mlptrain.nn.parameters import Parameters
from mlptrain.training.metrics import CHUNK_ROWS


@torch.no_grad()
def measure_statistics(network: MLP, parameters: Parameters, examples: Examples) -> None:
    """Write the statistics of these rows into ``parameters``, which keep everything else.

    As torch.optim.swa_utils.update_bn: means over batches of mean and variance, here without dropout and in equal
    parts of at most 2,048 rows. A part has rows from all over, since stored rows may be in the order of classes.
    """
    n, device = len(examples), examples.x.device
    parts = -(-n // CHUNK_ROWS)
    for part in range(parts):
        rows = torch.arange(part, n, parts, device=device)
        chosen = replace(examples, index=rows if examples.index is None else examples.index[rows])
        _averaging(network, 1 / (part + 1)).forward(parameters, chosen.inputs, mode=TrainingMode())


def _averaging(network: MLP, momentum: float) -> MLP:
    """The network with another momentum of batch norm: with 1, 1/2, 1/3, … the statistics are plain means."""
    return MLP(
        [
            replace(
                layer,
                ops=tuple(replace(op, momentum=momentum) if isinstance(op, BatchNorm) else op for op in layer.ops),
            )
            for layer in network.layers
        ],
        link=network.link,
    )
