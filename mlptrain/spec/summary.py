"""A specification in a few words, and its layers, tensors and counts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from mlptrain.spec.base import Section
from mlptrain.spec.experiment import Experiment, ExperimentSpec
from mlptrain.spec.inputs import Embeddings
from mlptrain.spec.load import Loaded
from mlptrain.spec.model import BatchNorm, Dropout, LayerNorm, Op
from mlptrain.spec.overview import columns_report
from mlptrain.spec.table import TableData


def describe_model(spec: Experiment) -> str:
    """``784-500-256-10 relu, batch norm, dropout 0.2``, ``2-15-3 arctan, output arctan`` or ``2-3 linear``.

    A network without hidden layers has nothing but what its outputs have.
    """
    model = spec.model
    names: list[str] = []
    if model.hidden:
        names.append(model.activation.name)
    if model.output_activation.name != "identity":
        names.append(f"output {model.output_activation.name}" if names else model.output_activation.name)
    if model.hidden:
        rates = (
            "/".join(f"{rate:g}" for rate in (model.dropout if isinstance(model.dropout, list) else [model.dropout]))
            if any(model.rates())
            else ""
        )
        names += [f"{model.norm.name} norm"] * (model.norm.name != "none") + [f"dropout {rates}"] * bool(rates)
        names += ["residual"] * model.residual
    names += [f"output {model.output_norm.name} norm"] * (model.output_norm.name != "none")
    names += [f"input dropout {model.input_dropout:g}"] * bool(model.input_dropout)
    if (embeddings := model.embeddings(spec.layout)) is not None:
        numeric = [] if embeddings.numeric is None else [f"{_words(embeddings.numeric.name)} embedding"]
        names += numeric + ["category embedding"] * bool(embeddings.sizes)
    if (members := model.members).k > 1:
        names.append(f"{members.k} members" + (" (mini)" if members.kind == "mini" else ""))
    return f"{'-'.join(map(str, spec.widths))} {', '.join(names) or 'linear'}"


def describe_optimizer(spec: Experiment | ExperimentSpec) -> str:
    """``sgd 0.1 momentum 0.9 nesterov``, the last two where they apply."""
    optimizer = spec.optimizer
    momentum = getattr(optimizer, "momentum", 0)
    nesterov = " nesterov" if getattr(optimizer, "nesterov", False) else ""
    return f"{optimizer.name} {optimizer.lr:g}" + (f" momentum {momentum:g}" if momentum else "") + nesterov


def describe_ops(spec: Experiment, index: int) -> list[str]:
    """What layer ``index`` does besides its product, in order: ``batch norm``, ``elu (alpha 2)``, ``residual``.

    Settings are shown where they are not the defaults.
    """
    layer, residual = spec.model.layer(index), spec.widths[index] == spec.widths[index + 1]
    embeddings = None if index else spec.model.embeddings(spec.layout)
    named = [] if embeddings is None else _embeddings_described(embeddings)
    named += [*(f"input {_described(op)}" for op in layer.before), *map(_described, layer.ops)]
    if (members := spec.model.members.layer(index, len(spec.model.hidden))) is not None:
        named.append(members.described())
    return [*named, "residual"] if layer.residual and residual else named


def _described(op: Op) -> str:
    if isinstance(op, Dropout):
        return f"dropout {op.p:g}"
    name = op.model_dump()["name"] + (" norm" if isinstance(op, (BatchNorm, LayerNorm)) else "")
    return _with_settings(name, op)


def _embeddings_described(embeddings: Embeddings) -> list[str]:
    """``periodic embedding of 6 numbers (sigma 7.95)``, ``embedding of 8 categories (2 to 9 wide)``."""
    layout, found = embeddings.layout, list[str]()
    if embeddings.numeric is not None:
        count = len(layout.numeric)
        what = f"{_words(embeddings.numeric.name)} embedding of {count:,} number{'s' * (count != 1)}"
        found.append(_with_settings(what, embeddings.numeric))
    if sizes := embeddings.sizes:
        least, most, count = min(sizes), max(sizes), len(sizes)
        wide = f"{least}" if least == most else f"{least} to {most}"
        found.append(f"embedding of {count:,} {'categories' if count != 1 else 'category'} ({wide} wide)")
    return found


def _words(name: str) -> str:
    return name.replace("_", " ")


def _with_settings(name: str, section: Section) -> str:
    """The name, with the settings that are not the defaults in parentheses."""
    set_here = section.model_dump(exclude_defaults=True, exclude={"name"})
    settings = ", ".join(
        f"{key} {str(value).lower() if isinstance(value, bool) else format(value, 'g')}"
        for key, value in set_here.items()
    )
    return f"{name} ({settings})" if settings else name


def layers_of(spec: Experiment) -> list[dict[str, Any]]:
    """Of each layer inputs, outputs, activation, operations, shapes of its tensors by name, and number of parameters.

    The operations are all that it does besides its product, the activation among them.
    """
    layers: list[dict[str, Any]] = []
    for index, (inputs, outputs) in enumerate(pairwise(spec.widths)):
        prefix = f"layers.{index}."
        tensors = {
            name.removeprefix(prefix): list(shape)
            for name, shape in spec.parameter_shapes.items()
            if name.startswith(prefix)
        }
        count = sum(map(math.prod, tensors.values()))
        layer: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "activation": spec.model.activation.name}
        layer |= {"operations": describe_ops(spec, index), "tensors": tensors, "parameters": count}
        layers.append(layer)
    layers[-1]["activation"] = spec.model.output_activation.name
    return layers


def statistics_of(spec: Experiment) -> int:
    """How many running statistics the network keeps; they are not trained, and no parameters."""
    return sum(map(math.prod, spec.model.state_shapes(spec.layout, spec.output_width).values()))


def check_report(config: str, loaded: Loaded) -> dict[str, Any]:
    """What `mlptrain check` prints about one configuration."""
    spec = loaded.experiment
    shapes, facts = spec.parameter_shapes, spec.facts
    return {
        "config": config,
        "name": spec.name,
        "model": describe_model(spec),
        "optimizer": describe_optimizer(spec),
        "rows": {"train": facts.train_rows, "validation": facts.validation_rows, "test": facts.test_rows},
        "steps_per_epoch": spec.steps_per_epoch,
        "layers": layers_of(spec),
        "parameter_tensors": len(shapes),
        "parameters": sum(map(math.prod, shapes.values())),
        "statistics": statistics_of(spec),
        "columns": columns_report(spec.data, facts) if isinstance(spec.data, TableData) else [],
        "notes": list(loaded.notes),
        "warnings": [str(warning) for warning in (*loaded.warnings, *loaded.dropped)],
    }
