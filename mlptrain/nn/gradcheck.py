"""Three gradients of one objective, held against each other: analytic, by autograd and by central differences.

Analytic is that of the engine that trains the network; by autograd, torch follows ``MLP.forward`` and the loss. For a
network with ops that only the autograd engine runs the two are the same, and the differences are what is checked.
Both are exact but for rounding. Central differences know nothing of derivatives:

    (f(w + ε) − f(w − ε)) / 2ε = f′(w) + ε²/6·f‴ + (rounding of f) / ε

All three are computed in float64 on the CPU.

*What errors are relative to.* An error is the largest absolute difference over the coordinates of a tensor, divided by
the Euclidean norm of the tensor's gradient by autograd: single coordinates may be zero or nearly so, and are then
nothing but rounding. A whole gradient can be that small too, where units are saturated. The objective is known to about
u·S, with u = 2⁻⁵³ and S the sum of the numbers that it is made of, so that exact derivatives err by a few u·S and
differences by a multiple of u·S/ε however small the gradient is. An error is therefore relative to the norm or, where
that is smaller, to the least norm that can be resolved to the tolerance: the rounding divided by the tolerance. A loss
summed over n rows has n times the rounding, and n times the gradient.

*What is left out.* Where w ± ε lie on two sides of a kink of an activation, or of the loss ``mae``, the two derivatives
that hold there are mixed, and a difference says nothing; such coordinates are counted.

*What cannot be checked.* A deep network with large weights can amplify every rounding of its first layer until two
exact derivatives have few digits in common; twenty layers of 50 arctan units with weights from N(0, 1) leave nine.
Where the gradients disagree, the last bits of the inputs are changed, and if autograd's gradient then changes too, that
is the answer.

Goodfellow, Bengio & Courville, Deep Learning (2016), section 11.5, has the method and its pitfalls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.nn.engines import engine_for
from mlptrain.nn.losses import Loss, columns
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.parameters import Parameters, Stack

EPSILON = 1e-6
AUTOGRAD_TOLERANCE = 1e-12
DIFFERENCE_TOLERANCE = 1e-6
MAX_COORDINATES = 200

_UNIT = 2.0**-53
_EXACT_ROUNDING = 64  # on 480 saturated networks exact derivatives erred by up to 22·u·S
_DIFFERENCE_ROUNDING = 64 / EPSILON  # on 400 random networks differences erred by up to 17·u·S/ε


@dataclass(frozen=True)
class ParameterCheck:
    """One parameter tensor. ``gradient_norm`` is that of autograd's gradient; the errors are those of this module.

    ``checked`` coordinates were held against central differences, ``left_out`` others are at a kink;
    ``difference_error`` is None where no coordinate could be checked.
    """

    name: str
    shape: tuple[int, ...]
    gradient_norm: float
    autograd_error: float
    difference_error: float | None
    checked: int
    left_out: int

    @property
    def passed(self) -> bool:
        """Whether both errors are within their tolerances."""
        differences_agree = self.difference_error is None or self.difference_error <= DIFFERENCE_TOLERANCE
        return self.autograd_error <= AUTOGRAD_TOLERANCE and differences_agree


@dataclass(frozen=True)
class GradientCheck:
    """All parameters of a network on ``rows`` examples, where the loss, reduced, is ``objective``."""

    rows: int
    objective: float
    parameters: tuple[ParameterCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every parameter passed, and differences had something to check."""
        return all(check.passed for check in self.parameters) and any(check.checked for check in self.parameters)

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        wrong = [check.name for check in self.parameters if not check.passed]
        if wrong:
            return f"The gradients disagree for {', '.join(wrong)}: a derivative is wrong."
        checked, left_out = (
            sum(getattr(check, count) for check in self.parameters) for count in ("checked", "left_out")
        )
        if not checked:
            return f"Nothing can be said of the differences: all {left_out:,} coordinates are at a kink."
        return (
            "The analytic gradients, those by autograd and by central differences agree for all "
            f"{len(self.parameters)} parameter tensors ({checked:,} coordinates by differences, {left_out:,} at a kink "
            "left out)."
        )


def check_gradients(
    network: MLP,
    *,
    loss: Loss,
    parameters: Parameters,
    x: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    max_coordinates: int = MAX_COORDINATES,
) -> GradientCheck:
    """Check every parameter's gradient at ``parameters`` for x (n, inputs) and ``targets`` as the loss encodes them.

    Values of any floating dtype are taken over to float64; nothing that is passed in is changed. Of a tensor with more
    than ``max_coordinates`` elements as many are drawn with ``generator``.

    Raises UserError where there is nothing to compare with: the objective or its gradient is not finite, or hangs on
    the last bits of the inputs.
    """
    parameters = parameters.clone(dtype=torch.float64, device="cpu")
    x, targets = x.double(), targets.double() if targets.is_floating_point() else targets
    gradients = _Gradients(network, loss, parameters, x, targets)
    objective, sensitivity, automatic = gradients.by_autograd()
    analytic = gradients.by_engine()
    rounding = _UNIT * ((len(x) if loss.section.reduction == "sum" else 1) + abs(objective) + sensitivity)
    checks = []
    for name, gradient in automatic.items():
        chosen = torch.randperm(gradient.numel(), generator=generator)[:max_coordinates].tolist()
        differences = [(index, gradients.by_difference(name, index)) for index in chosen]
        flat, norm = analytic[name].reshape(-1), float(gradient.norm())
        errors = [_or_infinite(float(flat[index]) - value) for index, value in differences if value is not None]
        exact_scale = max(norm, _EXACT_ROUNDING * rounding / AUTOGRAD_TOLERANCE)
        difference_scale = max(norm, _DIFFERENCE_ROUNDING * rounding / DIFFERENCE_TOLERANCE)
        checks.append(
            ParameterCheck(
                name=name,
                shape=tuple(gradient.shape),
                gradient_norm=norm,
                autograd_error=_or_infinite(float((analytic[name] - gradient).abs().max())) / exact_scale,
                difference_error=max(errors) / difference_scale if errors else None,
                checked=len(errors),
                left_out=len(differences) - len(errors),
            )
        )
    check = GradientCheck(rows=len(x), objective=objective, parameters=tuple(checks))
    if not check.passed:
        altered = _Gradients(network, loss, parameters, x * (1 + 2 * _UNIT), targets).by_autograd()[2]
        for name, gradient in automatic.items():
            change = float((altered[name] - gradient).abs().max()) / (float(gradient.norm()) or 1.0)
            if change > AUTOGRAD_TOLERANCE / 100:
                raise UserError(
                    f"the gradient of {name} changes by {change:.0e} of its norm with the last bits of the inputs, so "
                    "that no check of it can be exact: these initial weights amplify rounding; use smaller ones, or "
                    "fewer layers"
                )
    return check


def _or_infinite(error: float) -> float:
    """|error|, or infinity for what is not a number, since every comparison with that is false."""
    return math.inf if math.isnan(error) else abs(error)


class _Gradients:
    """One objective in float64, and its gradient in three ways."""

    @torch.no_grad()
    def __init__(self, network: MLP, loss: Loss, parameters: Parameters, x: Tensor, targets: Tensor) -> None:
        self.network, self.loss, self.parameters, self.x, self.targets = network, loss, parameters, x, targets
        self._inputs: list[Tensor] = []
        self._z: list[Tensor] = []
        for layer in network.layers:
            self._inputs.append(x)
            self._z.append(layer.product(parameters, x))
            x = layer.activate(parameters, self._z[-1])

    def by_engine(self) -> Parameters:
        """The gradient of the engine that trains the network."""
        gradients = Parameters.zeros(self.network.parameter_shapes, dtype=torch.float64)
        stack, out = Stack.of(self.parameters), Stack.of(gradients)
        make = engine_for(self.network)
        engine = make(self.network, loss=self.loss, parameters=stack, gradients=out, batch_size=len(self.x))
        engine([self.x], columns(self.targets))
        return gradients

    def by_autograd(self) -> tuple[float, float, dict[str, Tensor]]:
        """The objective, Σ |outputs · ∂objective/∂outputs|, and the gradient of every parameter."""
        leaves = {name: view.detach().clone().requires_grad_() for name, view in self.parameters.items()}
        outputs = self.network.forward(leaves, self.x)
        objective = self.loss(outputs, self.targets)
        upstream, *gradients = torch.autograd.grad(objective, [outputs, *leaves.values()])
        value = float(objective.detach())
        if not (math.isfinite(value) and all(bool(gradient.isfinite().all()) for gradient in gradients)):
            raise UserError(
                f"the objective {value:g} or its gradient is not finite at these parameters, so that there is "
                "nothing to compare with; use smaller initial weights or scaled inputs"
            )
        sensitivity = float((outputs.detach() * upstream).abs().sum())
        return value, sensitivity, dict(zip(leaves, gradients, strict=True))

    @torch.no_grad()
    def by_difference(self, name: str, index: int) -> float | None:
        """The difference quotient for element ``index`` of the flattened tensor; None where a kink lies between.

        Only what reads the coordinate is computed again: of its layer the one unit that a weight or bias belongs to,
        and the layers above. For 784-500-256-10 that is a quarter of the work of whole forward passes.
        ε is relative for parameters above 1, which would otherwise lose it to rounding.
        """
        layer = next(layer for layer in self.network.layers if name in layer.parameter_shapes)
        tensor = self.parameters[name]
        of_unit = name.removeprefix(layer.prefix) in ("weight", "bias")
        unit = index * len(tensor) // tensor.numel() if of_unit else None
        values = tensor.view(-1)
        middle = float(values[index])
        epsilon = EPSILON * max(1.0, abs(middle))
        values[index] = middle + epsilon
        high, (above, sides_above) = float(values[index]), self._objective(layer.index, unit)
        values[index] = middle - epsilon
        low, (below, sides_below) = float(values[index]), self._objective(layer.index, unit)
        values[index] = middle
        if not all(map(torch.equal, sides_above, sides_below)):
            return None
        return (above - below) / (high - low)

    def _objective(self, layer: int, unit: int | None) -> tuple[float, list[Tensor]]:
        """The objective with this unit computed again, and on which side of every kink each value lies."""
        first, *above = self.network.layers[layer:]
        z = self._z[layer]
        if unit is not None:
            z = z.clone()
            z[:, unit] = first.product(self.parameters, self._inputs[layer], slice(unit, unit + 1)).squeeze(1)
        y, sides = self._activate(first, z)
        for later in above:
            y, more = self._activate(later, later.product(self.parameters, y))
            sides += more
        return float(self.loss(y, self.targets)), sides + self.loss.sides_of_kinks(y, self.targets)

    def _activate(self, layer: Layer, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the next layer reads, and on which side of every kink each value that an op reads lies."""
        sides: list[Tensor] = []
        for op, own in layer.ops_with(self.parameters):
            sides += [z > kink for kink in op.kinks]
            z = op.apply(z, own)
        return z, sides
