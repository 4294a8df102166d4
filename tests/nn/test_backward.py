"""Both engines, by hand and by autograd, against torch's own modules, and the one by hand against differences."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from mlptrain.nn.engines import ENGINES, Engine
from mlptrain.nn.engines.analytic import SMALL_PRODUCT
from mlptrain.nn.parameters import Parameters, Stack
from tests.catalogue import ACTIVATIONS, LOSSES, OPS, Settings, cases, op
from tests.nn.problems import Problem, engines_of, every_engine, problem

CASES = [(engine, *case) for case in cases(OPS) for engine in engines_of(op(*case))]


def assert_equals_modules(given: Problem, rows: slice = slice(None), *, tolerance: float = 1e-12) -> None:
    """Outputs and every gradient of every model, relative to the norm of each tensor."""
    found = given.step(rows)
    for model, module in enumerate(given.modules()):
        expected_outputs = module(given.x[given.owners[model]][rows])
        leaves = list(module.parameters())
        sensitivities = torch.autograd.grad(expected_outputs.sum(), leaves, retain_graph=True)
        expected = torch.autograd.grad(given.objective(model, expected_outputs, rows), leaves)
        torch.testing.assert_close(found[model].t(), expected_outputs.detach(), rtol=tolerance, atol=tolerance)
        # A tensor whose gradient nearly cancels is compared on the scale of the whole gradient, and where the loss is
        # saturated on the scale of the outputs' gradient: σ(z) − 1 is rounding there in torch's own loss.
        floor = 1e-3 * max(float(tensor.norm()) for tensor in (*expected, *sensitivities)) + 1e-30
        for (name, ours), theirs in zip(given.gradients.members[model].items(), expected, strict=True):
            error = float((ours.reshape(theirs.shape) - theirs).norm()) / max(float(theirs.norm()), floor)
            assert error < tolerance, f"model {model}, {name}: relative error {error:.1e}"


@settings(max_examples=150, deadline=None)
@given(
    choice=st.integers(0, len(ENGINES) - 1),
    hidden=st.lists(st.integers(1, 6), max_size=4),
    groups=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    activation=st.sampled_from(sorted(OPS)),
    output_activation=st.sampled_from(sorted(OPS)),
    bias=st.booleans(),
    loss=st.sampled_from(sorted(LOSSES)),
    reduction=st.sampled_from(["mean", "sum"]),
    n=st.integers(1, 9),
    spare=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
def test_random_networks_equal_modules(
    choice: int,
    hidden: list[int],
    groups: list[int],
    activation: str,
    output_activation: str,
    bias: bool,
    loss: str,
    reduction: str,
    n: int,
    spare: int,
    seed: int,
) -> None:
    engines = engines_of(op(activation), op(output_activation))
    given_problem = problem(
        hidden,
        engine=engines[choice % len(engines)],
        groups=groups,
        activation=activation,
        output_activation=output_activation,
        bias=bias,
        loss=loss,
        reduction=reduction,
        n=n,
        batch_size=n + spare,
        seed=seed,
    )
    assert_equals_modules(given_problem)


@pytest.mark.parametrize(("engine", "activation", "settings"), CASES)
@pytest.mark.parametrize("groups", [(1,), (2, 1)])
def test_every_op_alone_and_beside_other_models(
    engine: type[Engine], activation: str, settings: Settings, groups: tuple[int, ...]
) -> None:
    assert_equals_modules(problem([5, 4], engine=engine, groups=groups, activation=activation, settings=settings))


@every_engine
def test_learnt_slopes_that_differ_and_turned_negative(engine: type[Engine]) -> None:
    given_problem = problem([5, 4], engine=engine, groups=(1, 2), activation="prelu", output_activation="prelu")
    for number, member in enumerate(given_problem.parameters.members):
        for i in range(3):
            member[f"layers.{i}.slope"].fill_((-0.5, 0.1, 0.7)[(number + i) % 3])
    assert_equals_modules(given_problem)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse"])
def test_central_differences(activation: str, loss: str) -> None:
    """(f(w + ε) − f(w − ε))/2ε with ε = 1e-6 for every coordinate, relative to the norm of its tensor."""
    engine, *_ = engines_of(op(activation))
    given_problem = problem([5, 4], engine=engine, activation=activation, loss=loss, n=6, seed=11)
    given_problem.step()
    parameters, gradients = given_problem.parameters.members[0], given_problem.gradients.members[0]

    def objective() -> float:
        outputs = given_problem.network.forward(parameters, given_problem.x[0])
        return float(given_problem.objective(0, outputs))

    for name, view in parameters.items():
        coordinates, numerical = view.view(-1), torch.zeros_like(view).view(-1)
        for j in range(len(coordinates)):
            middle = float(coordinates[j])
            coordinates[j] = middle + 1e-6
            above = objective()
            coordinates[j] = middle - 1e-6
            below = objective()
            coordinates[j] = middle
            numerical[j] = (above - below) / 2e-6
        by_hand = gradients[name].view(-1)
        assert float((by_hand - numerical).norm()) <= 1e-6 * max(float(numerical.norm()), 1e-3)


@every_engine
@pytest.mark.parametrize("activation", ["relu", "arctan", "prelu"])
def test_a_smaller_last_batch_after_a_full_one(engine: type[Engine], activation: str) -> None:
    full = problem([5, 4], engine=engine, groups=(2, 1), activation=activation, n=9)
    for rows in (9, 4, 9, 1):
        assert_equals_modules(full, slice(rows))


@every_engine
def test_a_larger_batch_is_refused(engine: type[Engine]) -> None:
    small = problem([5], engine=engine, n=3)
    inputs, targets = small.batch()
    with pytest.raises(ValueError, match=r"batch of 6 rows, but (the buffers hold 1 to 3|at most 3 were announced)"):
        small.engine([torch.cat([inputs[0], inputs[0]])], torch.cat([targets, targets], dim=2))


@every_engine
def test_parameters_of_another_network_are_refused(engine: type[Engine]) -> None:
    one, other = problem([5]), problem([6])
    with pytest.raises(ValueError, match="gradients of other shapes"):
        engine(one.network, loss=one.loss, parameters=one.parameters, gradients=other.gradients, batch_size=4)


@every_engine
@pytest.mark.parametrize("groups", [(1,), (2, 2)])
def test_groups_that_do_not_add_up_are_refused(engine: type[Engine], groups: tuple[int, ...]) -> None:
    given_problem = problem([5], groups=(2, 1))
    with pytest.raises(ValueError, match="for 3 models"):
        engine(
            given_problem.network,
            loss=given_problem.loss,
            parameters=given_problem.parameters,
            gradients=given_problem.gradients,
            batch_size=4,
            groups=groups,
        )


@every_engine
def test_gradients_of_fewer_models_are_refused(engine: type[Engine]) -> None:
    one, other = problem([5], groups=(3,)), problem([5], groups=(2,))
    with pytest.raises(ValueError, match="2 gradients for 3 models"):
        engine(one.network, loss=one.loss, parameters=one.parameters, gradients=other.gradients, batch_size=4)


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the matrix products that torch makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm):
            self.made[str(func.overloadpacket).removeprefix("aten.")] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("groups", "width", "first"),
    [((1,), 8, 2), ((3,), 8, 2), ((2, 1), 8, 4), ((1, 1, 1), 8, 6), ((2, 1), 5, 6)],
)
def test_models_that_share_a_batch_share_the_first_layers_products(
    groups: tuple[int, ...], width: int, first: int
) -> None:
    """Two products for every group, forward and backward, unless the weights' alignment leaves gaps between models.

    Above the first layer one forward and two backward for each layer, whatever the number of models.
    """
    given_problem = problem([width, 6], groups=groups)
    given_problem.step()
    with Products() as products:
        given_problem.engine(*given_problem.batch())
    above = "mm" if groups == (1,) else "bmm"
    assert products.made == Counter(mm=first) + Counter({above: 6})


@every_engine
def test_parameters_that_autograd_watches_are_left_alone(engine: type[Engine]) -> None:
    given_problem = problem([5], activation="prelu")
    flat = given_problem.parameters.flat.clone().requires_grad_()
    watched = Stack.of(Parameters([flat], given_problem.parameters.shapes))
    made = engine(
        given_problem.network,
        loss=given_problem.loss,
        parameters=watched,
        gradients=given_problem.gradients,
        batch_size=7,
    )
    outputs = made(*given_problem.batch())
    assert not outputs.requires_grad
    assert flat.grad is None
    assert given_problem.gradients.members[0]["layers.0.weight"].isfinite().all()


@pytest.mark.parametrize(("engine", "activation", "settings"), CASES)
def test_float32(engine: type[Engine], activation: str, settings: Settings) -> None:
    given_problem = problem(
        [6, 5], engine=engine, groups=(2, 1), activation=activation, settings=settings, dtype=torch.float32
    )
    assert given_problem.step().dtype == torch.float32
    assert_equals_modules(given_problem, tolerance=1e-5)


def test_the_set_precision_and_threads_are_left_as_they_were() -> None:
    """After a step, and after one that failed for rows of another width."""
    given_problem = problem([6, 5], dtype=torch.float32)
    inputs, targets = given_problem.batch()
    before, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    try:
        torch.set_float32_matmul_precision("medium")
        torch.set_num_threads(3)
        given_problem.step()
        assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == ("medium", 3)
        with pytest.raises(RuntimeError):
            given_problem.engine([inputs[0][:, :3]], targets)
        assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == ("medium", 3)
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_num_threads(threads)


@pytest.mark.parametrize("groups", [(1,), (2, 1)])
def test_products_of_every_size_under_every_precision(groups: tuple[int, ...]) -> None:
    """Small and large products in one network; what "medium" rounds to is the machine's own affair."""
    wide = SMALL_PRODUCT // (64 * 32) + 1
    given_problem = problem([32, wide, 32], groups=groups, activation="tanh", n=64, dtype=torch.float32)
    before = torch.get_float32_matmul_precision()
    try:
        for precision, tolerance in (("highest", 1e-5), ("medium", 5e-2), ("highest", 1e-5)):
            torch.set_float32_matmul_precision(precision)
            assert_equals_modules(given_problem, tolerance=tolerance)
            once = given_problem.gradients.flat.clone()
            given_problem.step()
            assert torch.equal(once, given_problem.gradients.flat)
            # What precision was set before plays no part.
            fresh = problem([32, wide, 32], groups=groups, activation="tanh", n=64, dtype=torch.float32)
            fresh.step()
            assert torch.equal(once.nan_to_num(), fresh.gradients.flat.nan_to_num())
    finally:
        torch.set_float32_matmul_precision(before)


def test_small_products_are_the_same_to_the_last_bit_under_every_precision() -> None:
    given_problem = problem([64, 48], groups=(2, 1), n=50, dtype=torch.float32)
    found = []
    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            given_problem.step()
            found.append(given_problem.gradients.flat.clone())
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(*found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(("engine", "activation", "settings"), CASES)
def test_cuda(engine: type[Engine], activation: str, settings: Settings) -> None:
    assert_equals_modules(
        problem([6, 5], engine=engine, groups=(2, 1), activation=activation, settings=settings, device="cuda")
    )
