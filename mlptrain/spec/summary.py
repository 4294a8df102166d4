"""A specification in a few words, and what follows from it: layers, tensors, counts."""

from __future__ import annotations

import math
from typing import Any

from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.load import Loaded


def describe_model(spec: Experiment) -> str:
    """``784-500-256-10 relu``."""
    return f"{'-'.join(map(str, spec.widths))} {spec.model.activation.name}"


def describe_optimizer(spec: Experiment | ExperimentSpec) -> str:
    """``sgd 0.1``, with momentum where it has some."""
    optimizer = spec.optimizer
    momentum = getattr(optimizer, "momentum", 0)
    extra = f" momentum {momentum:g}" if momentum else ""
    return f"{optimizer.name} {optimizer.lr:g}{extra}" + (" nesterov" if getattr(optimizer, "nesterov", False) else "")


def check_report(config: str, loaded: Loaded) -> dict[str, Any]:
    """What `mlptrain check` says of one configuration."""
    spec = loaded.experiment
    shapes, facts = spec.parameter_shapes, spec.facts
    last = len(spec.widths) - 2
    layers = []
    for index in range(last + 1):
        own = {name: shape for name, shape in shapes.items() if name.startswith(f"layers.{index}.")}
        layers.append(
            {
                "inputs": spec.widths[index],
                "outputs": spec.widths[index + 1],
                "activation": (spec.model.output_activation if index == last else spec.model.activation).name,
                "tensors": {name.rsplit(".", 1)[1]: list(shape) for name, shape in own.items()},
                "parameters": sum(math.prod(shape) for shape in own.values()),
            }
        )
    return {
        "config": config,
        "name": spec.name,
        "model": describe_model(spec),
        "optimizer": describe_optimizer(spec),
        "rows": {"train": facts.train_rows, "validation": facts.validation_rows, "test": facts.test_rows},
        "steps_per_epoch": spec.steps_per_epoch,
        "layers": layers,
        "parameter_tensors": len(shapes),
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "warnings": [str(warning) for warning in loaded.warnings],
    }
