"""Optimizers that are classes of torch's kind: one for each model, on views of its parameters and gradients.

They see what torch's own training loop shows them, parameters of their shapes with a ``grad``, and are given their
learning rates in ``param_groups``. Muon, Adafactor and L-BFGS need shapes or a closure, and those that come by import
path know nothing else. Making one imports torch._dynamo, which costs a second or two.

A class with methods ``train`` and ``eval``, as those of schedule-free have, trains with other parameters than those
that it stands for: ``averaged`` gives the latter, and leaves the former as they were, to the bit.
"""

# ruff: noqa: D102, ARG002 – the base class describes the methods, and its arguments are more than these need

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from mlptrain.errors import UserError
from mlptrain.nn.parameters import Parameters
from mlptrain.spec import foreign, optimizer
from mlptrain.spec.optimizer import WRAPPED, OptimizerSpec
from mlptrain.updates.optimizers import Optimizer
from mlptrain.updates.states import packed, unpacked

Evaluate = Callable[[], Tensor]  # writes the gradients of all models, and gives the objective of each, (models,)

_PROBE_STEPS = 6  # before the state of a class is saved and loaded, and after it; a lookahead looks after five


def is_wrapped(section: OptimizerSpec) -> bool:
    """Whether the optimizer of a section is of this module."""
    return isinstance(section, WRAPPED)


class Wrapped(Optimizer[Any]):
    """The optimizer of one model, on its parameters by their names and the gradients of the same names.

    ``weights`` names the weight matrices. Raises UserError where the class cannot be had or does not fit.
    """

    def __init__(
        self,
        section: OptimizerSpec,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        weights: Sequence[str],
    ) -> None:
        self._leaves = {name: Parameter(view.detach()) for name, view in parameters.items() if name in gradients}
        self._gradients = gradients
        self._decayed = [name for name in self._leaves if section.weight_decay_for == "all" or name in weights]
        super().__init__(list(self._leaves.values()), section)
        self._optimizers = list(_made(section, self._leaves, weights))
        self.needs_closure = isinstance(section, optimizer.LBFGS)
        self._modes = [one for one, _ in self._optimizers if callable(getattr(one, "eval", None))]
        self._call("train")

    @property
    def averages(self) -> bool:
        """Whether it stands for other parameters than those that it trains with."""
        return bool(self._modes)

    def step(
        self, gradients: list[Tensor], lr: float | Tensor, evaluate: Evaluate | None = None, place: int = 0
    ) -> None:
        """One update; with ``evaluate``, which a closure needs, of the model ``place`` of those that it evaluates."""
        for name, leaf in self._leaves.items():
            leaf.grad = self._gradients[name]
        for one, lr_of_section in self._optimizers:
            for group in one.param_groups:
                group["lr"] = float(lr) * (lr_of_section / self.settings.lr)
            if not self.needs_closure:
                one.step()
            elif evaluate is not None:
                one.step(lambda: float(self._objective(evaluate, place)))
            else:
                raise ValueError("an optimizer with a closure needs what evaluates it")

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float | Tensor) -> None:
        raise ValueError("the parameters of a wrapped optimizer are its own")

    def averaged(self, into: Parameters, parameters: Parameters) -> None:
        """Copy all of a model as it is to be evaluated; ``parameters`` are those that it trains with."""
        before = [leaf.detach().clone() for leaf in self._leaves.values()]
        self._call("eval")
        into.copy_(parameters)
        self._call("train")
        with torch.no_grad():
            for leaf, values in zip(self._leaves.values(), before, strict=True):
                leaf.copy_(values)

    def packed(self) -> tuple[dict[str, Tensor], str]:
        """Its state as tensors and JSON. Raises UnsavableError."""
        return packed({str(place): one.state_dict() for place, (one, _) in enumerate(self._optimizers)})

    def unpack(self, tensors: Mapping[str, Tensor], text: str) -> None:
        """Take over a packed state. Raises ValueError for that of another optimizer or network."""
        states = unpacked(tensors, text)
        if not isinstance(states, dict) or list(states) != [str(place) for place in range(len(self._optimizers))]:
            raise ValueError("the state of another optimizer")
        for (one, _), state in zip(self._optimizers, states.values(), strict=True):
            try:
                one.load_state_dict(state)
            except Exception as error:  # of a class that may be anybody's
                raise ValueError(f"the optimizer refuses its state ({type(error).__name__}: {error})") from None

    def _objective(self, evaluate: Evaluate, place: int) -> Tensor:
        """What is minimised, with the penalty, whose gradient joins that of the loss."""
        with torch.no_grad():
            objective = evaluate()[place]
            if penalty := self.settings.penalty:
                for name in self._decayed:
                    leaf = self._leaves[name].detach()
                    objective = objective + penalty / 2 * leaf.double().square().sum()
                    self._gradients[name].add_(leaf, alpha=penalty)
        return objective

    def _call(self, mode: str) -> None:
        for one in self._modes:
            getattr(one, mode)()


def _made(
    section: OptimizerSpec, leaves: Mapping[str, Parameter], weights: Sequence[str]
) -> Iterator[tuple[torch.optim.Optimizer, float]]:
    """The optimizers of a section with their learning rates; groups without decay where it is of weights alone."""
    apart = section.weight_decay_for == "weights" and section.weight_decay
    matrices = [leaf for name, leaf in leaves.items() if name in weights and leaf.dim() == 2]
    others = [leaf for leaf in leaves.values() if all(leaf is not one for one in matrices)]
    groups: list[Any] = list(leaves.values())
    if apart and others:
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    values = section.model_dump(exclude={"name", "weight_decay_for"})
    if isinstance(section, optimizer.Muon):
        adamw = {"lr": values.pop("adamw_lr"), "betas": tuple(values.pop("betas"))}
        values["ns_coefficients"] = tuple(values["ns_coefficients"])
        yield torch.optim.Muon(matrices, **values), section.lr
        if others:
            decay = 0.0 if apart else section.weight_decay
            yield torch.optim.AdamW(others, weight_decay=decay, **adamw), section.adamw_lr
    elif isinstance(section, optimizer.Adafactor):
        values["eps"] = tuple(values["eps"])
        yield torch.optim.Adafactor(groups, **values), section.lr
    elif isinstance(section, optimizer.LBFGS):
        del values["weight_decay"]
        values["line_search_fn"] = None if section.line_search_fn == "none" else section.line_search_fn
        yield torch.optim.LBFGS(list(leaves.values()), **values), section.lr
    elif isinstance(section, optimizer.Foreign):
        yield foreign.made(section, groups), section.lr


def check_usable(section: OptimizerSpec) -> None:
    """Try a foreign class on small parameters, before anything is trained. Raises UserError with what is in the way.

    It has to take a step without a closure, in place and without random numbers, and to go on from its saved state to
    the same bits.
    """
    if not isinstance(section, optimizer.Foreign):
        return
    drawn = torch.Generator().manual_seed(0)
    shapes = {"layers.0.weight": (4, 3), "layers.0.bias": (4,), "layers.1.weight": (2, 4), "layers.1.bias": (2,)}
    steps = [[torch.randn(shape, generator=drawn) for shape in shapes.values()] for _ in range(2 * _PROBE_STEPS)]

    def start() -> tuple[Wrapped, list[Tensor], dict[str, Tensor]]:
        views = {name: torch.full(shape, 0.5) for name, shape in shapes.items()}
        gradients = {name: torch.zeros(shape) for name, shape in shapes.items()}
        weights = [name for name in shapes if name.endswith("weight")]
        return Wrapped(section, views, gradients, weights), list(views.values()), gradients

    def go(one: Wrapped, gradients: Mapping[str, Tensor], of_steps: Sequence[Sequence[Tensor]]) -> None:
        for step in of_steps:
            for view, values in zip(gradients.values(), step, strict=True):
                view.copy_(values)
            one.step([], section.lr)

    first, parameters, gradients = start()
    before = torch.get_rng_state()
    try:
        go(first, gradients, steps[:_PROBE_STEPS])
    except Exception as error:
        raise _unusable(section, f"a step fails with {type(error).__name__}: {_line(error)}") from error
    if not torch.equal(before, torch.get_rng_state()):
        torch.set_rng_state(before)
        raise _unusable(
            section, "it draws random numbers from torch's own generator, which no resumed run could repeat"
        )
    if all(bool((values == 0.5).all()) for values in parameters):
        raise _unusable(section, "its steps change no parameter in place")
    second, copies, others = start()
    try:
        second.unpack(*first.packed())
    except ValueError as error:
        raise _unusable(section, f"a resumed run could not go on from its state: {error}") from None
    for copy, values in zip(copies, parameters, strict=True):
        copy.copy_(values)
    go(first, gradients, steps[_PROBE_STEPS:])
    go(second, others, steps[_PROBE_STEPS:])
    if not all(torch.equal(ours, theirs) for ours, theirs in zip(parameters, copies, strict=True)):
        raise _unusable(
            section,
            "a resumed run would not go on as an unbroken one: some of what it remembers between steps is not in its "
            "state_dict(); keep it in self.state or param_groups",
        )


def check_state(
    section: OptimizerSpec, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], text: str
) -> None:
    """Raises ValueError unless the optimizer of a network with these parameters can go on from a packed state."""
    parameters, gradients = (Parameters.zeros(shapes) for _ in range(2))
    made = Wrapped(section, parameters, gradients, [name for name in shapes if name.endswith("weight")])
    made.unpack(tensors, text)
    try:
        made.step([], section.lr, lambda: torch.zeros(1))
    except Exception as error:
        raise ValueError(f"the optimizer cannot go on from its state ({_line(error)})") from None


def _unusable(section: optimizer.Foreign, reason: str) -> UserError:
    return UserError(f"optimizer '{section.name}' cannot train here: {reason}")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:300]
