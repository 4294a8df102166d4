"""Activations and their derivatives as curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pydantic import ValidationError
from torch import Tensor

from mlptrain.errors import UserError
from mlptrain.nn.ops import Op, make_op
from mlptrain.nn.ops.activations import ACTIVATIONS
from mlptrain.report.arrays import ActivationCurve
from mlptrain.spec.base import names_of, sections_in
from mlptrain.spec.model import ActivationSpec, ModelSpec
from mlptrain.spec.reader import scalar
from mlptrain.spec.wording import message_for

HALF_TANH = "half_tanh"
ACTIVATION_NAMES = (*ACTIVATIONS, HALF_TANH)
MAX_DERIVATIVES = 6
_HALF_TANH_FORMULA = r"(1 - e^{-z})/(1 + e^{-z}) = \tanh(z/2)"
_POINTS = 1001  # of a curve


def activation_curves(
    names: Sequence[str], *, derivatives: int = 1, low: float = -4.0, high: float = 4.0
) -> tuple[ActivationCurve, ...]:
    """Activations on [low, high], with derivatives up to the order ``derivatives``.

    A name may have settings of the activation behind a colon, ``elu:alpha=2``; others have their defaults. Every order
    is autograd's derivative, in float64, of the one before. ``half_tanh`` is (1 − e⁻ˣ)/(1 + e⁻ˣ), which equals
    tanh(x/2). Raises UserError for an unknown name, setting or order, or an empty interval.
    """
    if not 1 <= derivatives <= MAX_DERIVATIVES:
        raise UserError(f"derivatives must be from 1 to {MAX_DERIVATIVES}, got {derivatives}")
    if not -1000 <= low < high <= 1000:
        raise UserError(f"expected an interval within [-1000, 1000], lower end first, got {low:g} to {high:g}")
    if unknown := [name for name in names if name.partition(":")[0].strip() not in ACTIVATION_NAMES]:
        raise UserError(f"unknown activation {', '.join(unknown)}; choose from {', '.join(ACTIVATION_NAMES)}")
    return tuple(_activation_curve(name, derivatives, low, high) for name in names)


def half_tanh(x: Tensor) -> Tensor:
    """(1 − e⁻ˣ)/(1 + e⁻ˣ), of any shape, for x above −700 in float64, where e⁻ˣ would overflow."""
    decayed = torch.exp(-x)
    return (1 - decayed) / (1 + decayed)


def _activation_curve(text: str, derivatives: int, low: float, high: float) -> ActivationCurve:
    z = torch.linspace(low, high, _POINTS, dtype=torch.float64)
    if text.strip(" :") == HALF_TANH:
        return ActivationCurve(
            HALF_TANH, z.numpy(), _derivatives(half_tanh, z, derivatives).numpy(), _HALF_TANH_FORMULA
        )
    activation = _with_settings(text)
    learnt = [torch.tensor(value, dtype=torch.float64) for value in activation.initial_values().values()]
    values = _derivatives(lambda at: activation.apply(at, learnt), z, derivatives)
    # ELU with alpha 1 has no kink, but its second derivative jumps like the first of the others.
    for order, points in ((1, activation.kinks), (2, (0.0,) if activation.name == "elu" else ())):
        for point in points:
            if low < point < high:
                values[order:, (z - point).abs().argmin()] = torch.nan
    constants = tuple((letter, float(getattr(activation, field))) for field, letter in activation.symbols.items())
    return ActivationCurve(activation.name, z.numpy(), values.numpy(), activation.formula, constants)


def _with_settings(text: str) -> Op:
    """The activation of ``elu`` or ``elu:alpha=2``, under the checks of a configuration."""
    name, _, rest = (part.strip() for part in text.partition(":"))
    settings: dict[str, object] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value) or key in settings or key == "name":
            raise UserError(f"activation '{text}': expected settings such as elu:alpha=2 behind the name, got '{part}'")
        settings[key] = scalar(value)
    sections = [section for section in sections_in(ActivationSpec) if name in names_of(section)]
    allowed = [key for section in sections for key in section.model_fields if key != "name"]
    if unknown := [key for key in settings if key not in allowed]:
        remedy = f"it has {', '.join(allowed)}" if allowed else "name it alone"
        raise UserError(f"activation '{text}': {name} has no setting '{unknown[0]}'; {remedy}")
    try:
        model = ModelSpec.model_validate({"hidden": [], "activation": {"name": name, **settings}})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise UserError(f"activation '{text}': {detail['loc'][-1]}: {message_for(detail, ModelSpec)}") from None
    return make_op(model.activation)


def _derivatives(function: Callable[[Tensor], Tensor], z: Tensor, order: int) -> Tensor:
    """The function at z (n,) and its derivatives up to ``order``, (order + 1, n)."""
    z = z.clone().requires_grad_()
    values = [function(z)]
    for _ in range(order):
        below = values[-1] + 0 * z  # so that a constant has a graph too
        values += torch.autograd.grad(below.sum(), z, create_graph=True)
    return torch.stack(values).detach()
