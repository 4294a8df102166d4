"""Optimizers that are classes of torch's kind: one for each model, on views of its parameters and gradients.

They see what torch's own training loop shows them, parameters of their shapes with a ``grad``, and are given their
learning rates in ``param_groups``. Muon, Adafactor and L-BFGS need shapes or a closure, and those that come by import
path know nothing else. Making one imports torch._dynamo, which costs a second or two.

A class with methods ``train`` and ``eval``, as those of schedule-free have, trains with other parameters than those
that it stands for: ``averaged`` gives the latter, and leaves the former as they were, to the bit. One whose ``step``
wants a closure, as that of SAM, is given one that evaluates the same batch where the parameters are by then.
"""

# ruff: noqa: D102, ARG002 – the base class describes the methods, and its arguments are more than these need

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from mlptrain.errors import MlptrainError, UserError, is_out_of_memory
from mlptrain.nn.parameters import Parameters
from mlptrain.spec import constructors, optimizer
from mlptrain.spec.optimizer import WRAPPED, OptimizerSpec
from mlptrain.updates.optimizers import Optimizer
from mlptrain.updates.states import packed, unpacked

Evaluate = Callable[[], Tensor]  # writes the gradients of all models, and gives the objective of each, (models,)

# Before the state of a class is saved and loaded, and after it: a lookahead looks after five, and what averages or
# renews its matrices does so after ten.
_PROBE_STEPS = 12
_GIVEN_LR = "given_lr"  # of a group: the rate that it was last given, which its state keeps
_closures: dict[tuple[str, str | None], bool] = {}  # by name and digest of a class, whether its step wants a closure
_usable: set[str] = set()  # settings that were tried, but for their learning rates, since each model asks


class StepError(UserError):
    """The step of an optimizer has failed, for a ``reason``."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"optimizer '{name}': {reason}")
        self.reason = reason


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
        self._shares = [  # of the section's learning rate, by group
            [group.get("lr", section.lr) / section.lr for group in one.param_groups] for one in self._optimizers
        ]
        self.needs_closure = needs_closure(section)
        self._modes = [one for one in self._optimizers if callable(getattr(one, "eval", None))]
        self._call("train")

    @property
    def averages(self) -> bool:
        """Whether it stands for other parameters than those that it trains with."""
        return bool(self._modes)

    def step(
        self, gradients: list[Tensor], lr: float | Tensor, evaluate: Evaluate | None = None, place: int = 0
    ) -> None:
        """One update; with ``evaluate``, which a closure needs, of the model ``place`` of those that it evaluates.

        Where a class fails on numbers that are no longer finite, its parameters become nan, as without an error they
        would. Raises UserError where it fails on finite ones.
        """
        self._show_gradients()
        for one, shares in zip(self._optimizers, self._shares, strict=True):
            for group, share in zip(one.param_groups, shares, strict=True):
                if group.get(_GIVEN_LR) != float(lr):  # else a class that adapts its rate keeps what it came to
                    group[_GIVEN_LR] = float(lr)
                    group["lr"] = float(lr) * share
            if not self.needs_closure:
                self._tried(one.step)
            elif evaluate is not None:
                self._tried(one.step, lambda: self._objective(evaluate, place))
            else:
                raise ValueError("an optimizer with a closure needs what evaluates it")

    def _show_gradients(self) -> None:
        for name, leaf in self._leaves.items():
            leaf.grad = self._gradients[name]

    def _tried(self, step: Callable[..., Any], *closure: Callable[[], Any]) -> None:
        try:
            step(*closure)
        except Exception as error:  # of a class that may be anybody's
            if isinstance(error, MlptrainError) or is_out_of_memory(error):
                raise
            if all(map(_is_finite, self._held())):
                raise StepError(
                    self.settings.name, f"a step fails with {type(error).__name__}: {_line(error)}"
                ) from error
            with torch.no_grad():
                for leaf in self._leaves.values():
                    leaf.fill_(torch.nan)

    def _held(self) -> Iterator[Tensor]:
        """All tensors of parameters, gradients and state."""
        yield from (leaf.detach() for leaf in self._leaves.values())
        yield from (self._gradients[name] for name in self._leaves)
        for one in self._optimizers:
            for state in one.state.values():
                yield from (value for value in state.values() if isinstance(value, Tensor))

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

    def is_in_place(self, parameters: Iterable[Tensor]) -> bool:
        """Whether what its class changes are still the parameters of a model, given in the order of their names."""
        leaves = self._leaves.values()
        return all(leaf.data_ptr() == view.data_ptr() for leaf, view in zip(leaves, parameters, strict=True))

    def packed(self) -> tuple[dict[str, Tensor], str]:
        """Its state as tensors and JSON. Raises UnsavableError."""
        return packed({str(place): one.state_dict() for place, one in enumerate(self._optimizers)})

    def unpack(self, tensors: Mapping[str, Tensor], text: str) -> None:
        """Take over a packed state. Raises ValueError for that of another optimizer or network."""
        states = unpacked(tensors, text)
        if not isinstance(states, dict) or list(states) != [str(place) for place in range(len(self._optimizers))]:
            raise ValueError("the state of another optimizer")
        for one, state in zip(self._optimizers, states.values(), strict=True):
            try:
                one.load_state_dict(state)
            except Exception as error:  # of a class that may be anybody's
                raise ValueError(f"the optimizer refuses its state ({type(error).__name__}: {error})") from None

    def _objective(self, evaluate: Evaluate, place: int) -> Tensor | float:
        """What is minimised, with the penalty, whose gradient joins that of the loss."""
        with torch.no_grad():
            objective = evaluate()[place]
            self._show_gradients()  # which a class may have taken away before
            if penalty := self.settings.penalty:
                for name in self._decayed:
                    leaf = self._leaves[name].detach()
                    objective = objective + penalty / 2 * leaf.double().square().sum()
                    self._gradients[name].add_(leaf, alpha=penalty)
        return float(objective) if isinstance(self.settings, optimizer.LBFGS) else objective

    def _call(self, mode: str) -> None:
        with redirect_stdout(io.StringIO()):  # some announce it, and where results are printed that would join them
            for one in self._modes:
                getattr(one, mode)()


def needs_closure(section: OptimizerSpec) -> bool:
    """Whether the ``step`` of an optimizer wants a closure that evaluates loss and gradient.

    Of a class by its import path that is tried: without one, the step of such a class fails with an error about it.
    """
    if not isinstance(section, optimizer.Foreign):
        return isinstance(section, optimizer.LBFGS)
    key = section.name, section.sha256
    if key not in _closures:
        leaves = {name: Parameter(torch.full(shape, 0.5)) for name, shape in _SHAPES.items()}
        for leaf in leaves.values():
            leaf.grad = torch.ones_like(leaf)
        [one] = _made(section, leaves, _WEIGHTS)
        before = torch.get_rng_state()
        try:
            one.step()
            _closures[key] = False
        except Exception as error:
            _closures[key] = "closure" in f"{type(error).__name__} {error}".lower()
        torch.set_rng_state(before)
    return _closures[key]


def gradients_per_step(section: OptimizerSpec) -> int:
    """How many gradients of its batch a step takes: of L-BFGS at most, of an imported class as its first step does."""
    if not isinstance(section, optimizer.Foreign) or not needs_closure(section):
        return section.gradients_per_step
    views = {name: torch.full(shape, 0.5) for name, shape in _SHAPES.items()}
    gradients = {name: torch.full(shape, 0.1) for name, shape in _SHAPES.items()}
    evaluated = [0]

    def evaluate() -> Tensor:
        evaluated[0] += 1
        return torch.ones(1)

    before = torch.get_rng_state()
    Wrapped(section, views, gradients, _WEIGHTS).step([], section.lr, evaluate)
    torch.set_rng_state(before)
    return 1 + evaluated[0]  # before the step, as its class expects, and by the closure


def _made(section: OptimizerSpec, leaves: Mapping[str, Parameter], weights: Sequence[str]) -> Iterator[Any]:
    """The optimizers of a section; groups without decay where it is of weights alone."""
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
        yield torch.optim.Muon(matrices, **values)
        if others:
            decay = 0.0 if apart else section.weight_decay
            yield torch.optim.AdamW(others, weight_decay=decay, **adamw)
    elif isinstance(section, optimizer.Adafactor):
        values["eps"] = tuple(values["eps"])
        yield torch.optim.Adafactor(groups, **values)
    elif isinstance(section, optimizer.LBFGS):
        del values["weight_decay"]
        values["line_search_fn"] = None if section.line_search_fn == "none" else section.line_search_fn
        yield torch.optim.LBFGS(list(leaves.values()), **values)
    elif isinstance(section, optimizer.Foreign):
        if constructors.tells_matrices_apart(section):
            groups = [{"params": matrices, "use_muon": True}, {"params": others, "use_muon": False}]
            groups = [
                group | ({"weight_decay": 0.0} if apart and group["params"] is others else {}) for group in groups
            ]
            groups = [group for group in groups if group["params"]]
        yield constructors.made(section, groups)


_SHAPES = {"layers.0.weight": (4, 3), "layers.0.bias": (4,), "layers.1.weight": (2, 4), "layers.1.bias": (2,)}
_WEIGHTS = [name for name in _SHAPES if name.endswith("weight")]  # of a small network, to try a class on


def check_usable(section: OptimizerSpec) -> None:
    """Try a foreign class on small parameters, before anything is trained. Raises UserError with what is in the way.

    It has to take steps in place and without random numbers, and to resume from its saved state to the same bits.
    """
    if not isinstance(section, optimizer.Foreign) or (settings := section.model_dump_json(exclude={"lr"})) in _usable:
        return
    drawn = torch.Generator().manual_seed(0)
    steps = [[torch.randn(shape, generator=drawn) for shape in _SHAPES.values()] for _ in range(2 * _PROBE_STEPS)]

    def start() -> tuple[Wrapped, list[Tensor], dict[str, Tensor]]:
        views = {name: torch.full(shape, 0.5) for name, shape in _SHAPES.items()}
        gradients = {name: torch.zeros(shape) for name, shape in _SHAPES.items()}
        return Wrapped(section, views, gradients, _WEIGHTS), list(views.values()), gradients

    def go(
        one: Wrapped, views: Sequence[Tensor], gradients: Mapping[str, Tensor], of_steps: Sequence[Sequence[Tensor]]
    ) -> None:
        """Down a bowl, whose gradients are noisy."""
        for step in of_steps:

            def evaluate(noise: Sequence[Tensor] = step) -> Tensor:
                for gradient, view, values in zip(gradients.values(), views, noise, strict=True):
                    torch.add(values, view, alpha=0.1, out=gradient)
                return torch.stack([view.square().sum() for view in views]).sum().view(1)

            evaluate()
            one.step([], section.lr, evaluate)

    first, parameters, gradients = start()
    before = torch.get_rng_state()
    try:
        go(first, parameters, gradients, steps[:_PROBE_STEPS])
    except StepError as error:
        raise _unusable(section, error.reason) from error
    if not torch.equal(before, torch.get_rng_state()):
        torch.set_rng_state(before)
        raise _unusable(
            section, "it draws random numbers from torch's own generator, which no resumed run could repeat"
        )
    if not first.is_in_place(parameters):
        raise _unusable(section, "its steps change no parameter in place")
    second, copies, others = start()
    try:
        second.unpack(*first.packed())
    except ValueError as error:
        raise _unusable(section, f"a resumed run could not go on from its state: {error}") from None
    for copy, values in zip(copies, parameters, strict=True):
        copy.copy_(values)
    go(first, parameters, gradients, steps[_PROBE_STEPS:])
    go(second, copies, others, steps[_PROBE_STEPS:])
    if not all(
        torch.equal(ours.nan_to_num(), theirs.nan_to_num()) for ours, theirs in zip(parameters, copies, strict=True)
    ):
        raise _unusable(
            section,
            "a resumed run would not go on as an unbroken one: some of what it remembers between steps is not in its "
            "state_dict(); keep it in self.state or param_groups",
        )
    _usable.add(settings)


def check_state(
    section: OptimizerSpec, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], text: str
) -> None:
    """Raises ValueError unless the optimizer of a network with these parameters can resume from a packed state."""
    parameters, gradients = (Parameters.zeros(shapes) for _ in range(2))
    made = Wrapped(section, parameters, gradients, [name for name in shapes if name.endswith("weight")])
    made.unpack(tensors, text)
    try:
        made.step([], section.lr, lambda: torch.zeros(1))
    except Exception as error:
        raise ValueError(f"the optimizer cannot go on from its state ({_line(error)})") from None


def _unusable(section: optimizer.Foreign, reason: str) -> UserError:
    return constructors.refused(section, f"cannot train here: {reason}")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:300]


def _is_finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())
