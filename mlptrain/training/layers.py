"""What the layers of a network do on some rows: activations, their slopes, and the gradients of the weights.

Everything is computed in float64, where no figure of finite float32 weights overflows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlptrain.nn.losses import Loss
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.noise import TrainingMode
from mlptrain.nn.parameters import Parameters

FLAT = 0.005  # of an activation's steepest slope: below it a unit hardly learns
RECORDED = {"mean": "mean", "std": "std", "zero": "zeros", "saturated": "flat", "gradient": "gradient"}


@dataclass(frozen=True)
class LayerFigures:
    """One layer on n rows; all figures have no unit but ``gradient``, which has that of the loss.

    ``mean`` and ``std`` are those of its activations over rows and units, ``spread`` the root mean square of each
    unit's deviation from its own mean over the rows: 0 where the inputs make no difference. ``zeros`` is the share of
    activations that are 0, ``flat`` the share whose slope dy/dz is below 0.5 % of the activation's steepest, and
    ``idle`` the share of units for which that holds on every row. ``silent`` is the share of units that give 0 for
    every row. ``alike``: all units give the same (of a layer with several). ``gradient`` is the Euclidean norm of the
    gradient of the mean loss (a summed one is divided by n) by the weight, ``gain`` the root mean square of the weights
    times √inputs, which is 0.58 with torch's default.
    """

    name: str
    units: int
    mean: float
    std: float
    spread: float
    zeros: float
    flat: float
    idle: float
    silent: float
    alike: bool
    gradient: float
    gain: float


def measure_layers(
    network: MLP, parameters: Parameters, *, loss: Loss, x: Tensor, targets: Tensor
) -> list[LayerFigures]:
    """The figures of every layer for inputs (n, n_features) and targets as the loss encodes them.

    Computed as a training step does, with batch norm's statistics of these rows, but without dropout.
    """
    mode = TrainingMode(update_statistics=False)
    exact = parameters.clone(dtype=torch.float64)
    weights = {name: tensor.detach().requires_grad_() for name, tensor in exact.items()}
    x = x.double()
    encoded = targets.double() if targets.is_floating_point() else targets
    z_of, y_of = [], []
    y = x
    for layer in network.layers:
        product = layer.product(weights, layer.read(weights, y, mode=mode))
        z_of.append(layer.normalise(weights, product, mode=mode))
        y = layer.close(weights, product, y, mode=mode)
        y_of.append(y)
    names = [f"{layer.prefix}weight" for layer in network.layers]
    objective = network.objective(loss, y, encoded) / (len(x) if loss.section.reduction == "sum" else 1)
    gradients = torch.autograd.grad(objective, [weights[name] for name in names], allow_unused=True, retain_graph=True)
    return [
        _figures(network, layer, weights, z.detach(), y.detach(), gradient)
        for layer, z, y, gradient in zip(network.layers, z_of, y_of, gradients, strict=True)
    ]


def layer_name(network: MLP, layer: Layer) -> str:
    """``hidden layer 1`` and so on, or ``the output layer``."""
    return "the output layer" if layer is network.layers[-1] else f"hidden layer {layer.index + 1}"


def _figures(
    network: MLP, layer: Layer, parameters: dict[str, Tensor], z: Tensor, y: Tensor, gradient: Tensor | None
) -> LayerFigures:
    flat = _slopes(layer, parameters, z) < FLAT
    weight = parameters[f"{layer.prefix}weight"].detach()
    size = float(y.abs().max())
    return LayerFigures(
        name=layer_name(network, layer),
        units=layer.outputs,
        mean=float(y.mean()),
        std=float(y.std(correction=0)),
        spread=float(y.var(dim=0, correction=0).mean().sqrt()),
        zeros=float((y == 0).double().mean()),
        flat=float(flat.double().mean()),
        idle=float(flat.all(dim=0).double().mean()),
        silent=float((y == 0).all(dim=0).double().mean()),
        alike=layer.outputs > 1 and float((y - y[:, :1]).abs().max()) <= 1e-9 * size,
        gradient=0.0 if gradient is None else float(torch.linalg.vector_norm(gradient)),
        gain=float(weight.square().mean().sqrt()) * layer.inputs**0.5,
    )


def _slopes(layer: Layer, parameters: dict[str, Tensor], z: Tensor) -> Tensor:
    """|dy/dz| (n, units) in parts of the steepest slope that the layer's activation has on [-10, 10]."""

    def slopes(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        out = layer.bend(parameters, at)
        [slope] = torch.autograd.grad(out.sum(), at)
        return slope.abs()

    grid = torch.linspace(-10, 10, 2001, dtype=z.dtype, device=z.device).unsqueeze(1)
    return slopes(z) / slopes(grid).max().clamp(min=1e-300)
