"""Initial weights, by the names of the field.

Numbers are drawn in float32 on the CPU, layer by layer, the weight first and then the bias, and copied to wherever the
parameters live: one generator gives one set of weights whatever the device and precision. A bias that is zero draws
nothing. An embedding draws behind all layers, from distributions of its own, and then the factors of members.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.nn.network import MLP, Layer

INITIALISATIONS = ("default", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal")


def initialise_(
    network: MLP,
    parameters: Mapping[str, Tensor],
    *,
    generator: torch.Generator,
    name: str = "default",
    std: float | Literal["fan_in"] = 1.0,
    bias: Literal["zeros", "normal"] = "zeros",
) -> None:
    """Fill the parameters of a network in place; what its ops learn gets their own initial values.

    ========================= ==================================== ==============================
    ``name``                  weight                               bias
    ========================= ==================================== ==============================
    default                   U(±1/√in), as torch.nn.Linear        U(±1/√in)
    normal                    N(0, s²), s = ``std`` or 1/√in       zeros or N(0, s²), by ``bias``
    xavier_uniform            U(±√(6/(in + out)))                  zeros
    xavier_normal             N(0, 2/(in + out))                   zeros
    kaiming_uniform           U(±g·√(3/in))                        zeros
    kaiming_normal            N(0, g²/in)                          zeros
    ========================= ==================================== ==============================

    ``std="fan_in"`` takes s = 1/√in. Xavier: Glorot & Bengio (2010). Kaiming: He, Zhang, Ren & Sun (2015), with gain
    g = √(2/(1 + a²)) for rectifiers of slope a below zero, as the first op of the hidden layers has it. ``std`` and
    ``bias`` are read by ``normal`` alone.

    ``generator`` is a CPU generator. Raises UserError for a name that is not in ``INITIALISATIONS``.
    """
    if name not in INITIALISATIONS:
        raise UserError(f"unknown initialisation {name!r}; choose one of {', '.join(INITIALISATIONS)}")
    slope = next((op.negative_slope for layer in network.layers[:-1] for op in layer.ops), 0.0)
    draws_bias = name == "default" or (name == "normal" and bias == "normal")
    uniform = name == "default" or name.endswith("_uniform")
    with torch.no_grad():
        for layer in network.layers:
            spread = _spread(name, layer, std=std, slope=slope)
            draw = partial(_draw, uniform=uniform, spread=spread, generator=generator)
            weight = parameters[f"{layer.prefix}weight"]
            weight.copy_(draw(torch.empty(weight.shape)))
            if layer.bias:
                biases = parameters[f"{layer.prefix}bias"]
                values = torch.empty(biases.shape[-1])  # those of members begin alike
                biases.copy_(draw(values) if draws_bias else values.zero_())
            for own, value in (pair for op in layer.ops for pair in op.initial_values().items()):
                parameters[layer.prefix + own].fill_(value)
        for layer in network.layers:
            if layer.embedding is not None:
                layer.embedding.initialise_(layer.of_embedding(parameters), generator)
        for layer in network.layers:
            _initialise_members(layer, parameters, generator)


def _initialise_members(layer: Layer, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
    """Factors of members are 1, but those of the first layer's inputs ±1, or from N(0, 1) where numbers are embedded.

    What one column was made into has one factor in each member. Gorishniy, Kotelnikov & Babenko (2025); their code
    draws so too.
    """
    members = layer.members
    if members is None:
        return
    for name in ("input_scale", "output_scale"):
        if (whole := layer.prefix + name) in parameters:
            parameters[whole].fill_(1.0)
    if members.first:
        parts = [1] * layer.inputs if layer.embedding is None else layer.embedding.embeddings.parts
        drawn = torch.empty(members.k, len(parts)).normal_(generator=generator)
        if layer.embedding is None or layer.embedding.numeric is None:
            drawn = torch.where(drawn < 0, -1.0, 1.0)
        parameters[f"{layer.prefix}input_scale"].copy_(drawn.repeat_interleave(torch.tensor(parts), dim=1))


def _spread(name: str, layer: Layer, *, std: float | Literal["fan_in"], slope: float) -> float:
    """The bound of a uniform distribution, or the standard deviation of a normal one."""
    fan_in, fan_both = layer.inputs, layer.inputs + layer.outputs
    gain = math.sqrt(2 / (1 + slope**2))
    return {
        "default": 1 / math.sqrt(fan_in),
        "normal": 1 / math.sqrt(fan_in) if std == "fan_in" else std,
        "xavier_uniform": math.sqrt(6 / fan_both),
        "xavier_normal": math.sqrt(2 / fan_both),
        "kaiming_uniform": gain * math.sqrt(3 / fan_in),
        "kaiming_normal": gain / math.sqrt(fan_in),
    }[name]


def _draw(values: Tensor, *, uniform: bool, spread: float, generator: torch.Generator) -> Tensor:
    if uniform:
        return values.uniform_(-spread, spread, generator=generator)
    return values.normal_(0.0, spread, generator=generator)
