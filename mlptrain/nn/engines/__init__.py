"""What makes the gradients of a step: the analytic engine where every op of a network compiles, else autograd."""

from __future__ import annotations

from collections.abc import Callable

from mlptrain.nn.engines.adversarial import Adversarial, adversarial_engine
from mlptrain.nn.engines.analytic import Analytic
from mlptrain.nn.engines.autograd import Autograd
from mlptrain.nn.engines.base import Engine
from mlptrain.nn.network import MLP
from mlptrain.spec.adversarial import AdversarialSpec

__all__ = ["ENGINES", "Adversarial", "Analytic", "Autograd", "Engine", "engine_for"]

ENGINES: tuple[type[Engine], ...] = (Analytic, Autograd)  # the fastest first


def engine_for(network: MLP, adversarial: AdversarialSpec | None = None) -> Callable[..., Engine]:
    """The first engine that can run every op of the network, or the one of an adversarial term."""
    if adversarial is not None:
        return adversarial_engine(adversarial)
    return next(engine for engine in ENGINES if engine.runs(network))
