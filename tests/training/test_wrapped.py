"""Optimizers of torch's kind against their classes: alone, among others, resumed, schedule-free."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schedulefree
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler

import mlptrain
from mlptrain.errors import UserError
from mlptrain.spec import load_spec
from mlptrain.spec.code import code_allowed
from mlptrain.spec.optimizer import Foreign, OptimizerSpec
from mlptrain.spec.schedule import Linear, RunLength
from mlptrain.training.trainer import CONSTANT
from mlptrain.updates.chain import ModelState, Updates
from mlptrain.updates.states import UnsavableError, packed, unpacked
from mlptrain.updates.wrapped import check_usable
from tests.catalogue import OPTIMIZERS, WRAPPED, Settings, cases, optimizer_section
from tests.training.test_updates import SHAPES, WEIGHTS, stack_of

STEPS = 20
RUN = RunLength(STEPS, 5)
LINEAR = Linear(name="linear", final=0.1)
COLLECTED: list[tuple[str, Settings]] = [
    ("schedulefree:AdamWScheduleFree", {"lr": 0.1, "weight_decay": 0.1}),
    ("schedulefree:SGDScheduleFree", {"lr": 0.1, "momentum": 0.8}),
    ("pytorch_optimizer:Lion", {"lr": 0.01, "weight_decay": 0.1}),
    ("pytorch_optimizer:AdaBelief", {"lr": 0.01}),
    ("pytorch_optimizer:Prodigy", {"lr": 1.0}),
    ("pytorch_optimizer:SOAP", {"lr": 0.05, "precondition_frequency": 5}),  # whose matrices lie by columns
    ("pytorch_optimizer:AggMo", {"lr": 0.02, "betas": [0.0, 0.9]}),  # whose state has numbers for keys
    ("pytorch_optimizer:ASGD", {"lr": 0.5}),  # which adapts its rate itself
    ("pytorch_optimizer:Muon", {"lr": 0.05, "adamw_lr": 0.1}),
    # With a closure:
    ("pytorch_optimizer:SAM", {"lr": 0.02, "base_optimizer": "torch.optim:SGD", "momentum": 0.8}),
    ("schedulefree:SGDScheduleFreeClosure", {"lr": 0.1}),
]
WITHOUT_DECAY = {
    "pytorch_optimizer:AdaBelief",
    "pytorch_optimizer:Prodigy",
    "schedulefree:SGDScheduleFreeClosure",
    "lbfgs",
}
WITH_CLOSURE = "SAM", "SGDScheduleFreeClosure", "LBFGS"


def section_of(name: str, settings: Settings) -> OptimizerSpec:
    """A section with the defaults of its class written out, as a configuration is loaded."""
    if ":" not in name:
        return optimizer_section(name, settings)
    config = {"data": "digits", "model": {"hidden": []}, "optimizer": {"name": name, **settings}}
    return load_spec(config).spec.optimizer


def reference_of(name: str, settings: Settings, leaves: list[Tensor]) -> Any:
    if name in WRAPPED:
        given = {"line_search_fn": "strong_wolfe", **settings} if name == "lbfgs" else dict(settings)
        given = {key: None if value == "none" else value for key, value in given.items()}
        return WRAPPED[name].reference(leaves, **given)
    module, _, cls = name.partition(":")
    given = {**settings, **({"base_optimizer": torch.optim.SGD} if "base_optimizer" in settings else {})}
    groups: Any = leaves
    if cls == "Muon":
        groups = [
            {"params": [leaf for leaf in leaves if (leaf.dim() == 2) == is_2d], "use_muon": is_2d}
            for is_2d in (True, False)
        ]
    made = getattr(__import__(module), cls)(groups, **given)
    if hasattr(made, "train"):
        made.train()
    return made


class Bowls:
    """Models that each minimise Σ c·(w − t)² over all they learn; the curvature c differs from weight to weight."""

    def __init__(self, sections: Sequence[OptimizerSpec], schedule: Any = CONSTANT, **more: Any) -> None:
        self.parameters = stack_of(len(sections), **more)
        self.gradients = self.parameters.gradients()
        schedules = [schedule] * len(sections)
        self.updates = Updates(self.parameters, self.gradients, sections, weights=WEIGHTS, schedules=schedules, run=RUN)

    def evaluate(self) -> Tensor:
        objectives = []
        for member, gradient in zip(self.parameters.members, self.gradients.members, strict=True):
            objectives.append(bowl(list(member.values()), list(gradient.values())))
        return torch.stack(objectives)

    def step(self) -> None:
        self.evaluate()
        self.updates.advance()
        self.updates.apply(evaluate=self.evaluate)


def bowl(leaves: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        c = torch.linspace(0.5, 3, leaf.numel(), dtype=leaf.dtype).view(leaf.shape)
        off = leaf.detach() - 0.3
        gradient.copy_(2 * c * off)
        total += (c * off.square()).sum()
    return total


def reference_step(reference: Any, leaves: Sequence[Tensor]) -> None:
    """A step of torch's own kind."""

    def closure() -> Tensor:
        for leaf in leaves:
            leaf.grad = torch.zeros_like(leaf)
        return bowl(leaves, [leaf.grad for leaf in leaves if leaf.grad is not None])

    closure()
    if type(reference).__name__ in WITH_CLOSURE:
        reference.step(closure)
    else:
        reference.step()


OTHERS: list[tuple[str, Settings]] = [("adam", {"lr": 0.1}), ("sgd", {"lr": 0.01, "momentum": 0.9})]
CASES: list[tuple[str, Settings]] = [*cases(WRAPPED), *COLLECTED]
ELEMENTWISE = [case for case in cases(OPTIMIZERS) if case[0] in ("adadelta", "radam", "asgd", "rprop")]


@pytest.mark.parametrize("schedule", [CONSTANT, LINEAR], ids=["constant", "linear"])
@pytest.mark.parametrize("together", [False, True], ids=["alone", "among others"])
@pytest.mark.parametrize(("name", "given"), [*CASES, *ELEMENTWISE])
def test_twenty_steps_equal_those_of_the_class(name: str, given: Settings, *, together: bool, schedule: Any) -> None:
    names = [OTHERS[0], (name, given), OTHERS[1], (name, given)] if together else [(name, given)]
    bowls = Bowls([section_of(*one) for one in names], schedule)
    held = [index for index, one in enumerate(names) if one[0] == name]
    leaves = {one: [view.clone().requires_grad_() for view in bowls.parameters.members[one].values()] for one in held}
    makers: dict[str, Callable[..., Any]] = {one: row.reference for one, row in OPTIMIZERS.items()}
    references = {
        one: makers[name](leaves[one], **given) if name in makers else reference_of(name, given, leaves[one])
        for one in held
    }
    parts = [getattr(one, part) for one in references.values() for part in ("muon", "adamw") if hasattr(one, part)]
    scheduled = [] if schedule is CONSTANT else parts or list(references.values())
    schedulers = [lr_scheduler.LambdaLR(one, partial(schedule.factor_at, run=RUN)) for one in scheduled]
    tolerance = OPTIMIZERS[name].tolerance if name in OPTIMIZERS else 1e-9
    for _ in range(STEPS):
        bowls.step()
        for one in held:
            reference_step(references[one], leaves[one])
            for ours, theirs in zip(bowls.parameters.members[one].values(), leaves[one], strict=True):
                torch.testing.assert_close(ours, theirs.detach(), rtol=tolerance, atol=1e-12)
        for scheduler in schedulers:
            scheduler.step()


@pytest.mark.parametrize("name", [*WRAPPED, *(name for name, _ in COLLECTED)])
def test_solves_a_parabola(name: str) -> None:
    settings = WRAPPED[name].parabola if name in WRAPPED else dict(COLLECTED)[name]
    decay = {} if name in WITHOUT_DECAY else {"weight_decay": 0.0}
    bowls = Bowls([section_of(name, {**settings, **decay})])
    for _ in range(600):
        bowls.step()
    bowls.updates.settle()
    for view in bowls.updates.evaluated.members[0].values():
        torch.testing.assert_close(view, torch.full_like(view, 0.3), atol=0.1, rtol=0)


def saved(state: ModelState) -> ModelState:
    """As a checkpoint holds it."""
    return copy.deepcopy(
        ModelState(dict(state.parameters), state.buffers, state.scalars, dict(state.raw), dict(state.own), state.plain)
    )


@pytest.mark.parametrize("steps", [0, 7])
@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_state_carries_over_to_the_bit(name: str, given: Settings, steps: int) -> None:
    sections = [section_of("adam", {"lr": 0.1}), section_of(name, given)]
    unbroken, resumed = (Bowls(sections, LINEAR, dtype=torch.float32) for _ in range(2))
    for _ in range(steps):
        unbroken.step()
    unbroken.updates.settle()
    for model in range(2):
        resumed.updates.load(model, saved(unbroken.updates.state(model)))
    resumed.updates.start(steps)
    for _ in range(6):
        unbroken.step()
        resumed.step()
    assert torch.equal(unbroken.parameters.flat, resumed.parameters.flat)
    with pytest.raises(ValueError, match=r"state|raw"):
        resumed.updates.load(1, ModelState(unbroken.updates.state(0).parameters))


def test_schedule_free_is_evaluated_at_its_average_and_trains_on_as_if_it_had_not_been() -> None:
    name, given = COLLECTED[0]
    looked, other = (Bowls([section_of(name, given)], dtype=torch.float32) for _ in range(2))
    leaves = [view.clone().requires_grad_() for view in looked.parameters.members[0].values()]
    reference = reference_of(name, given, leaves)
    for _ in range(STEPS):
        looked.step()
        looked.updates.settle()
        other.step()
        reference_step(reference, leaves)
    assert torch.equal(looked.parameters.flat, other.parameters.flat)
    reference.eval()
    for ours, theirs in zip(looked.updates.evaluated.members[0].values(), leaves, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.equal(looked.updates.evaluated.flat, looked.parameters.flat)


def test_a_schedule_free_run_has_the_figures_of_the_librarys_own_loop(tmp_path: Path) -> None:
    """20 steps with an evaluation after every fifth, in ``eval`` mode, of a run alone and of an arm of a comparison."""
    config: dict[str, Any] = {
        "data": {"name": "digits", "train_size": 160, "test_size": 50, "validation": 40},
        "model": {"hidden": [8]},
        "optimizer": {"name": "schedulefree:AdamWScheduleFree", "lr": 0.03},
        "training": {"epochs": 5, "batch_size": 30, "shuffle": False, "device": "cpu"},
    }
    run = mlptrain.train(config, run_dir=tmp_path / "run").folder.path
    untrained = mlptrain.train({**config, "training": {**config["training"], "epochs": 0}}, run_dir=tmp_path / "start")
    arrays, start = mlptrain.export(run, rows=True), mlptrain.export(untrained.folder.path)
    x, y, vx, vy = (torch.as_tensor(arrays[key]) for key in ("train.x", "train.y", "validation.x", "validation.y"))
    names = [name for name in start if name.startswith("layers.")]
    leaves = {name: torch.as_tensor(start[name]).clone().requires_grad_() for name in names}

    def loss(inputs: Tensor, targets: Tensor) -> Tensor:
        hidden = torch.relu(inputs @ leaves["layers.0.weight"].T + leaves["layers.0.bias"])
        return cross_entropy(hidden @ leaves["layers.1.weight"].T + leaves["layers.1.bias"], targets.long())

    optimizer = schedulefree.AdamWScheduleFree(list(leaves.values()), lr=0.03)
    figures = []
    for _ in range(5):
        optimizer.train()
        for batch in range(0, 120, 30):
            optimizer.zero_grad()
            torch.autograd.backward(loss(x[batch : batch + 30], y[batch : batch + 30]))
            optimizer.step()
        optimizer.eval()
        with torch.no_grad():
            figures.append(float(loss(vx, vy)))
    assert mlptrain.metrics(run)["validation_loss"][1:] == pytest.approx(figures, rel=1e-5)
    study: dict[str, Any] = {
        "base": config,
        "arms": {"A": {"optimizer.lr": 0.03}, "B": {"optimizer": {"name": "adam", "lr": 0.01}}},
    }
    study |= {"metric": {"name": "validation_loss", "goal": "min"}, "scoring": {"seeds": 2}}
    _, summary = mlptrain.compare(study, run_dir=tmp_path / "compared")
    assert summary.optimizers["A"].trials[0].score == pytest.approx(figures[-1], rel=1e-5)


def test_decay_of_weights_alone_leaves_biases() -> None:
    given = {"lr": 0.1, "weight_decay": 0.5, "weight_decay_for": "weights"}
    for name in ("adafactor", "muon", "pytorch_optimizer:Lion"):
        with_decay, without = (Bowls([section_of(name, {**given, "weight_decay": decay})]) for decay in (0.5, 0.0))
        with_decay.step()
        without.step()
        ours, theirs = with_decay.parameters.members[0], without.parameters.members[0]
        assert [name for name in SHAPES if torch.equal(ours[name], theirs[name])] == ["layers.0.bias"]


# What a user's own class may do, and what is refused at the start.

OWN = """
import torch

class Plain(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                {body}
"""
BODIES = {
    "p.sub_(group['lr'] * p.grad)": None,
    "self.n = getattr(self, 'n', 0) + 1; p.sub_(group['lr'] * p.grad / self.n)": "not in its state_dict",
    "self.state[p]['f'] = len; p.sub_(p.grad)": "builtin_function_or_method, and a checkpoint holds tensors",
    "p.add_(torch.randn_like(p))": "random numbers",
    "p.sub_(p.grad @ p.grad)": "a step fails with RuntimeError",
    "p.data = p - group['lr'] * p.grad": "change no parameter in place",
}


@pytest.mark.parametrize(("body", "reason"), BODIES.items())
def test_what_cannot_go_on_from_a_checkpoint_is_refused_at_the_start(
    tmp_path: Path, body: str, reason: str | None
) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN.replace("{body}", body))
    section = Foreign(name="own:Plain", lr=0.1, path=str(file))
    with code_allowed():
        if reason is None:
            check_usable(section)
            return
        with pytest.raises(UserError, match=reason):
            check_usable(section)


def test_states_are_packed_without_pickle() -> None:
    state: dict[Any, Any] = {
        "a": [1, 2.5, None, True, "x"],
        3: (torch.ones(2), float("inf")),
        "q": deque([torch.float32]),
    }
    tensors, text = packed(state)
    back: dict[Any, Any] = unpacked(tensors, text)
    assert back["a"] == state["a"]
    assert torch.equal(back[3][0], torch.ones(2))
    assert back[3][1] == float("inf")
    assert back["q"] == deque([torch.float32])
    with pytest.raises(UnsavableError, match=r"'a.b' of its state is of the type function"):
        packed({"a": {"b": saved}})
    for wrong in ('{"tensor": "7"}', '{"dtype": "load"}', '{"nonsense": []}', '{"dict": 3}', '{"tuple": 1}'):
        with pytest.raises(ValueError, match="does not fit together"):
            unpacked(tensors, wrong)


# L-BFGS against scikit-learn, on all 569 rows of breast_cancer: the same objective, which is convex without a hidden
# layer. scikit-learn's penalty is 1/2nC · Σ w² over the weights, without the intercept, and α/2n · Σ w² of its network.


def test_lbfgs_reaches_the_loss_of_scikit_learn(tmp_path: Path) -> None:
    decay = 0.01
    config = {
        "data": {"name": "breast_cancer", "validation": 0, "test": 0},
        "model": {"hidden": []},
        "loss": "bce",
        "optimizer": {"name": "lbfgs", "weight_decay": decay, "weight_decay_for": "weights", "max_iter": 200},
        "training": {"epochs": 5, "batch_size": "full", "device": "cpu"},
    }
    run = mlptrain.train(config, run_dir=tmp_path / "run").folder.path
    arrays = mlptrain.export(run, rows=True)
    x, y = arrays["train.x"].astype(np.float64), arrays["train.y"]
    assert x.shape == (569, 30)

    def objective(w: Any, b: Any) -> float:
        z = x @ np.asarray(w, dtype=np.float64).ravel() + float(b[0])
        return float(np.mean(np.logaddexp(0, z) - y * z) + decay / 2 * np.sum(np.square(w, dtype=np.float64)))

    ours = objective(arrays["layers.0.weight"], arrays["layers.0.bias"])
    logistic = LogisticRegression(C=1 / (decay * len(x)), tol=1e-10, max_iter=1000).fit(x, y)
    assert ours == pytest.approx(objective(logistic.coef_, logistic.intercept_), abs=1e-6)
    network = MLPClassifier((), solver="lbfgs", alpha=decay * len(x), max_iter=1000, tol=1e-10, random_state=0)
    network.fit(x, y)
    assert ours == pytest.approx(objective(network.coefs_[0], network.intercepts_[0]), abs=1e-6)
