"""Three gradients of one objective, held against each other: analytic, by autograd and by central differences.

The objective is what a training step descends: the loss of a batch, reduced, plus the penalties that there are:
``weight_decay``/2 · Σ w² over what the optimizer lets decay, and ``l1`` · Σ |w| over the weights. Dropout's masks are
part of it and stay as they are drawn for the first step. So is an adversarial term, for inputs that stay where that
step moves them, and what their outputs are compared with. Decoupled weight decay (AdamW) is no part of any objective.

Analytic is that of the engine that trains the network, plus ``weight_decay`` · w + ``l1`` · sign(w); by autograd, torch
follows ``MLP.forward``, the loss and the penalties. For a network with ops that only the autograd engine runs the two
are the same, and the differences are what is checked. Both are exact but for rounding. Central differences know nothing
of derivatives:

    (f(w + ε) − f(w − ε)) / 2ε = f′(w) + ε²/6·f‴ + (rounding of f) / ε

All three are computed in float64 on the CPU.

*What errors are relative to.* An error is the largest absolute difference over the coordinates of a tensor, divided by
the Euclidean norm of the tensor's gradient by autograd: single coordinates may be zero or nearly so, and are then
nothing but rounding. A whole gradient can be that small too, where units are saturated or training has converged. The
objective is known to about u·S, with u = 2⁻⁵³ and S the sum of the numbers that it is made of, so that exact
derivatives err by a few u·S and differences by a multiple of u·S/ε however small the gradient is. An error is therefore
relative to the norm or, where that is smaller, to the least norm that can be resolved to the tolerance: the rounding
divided by the tolerance. A loss summed over n rows has n times the rounding, and n times the gradient.

*What is left out.* Where w ± ε lie on two sides of a kink of an activation, of the losses ``mae``, ``huber`` and
``quantile``, or of |w| itself, the two derivatives that hold there are mixed, and a difference says nothing; such
coordinates are counted. A tensor of which no coordinate remains is not checked, which is neither a pass nor a failure.

*What cannot be checked.* A deep network with large weights can amplify every rounding of its first layer until two
exact derivatives have few digits in common; twenty layers of 50 arctan units with weights from N(0, 1) leave nine.
Where the gradients disagree, the last bits of the inputs are changed, and if autograd's gradient then changes too, that
is the answer.

Goodfellow, Bengio & Courville, Deep Learning (2016), section 11.5, has the method and its pitfalls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.errors import UserError
from mlptrain.nn.divergence import Divergence
from mlptrain.nn.engines import Adversarial, engine_for
from mlptrain.nn.losses import Loss, columns, rows
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.noise import Noise, TrainingMode
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec.adversarial import AdversarialSpec

EPSILON = 1e-6
AUTOGRAD_TOLERANCE = 1e-12
DIFFERENCE_TOLERANCE = 1e-6
MAX_COORDINATES = 200

_UNIT = 2.0**-53
_EXACT_ROUNDING = 64  # on 480 saturated networks exact derivatives erred by up to 22·u·S
_DIFFERENCE_ROUNDING = 64 / EPSILON  # on 400 random networks differences erred by up to 17·u·S/ε
_BLOCK_ELEMENTS = 2**19  # of the widest layer for the coordinates that are differenced at once: 4 MB


@dataclass(frozen=True)
class Penalty:
    """``l2``/2 · Σ w² over the parameters named in ``decayed`` plus ``l1`` · Σ |w| over those in ``weights``."""

    l2: float
    decayed: frozenset[str]
    l1: float
    weights: frozenset[str]

    def of(self, name: str, values: Tensor) -> Tensor:
        """The terms of elements of a parameter, of their shape."""
        return self.l2 / 2 * (name in self.decayed) * values.square() + self.l1 * (name in self.weights) * values.abs()

    def gradient(self, name: str, values: Tensor) -> Tensor:
        """The derivatives of these terms, with 0 for that of |w| at 0."""
        return self.l2 * (name in self.decayed) * values + self.l1 * (name in self.weights) * values.sign()

    def has_kink(self, name: str) -> bool:
        """Whether the terms of a parameter have a kink at 0."""
        return self.l1 > 0 and name in self.weights


NO_PENALTY = Penalty(0.0, frozenset(), 0.0, frozenset())


@dataclass(frozen=True)
class Coordinate:
    """The derivatives for one element of a tensor, at ``index``; ``difference`` is None where a kink lies between."""

    index: tuple[int, ...]
    analytic: float
    autograd: float
    difference: float | None


@dataclass(frozen=True)
class ParameterCheck:
    """One parameter tensor. ``gradient_norm`` is that of autograd's gradient; the errors are those of this module.

    ``checked`` coordinates were held against central differences, ``left_out`` others are at a kink;
    ``difference_error`` is None where no coordinate could be checked. ``coordinates`` are all of them, by index.
    """

    name: str
    shape: tuple[int, ...]
    gradient_norm: float
    autograd_error: float
    difference_error: float | None
    checked: int
    left_out: int
    coordinates: tuple[Coordinate, ...] = field(default=(), repr=False)

    @property
    def passed(self) -> bool | None:
        """Whether both errors are within their tolerances; None where only the one against autograd is known to be."""
        if self.autograd_error > AUTOGRAD_TOLERANCE:
            return False
        return None if self.difference_error is None else self.difference_error <= DIFFERENCE_TOLERANCE


@dataclass(frozen=True)
class GradientCheck:
    """All parameters of a network on ``rows`` examples, where the loss, reduced, and ``penalty`` make ``objective``."""

    rows: int
    objective: float
    penalty: float
    parameters: tuple[ParameterCheck, ...]

    @property
    def passed(self) -> bool | None:
        """Whether every parameter passed; None where none failed and some could not be checked by differences."""
        outcomes = [check.passed for check in self.parameters]
        return False if False in outcomes else None if None in outcomes else True

    @property
    def verdict(self) -> str:
        """The outcome in one sentence, or two."""
        wrong = [check.name for check in self.parameters if check.passed is False]
        unchecked = [check for check in self.parameters if check.passed is None]
        if not (wrong or unchecked):
            checked, left_out = (
                sum(getattr(check, count) for check in self.parameters) for count in ("checked", "left_out")
            )
            return (
                "The analytic gradients, those by autograd and by central differences agree for all "
                f"{len(self.parameters)} parameter tensors ({checked:,} coordinates by differences, {left_out:,} at a "
                "kink left out)."
            )
        agree = len(self.parameters) - len(wrong) - len(unchecked)
        counts = f"{agree} of {len(self.parameters)} parameter tensors agree"
        sentences = []
        if wrong:
            sentences.append(f"The gradients disagree for {', '.join(wrong)}: a derivative is wrong ({counts}).")
        if unchecked:
            names, left_out = ", ".join(check.name for check in unchecked), sum(check.left_out for check in unchecked)
            why = f"all {left_out:,} coordinates are at a kink" if left_out else "no coordinate was drawn"
            sentences.append(
                f"{'' if wrong else counts + ', '}{len(unchecked)} not checked by differences ({names}): {why}. "
                "Another seed or fewer rows (training.batch_size) can move the kinks."
            )
        return " ".join(sentences)


def check_gradients(
    network: MLP,
    *,
    loss: Loss,
    parameters: Parameters,
    x: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    weight_decay: float = 0.0,
    decay_for: Literal["all", "weights"] = "all",
    l1: float = 0.0,
    noise: tuple[int, int] | None = None,
    adversarial: AdversarialSpec | None = None,
    max_coordinates: int = MAX_COORDINATES,
) -> GradientCheck:
    """Check every parameter's gradient at ``parameters`` for x (n, inputs) and ``targets`` as the loss encodes them.

    Values of any floating dtype are taken over to float64; nothing that is passed in is changed. Of a tensor with more
    than ``max_coordinates`` elements as many are drawn with ``generator``. ``weight_decay`` is the factor of the L2
    penalty, over all parameters or the weights alone, and ``l1`` that of the L1 penalty; ``adversarial`` is the term of
    disturbed inputs. ``noise`` is the seed and the epoch from whose first step masks and disturbances are taken;
    without it nothing is dropped.

    Raises UserError where there is nothing to compare with: the objective or its gradient is not finite, or hangs on
    the last bits of the inputs.
    """
    parameters = parameters.clone(dtype=torch.float64, device="cpu")
    x, targets = x.double(), targets.double() if targets.is_floating_point() else targets
    weights, learnt = frozenset(network.weight_names), frozenset(network.parameter_shapes)
    penalties = Penalty(weight_decay, weights if decay_for == "weights" else learnt, l1, weights)
    given = (network, loss, parameters, x, network.repeated(targets), noise)
    terms = [_Term(*given, weight=network.share(loss), penalty=penalties)]
    analytic, disturbed = terms[0].by_engine(adversarial)
    terms += disturbed
    value, penalty, sensitivity, automatic = _by_autograd(terms)
    size = (len(x) if loss.section.reduction == "sum" else 1) * sum(term.weight for term in terms)
    of_loss = size + abs(value) + sensitivity
    checks = []
    for name, gradient in automatic.items():
        chosen = torch.randperm(gradient.numel(), generator=generator)[:max_coordinates].sort().values
        of_terms = zip(*(term.by_differences(name, chosen) for term in terms), strict=True)
        differences = [None if None in parts else math.fsum(part or 0.0 for part in parts) for parts in of_terms]
        rounding = _UNIT * (of_loss + float(penalties.gradient(name, parameters[name]).abs().max()))
        checks.append(_compared(name, analytic[name], gradient, chosen, differences, rounding=rounding))
    check = GradientCheck(len(x), value + penalty, penalty, tuple(checks))
    if check.passed is False:  # of a tensor that passed, a kink in its way may turn the gradient round
        _refuse_amplified_rounding(terms, {one.name: automatic[one.name] for one in checks if one.passed is False})
    return check


def _compared(
    name: str,
    analytic: Tensor,
    gradient: Tensor,
    chosen: Tensor,
    differences: Sequence[float | None],
    *,
    rounding: float,
) -> ParameterCheck:
    """A tensor's analytic gradient against autograd's, and at the ``chosen`` elements against differences.

    ``rounding`` is that of the objective.
    """
    norm = float(gradient.norm())
    of_both = (analytic.reshape(-1)[chosen].tolist(), gradient.reshape(-1)[chosen].tolist())
    coordinates = tuple(
        Coordinate(_place(index, gradient.shape), exact, by_autograd, difference)
        for index, exact, by_autograd, difference in zip(chosen.tolist(), *of_both, differences, strict=True)
    )
    errors = [_or_infinite(one.analytic - one.difference) for one in coordinates if one.difference is not None]
    exact_scale = max(norm, _EXACT_ROUNDING * rounding / AUTOGRAD_TOLERANCE)
    difference_scale = max(norm, _DIFFERENCE_ROUNDING * rounding / DIFFERENCE_TOLERANCE)
    return ParameterCheck(
        name=name,
        shape=tuple(gradient.shape),
        gradient_norm=norm,
        autograd_error=_or_infinite(float((analytic - gradient).abs().max())) / exact_scale,
        difference_error=max(errors) / difference_scale if errors else None,
        checked=len(errors),
        left_out=len(coordinates) - len(errors),
        coordinates=coordinates,
    )


def _refuse_amplified_rounding(terms: Sequence[_Term], gradients: Mapping[str, Tensor]) -> None:
    """Raises UserError where these gradients by autograd change with the last bits of the inputs."""
    *_, altered = _by_autograd([term.with_inputs(term.x * (1 + 2 * _UNIT)) for term in terms])
    for name, gradient in gradients.items():
        change = float((altered[name] - gradient).abs().max()) / (float(gradient.norm()) or 1.0)
        if change > AUTOGRAD_TOLERANCE / 100:
            raise UserError(
                f"the gradient of {name} changes by {change:.0e} of its norm with the last bits of the inputs, so "
                "that no check of it can be exact: these weights amplify rounding; use smaller ones, or fewer layers"
            )


def _or_infinite(error: float) -> float:
    """|error|, or infinity for what is not a number, since every comparison with that is false."""
    return math.inf if math.isnan(error) else abs(error)


def _place(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Where an element of the flattened tensor lies."""
    place: list[int] = []
    for size in reversed(shape):
        index, rest = divmod(index, size)
        place.insert(0, rest)
    return tuple(place)


Autograd = tuple[float, float, float, dict[str, Tensor]]


def _by_autograd(terms: Sequence[_Term]) -> Autograd:
    """The sums of what each term's ``by_autograd`` gives."""
    found = [term.by_autograd() for term in terms]
    value, penalty, sensitivity = (math.fsum(numbers) for numbers in list(zip(*found, strict=True))[:3])
    of_terms = [one for *_, one in found]
    gradients = {name: reduce(torch.add, [one[name] for one in of_terms]) for name in of_terms[0]}
    return value, penalty, sensitivity, gradients


class _Term:
    """A term of the objective in float64, ``weight`` times a loss and its penalty, and its gradient in three ways.

    ``targets`` are those of the rows of all members.
    """

    @torch.no_grad()
    def __init__(
        self,
        network: MLP,
        loss: Loss | Divergence,
        parameters: Parameters,
        x: Tensor,
        targets: Tensor,
        noise: tuple[int, int] | None,
        *,
        weight: float = 1.0,
        penalty: Penalty = NO_PENALTY,
    ) -> None:
        self.network, self.loss, self.parameters, self.x, self.targets = network, loss, parameters, x, targets
        self.weight, self.penalty, self._seed_and_epoch = weight, penalty, noise
        self._mode = self._first_step()
        self._inputs: list[Tensor] = []  # of every layer, before and after its ops before the product
        self._read: list[Tensor] = []
        self._z: list[Tensor] = []
        self._states: list[Tensor | None] = []  # of the generator, before the ops of each layer draw from it
        for layer in network.layers:
            self._inputs.append(x)
            self._read.append(layer.read(parameters, x, mode=self._mode))
            self._z.append(layer.product(parameters, self._read[-1]))
            self._states.append(None if self._mode.noise is None else self._mode.noise.generator.get_state())
            y = layer.activate(parameters, self._z[-1], mode=self._mode)
            x = y + x if layer.residual else y

    def _first_step(self) -> TrainingMode:
        """How ops compute in the first step of the epoch."""
        noise = None if self._seed_and_epoch is None else Noise.of(*self._seed_and_epoch)
        return TrainingMode(noise, update_statistics=False)

    def with_inputs(self, x: Tensor) -> _Term:
        """The same for other inputs."""
        given = (self.network, self.loss, self.parameters, x, self.targets, self._seed_and_epoch)
        return _Term(*given, weight=self.weight, penalty=self.penalty)

    def by_engine(self, adversarial: AdversarialSpec | None) -> tuple[Parameters, list[_Term]]:
        """The gradient of the engine that trains the network, and of the penalty; and the term of disturbed inputs."""
        if isinstance(self.loss, Divergence):
            raise TypeError("no engine minimises a divergence alone")
        gradients = Parameters.zeros(self.network.parameter_shapes, dtype=torch.float64)
        seed, epoch = self._seed_and_epoch or (None, 0)
        engine = engine_for(self.network, adversarial)(
            self.network,
            loss=self.loss,
            parameters=Stack.of(self.parameters.clone(), self.network.state_shapes),
            gradients=Stack.of(gradients),
            batch_size=len(self.x),
            seeds=None if seed is None else [seed],
        )
        engine.start_epoch(epoch)
        engine([self.x], columns(self.targets[: len(self.x)]))  # of every member the same
        for name, gradient in gradients.items():
            gradient.add_(self.penalty.gradient(name, self.parameters[name]))
        if not isinstance(engine, Adversarial):
            return gradients, []
        [x], [references] = engine.disturbed, engine.references
        given = (engine.term, self.parameters, x, rows(references), self._seed_and_epoch)
        return gradients, [_Term(self.network, *given, weight=self.weight * engine.section.weight)]

    def by_autograd(self) -> Autograd:
        """Loss, penalty, Σ |outputs · ∂loss/∂outputs|, and the objective's gradient for every parameter."""
        learnt = self.network.parameter_shapes
        leaves = {name: self.parameters[name].detach().clone().requires_grad_() for name in learnt}
        outputs = self.network.rows({**self.parameters, **leaves}, self.x, mode=self._first_step())
        loss = self.weight * self.loss(outputs, self.targets)
        penalty = torch.stack([self.penalty.of(name, leaf).sum() for name, leaf in leaves.items()]).sum()
        upstream, *gradients = torch.autograd.grad(loss + penalty, [outputs, *leaves.values()])
        value = float(loss.detach() + penalty.detach())
        if not (math.isfinite(value) and all(bool(gradient.isfinite().all()) for gradient in gradients)):
            raise UserError(
                f"the objective {value:g} or its gradient is not finite at these parameters, so that there is "
                "nothing to compare with; use smaller initial weights or scaled inputs"
            )
        sensitivity = float((outputs.detach() * upstream).abs().sum())
        return float(loss.detach()), float(penalty.detach()), sensitivity, dict(zip(leaves, gradients, strict=True))

    @torch.no_grad()
    def by_differences(self, name: str, indices: Tensor) -> list[float | None]:
        """The difference quotients for elements of the flattened tensor; None where a kink lies between.

        Only what reads a coordinate is computed again: of its layer the one unit that a weight or bias belongs to, and
        the layers above, for as many coordinates at once as fit. ε is relative for parameters above 1, which would
        otherwise lose it to rounding. Of the penalty the coordinate's own term is enough, since the rounding of the
        others, which do not change, would hide the loss.
        """
        layer = next(layer for layer in self.network.layers if name in layer.parameter_shapes)
        values = self.parameters[name].view(-1)[indices]
        epsilon = EPSILON * values.abs().clamp(min=1.0)
        high, low = values + epsilon, values - epsilon
        at_once = max(1, _BLOCK_ELEMENTS // (2 * len(self.x) * max(self.network.widths[layer.index + 1 :])))
        quotients: list[float | None] = []
        for part in torch.split(torch.arange(len(indices)), at_once) if len(indices) else ():
            both = torch.cat([high[part], low[part]])
            losses, sides = self._losses_at(layer, name, indices[part].repeat(2), both)
            above, below = (losses + self.penalty.of(name, both)).chunk(2)
            quotient = (above - below) / (high[part] - low[part])
            crossed = (low[part] <= 0) & (high[part] >= 0) & self.penalty.has_kink(name)
            for plus, minus in (side.view(2, len(part), -1) for side in sides):
                crossed |= (plus != minus).any(dim=1)
            quotients += [None if at else value for at, value in zip(crossed.tolist(), quotient.tolist(), strict=True)]
        return quotients

    def _losses_at(self, layer: Layer, name: str, indices: Tensor, values: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The losses (copies,) where in every copy of the network one element of a tensor has another value, and sides.

        See ``_losses_above`` for the sides.
        """
        own = {key: self.parameters[layer.prefix + key] for key in ("weight", "bias") if layer.bias or key == "weight"}
        moved = name.removeprefix(layer.prefix)
        if moved not in own or layer.members is not None:  # what may be used for every unit
            return self._losses_one_by_one(layer, moved, indices, values)
        copies = torch.arange(len(indices))
        units = indices * len(own[moved]) // own[moved].numel()
        rows = {key: tensor[units] for key, tensor in own.items()}  # of each copy its unit
        rows[moved].view(len(indices), -1)[copies, indices % (own[moved].numel() // len(own[moved]))] = values
        z = self._z[layer.index].expand(len(indices), -1, -1).clone()
        z[copies, :, units] = functional.linear(self._read[layer.index], **rows).t()
        return self._losses_above(layer, z)

    def _losses_one_by_one(
        self, layer: Layer, name: str, indices: Tensor, values: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """``_losses_at`` copy by copy, for any parameter."""
        results: list[tuple[Tensor, list[Tensor]]] = []
        parameter = self.parameters[layer.prefix + name].view(-1)
        is_of_op = any(name in op.parameter_shapes(layer.outputs) for op in layer.ops)
        for index, value in zip(indices, values, strict=True):
            before = parameter[index].clone()
            parameter[index] = value
            z, embedded = self._z[layer.index], list[Tensor]()
            if not is_of_op:  # what the layer reads may draw in the first layer alone, and there it draws first
                read = layer.read(self.parameters, self._inputs[layer.index], mode=self._first_step())
                z, embedded = layer.product(self.parameters, read), self._of_embedding()
            loss, sides_above = self._losses_above(layer, z.unsqueeze(0))
            results.append((loss, [*sides_above, *(side.unsqueeze(0) for side in embedded)]))
            parameter[index] = before
        losses, sides = zip(*results, strict=True)
        return torch.cat(losses), [torch.cat(group) for group in zip(*sides, strict=True)]

    def _losses_above(self, layer: Layer, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The losses (copies,) for this layer's z (copies, n, outputs), and on which side of every kink all values lie.

        Sides are bool (copies, …), a tensor for every kink.
        """
        y, sides = self._activate(layer, z)
        y = y + self._inputs[layer.index] if layer.residual else y
        for later in self.network.layers[layer.index + 1 :]:
            made, more = self._activate(later, later.product(self.parameters, later.read(self.parameters, y)))
            y = made + y if later.residual else made
            sides += more
        of_loss = [self.loss.sides_of_kinks(outputs, self.targets) for outputs in y]
        sides += [torch.stack(group) for group in zip(*of_loss, strict=True)]
        return torch.stack([self.weight * self.loss(outputs, self.targets) for outputs in y]), sides

    def _of_embedding(self) -> list[Tensor]:
        """On which side of every kink the values in the first layer's embedding lie."""
        first = self.network.layers[0]
        if first.embedding is None:
            return []
        return first.embedding.sides_of_kinks(self.x, first.of_embedding(self.parameters))

    def _activate(self, layer: Layer, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the next layer reads of every copy (copies, n, outputs), and the sides of the kinks of its ops.

        Ops that look at more than a row get the copies one by one, each with the noise of the first step.
        """
        if all(op.by_row for op in layer.ops):
            y, sides = self._apply(layer, z.flatten(0, 1))
            return y.view(*z.shape[:2], -1), [side.view(len(z), -1) for side in sides]
        results = [self._apply(layer, copy) for copy in z]
        ys, of_copies = zip(*results, strict=True)
        return torch.stack(ys), [torch.stack(group) for group in zip(*of_copies, strict=True)]

    def _apply(self, layer: Layer, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The ops of a layer on z (n, outputs), and on which side of every kink each value that an op reads lies."""
        if self._mode.noise is not None and (state := self._states[layer.index]) is not None:
            self._mode.noise.generator.set_state(state)
        sides: list[Tensor] = []
        for op, own in layer.ops_with(self.parameters):
            sides += [z > kink for kink in op.kinks]
            z = op.apply(z, own, mode=self._mode)
        return z, sides
