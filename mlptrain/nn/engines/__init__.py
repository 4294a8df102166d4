"""What makes the gradients of a step: the analytic engine where every op of a network compiles, else autograd."""

from __future__ import annotations

from mlptrain.nn.engines.analytic import Analytic
from mlptrain.nn.engines.autograd import Autograd
from mlptrain.nn.engines.base import Engine
from mlptrain.nn.network import MLP

__all__ = ["ENGINES", "Analytic", "Autograd", "Engine", "engine_for"]

ENGINES: tuple[type[Engine], ...] = (Analytic, Autograd)  # the fastest first


def engine_for(network: MLP) -> type[Engine]:
    """The first engine that can run every op of the network."""
    return next(engine for engine in ENGINES if engine.runs(network))
