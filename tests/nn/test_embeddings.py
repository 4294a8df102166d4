"""What comes before the first product, against its published formulas: values, gradients, initial values, steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from mlptrain.nn.engines import ENGINES, Analytic, Autograd, Engine
from mlptrain.nn.gradcheck import check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import columns
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.ops.embeddings import Embedding
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec.inputs import CategoryEmbedding, Embeddings, InputLayout, NumericEmbedding, NumericEmbeddingSpec
from tests.catalogue import EMBEDDINGS, cases, loss, op

# Two numbers, an indicator, and two categories of 4 and 3 slots, out of order.
LAYOUT = InputLayout(5, (3, 1), ((0, 4), (4, 3)))
SIZES = (2, 3)
N, HIDDEN, CLASSES = 23, 6, 3
CASES = cases(EMBEDDINGS)


def section(name: str, settings: Mapping[str, Any]) -> NumericEmbedding:
    made: Any = TypeAdapter(NumericEmbeddingSpec).validate_python({"name": name, **settings})
    assert isinstance(made, NumericEmbedding)
    return made


def rows(n: int = N, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    x[:, 2] = (x[:, 2] > 0).double()
    x[:, 0] = torch.randint(-1, 4, (n,), generator=generator)
    x[:, 4] = torch.randint(-1, 3, (n,), generator=generator)
    return x


def network(numeric: NumericEmbedding | None, layout: InputLayout = LAYOUT, sizes: tuple[int, ...] = SIZES) -> MLP:
    embedding = Embedding(Embeddings(layout, numeric, sizes))
    ops = (op("tanh"),), (op("identity"),)
    width = embedding.embeddings.width
    return MLP(
        [
            Layer(0, width, HIDDEN, True, ops[0], embedding=embedding),
            Layer(1, HIDDEN, CLASSES, True, ops[1]),
        ]
    )


def parameters_of(made: MLP, seed: int = 0, x: Tensor | None = None) -> Parameters:
    parameters = Parameters.zeros(made.shapes, dtype=torch.float64)
    initialise_(made, parameters, generator=torch.Generator().manual_seed(seed))
    made.fit_(parameters, lambda: rows(200, seed=9) if x is None else x)
    return parameters


def embedded(x: Tensor, numeric: NumericEmbedding | None, own: Mapping[str, Tensor]) -> Tensor:
    """Column by column: numbers, then categories by one-hot products, then the rest."""
    parts = []
    if numeric is not None:
        for index, position in enumerate(LAYOUT.numeric):
            of_column = {name: values[index] for name, values in own.items() if name.startswith("numeric")}
            reference = EMBEDDINGS[numeric.name].reference
            parts.append(reference(x[:, position], numeric.model_dump(), of_column))
    for index, (position, slots) in enumerate(LAYOUT.coded):
        one_hot = (x[:, [position]] == torch.arange(slots)).double()
        parts.append(one_hot @ own[f"category_{index}"])
    rest = [2] if numeric is not None else [1, 2, 3]
    return torch.cat([*parts, x[:, rest]], dim=1)


def leaves_of(parameters: Mapping[str, Tensor], made: MLP) -> dict[str, Tensor]:
    return {name: values.clone().requires_grad_(name in made.parameter_shapes) for name, values in parameters.items()}


def by_formula(made: MLP, numeric: NumericEmbedding | None, leaves: Mapping[str, Tensor], x: Tensor) -> Tensor:
    own = {name.removeprefix("layers.0."): values for name, values in leaves.items()}
    z = functional.linear(embedded(x, numeric, own), leaves["layers.0.weight"], leaves["layers.0.bias"])
    return functional.linear(z.tanh(), leaves["layers.1.weight"], leaves["layers.1.bias"])


@pytest.mark.parametrize("numeric", [None, *(section(*case) for case in CASES)], ids=str)
def test_values_and_gradients_are_those_of_the_formula(numeric: NumericEmbedding | None) -> None:
    made = network(numeric)
    parameters, x = parameters_of(made), rows()
    x[:4, [1, 3]] *= 9  # beyond the first and the last bin
    labels = torch.arange(N) % CLASSES
    found = []
    for forward in (made.forward, lambda leaves, x: by_formula(made, numeric, leaves, x)):
        leaves, inputs = leaves_of(parameters, made), x.clone().requires_grad_()
        outputs = forward(leaves, inputs)
        learnt = [leaves[name] for name in made.parameter_shapes]
        gradients = torch.autograd.grad(functional.cross_entropy(outputs, labels), [*learnt, inputs])
        found.append([outputs, *gradients])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert all(bool(gradient.any()) for gradient in found[0])


def test_slot_minus_one_is_all_zeros_and_teaches_nothing() -> None:
    made = network(None)
    parameters, x = parameters_of(made), rows()
    x[:, [0, 4]] = -1
    read = made.layers[0].read(parameters, x)
    assert not read[:, :5].any()
    torch.testing.assert_close(read[:, 5:], x[:, [1, 2, 3]])


@pytest.mark.parametrize(("slots", "size"), [(2, 2), (4, 3), (12, 6), (100, 21), (50_000, 600)])
def test_the_automatic_size_is_fastais(slots: int, size: int) -> None:
    assert CategoryEmbedding().size_of(slots) == size
    assert CategoryEmbedding(size=8).size_of(slots) == 8


def test_bins_lie_between_quantiles_of_the_training_rows() -> None:
    """A number with few values has fewer bins, one with a single value none; then nothing but the bias is left."""
    generator = np.random.default_rng(0)
    x = torch.tensor(np.stack([generator.exponential(size=300), generator.integers(0, 3, 300), np.ones(300)], axis=1))
    made = network(section("piecewise_linear", {"bins": 10, "size": 2}), InputLayout.of_numbers(3), ())
    parameters = parameters_of(made, x=x)
    edges = parameters["layers.0.numeric_edges"]
    np.testing.assert_allclose(edges[0], np.quantile(x[:, 0].numpy(), np.linspace(0, 1, 11)), rtol=1e-6)
    assert edges[1].tolist() == [0.0, 1.0] + [2.0] * 9
    assert edges[2].tolist() == [1.0] * 11
    read = made.layers[0].read(parameters, torch.tensor([[0.5, 1.5, 1.0], [3.0, 9.0, 7.0]], dtype=torch.float64))
    weight, bias = parameters["layers.0.numeric_weight"], parameters["layers.0.numeric_bias"]
    first, second = weight[1, :, 0], weight[1, :, 1]
    torch.testing.assert_close(read[:, 2:4], torch.stack([first + second / 2, first + 8 * second]) + bias[1])
    torch.testing.assert_close(read[:, 4:], bias[2].expand(2, -1))


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_initial_values_are_the_published_ones(name: str, settings: dict[str, Any]) -> None:
    numeric = section(name, settings)
    layout = InputLayout(402, tuple(range(400)), ((400, 300), (401, 300)))
    made = network(numeric, layout, (20, 20))
    parameters = parameters_of(made, x=torch.rand(50, 402))
    sigma = getattr(numeric, "sigma", 1.0)
    bound = 1 / math.sqrt(parameters["layers.0.numeric_weight"].shape[2])
    uniform = stats.uniform(-bound, 2 * bound)
    expected = {
        "numeric_weight": uniform,
        "numeric_bias": uniform,
        "category_0": stats.norm(),
        "category_1": stats.norm(),
    }
    if name == "periodic":
        expected["numeric_frequencies"] = stats.truncnorm(-3, 3, scale=sigma)
        assert float(parameters["layers.0.numeric_frequencies"].abs().max()) <= 3 * sigma
    if name == "pbld":
        expected |= {"numeric_frequencies": stats.norm(scale=sigma), "numeric_phases": stats.uniform(-np.pi, 2 * np.pi)}
    assert set(expected) == set(made.layers[0].embedding.parameter_shapes)  # type: ignore[union-attr]
    for own, law in expected.items():
        assert stats.kstest(parameters[f"layers.0.{own}"].flatten().numpy(), law.cdf).pvalue > 1e-3, own
    others = parameters_of(made, seed=1, x=torch.rand(50, 402))
    assert all(not torch.equal(others[f"layers.0.{own}"], parameters[f"layers.0.{own}"]) for own in expected)


def test_layers_start_as_without_an_embedding() -> None:
    """Which draws behind them."""
    made = network(section("pbld", {}), InputLayout.of_numbers(3), ())
    plain = MLP.of([12, HIDDEN, CLASSES], hidden=[op("tanh")], output=[op("identity")], bias=True)
    theirs = Parameters.zeros(plain.shapes, dtype=torch.float64)
    initialise_(plain, theirs, generator=torch.Generator().manual_seed(0))
    ours = parameters_of(made)
    assert all(torch.equal(ours[name], values) for name, values in theirs.items())


class Module(nn.Module):
    """The whole network in torch's modules, with copies of the parameters as leaves."""

    def __init__(self, made: MLP, numeric: NumericEmbedding | None, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.made, self.numeric, self.values = made, numeric, leaves_of(values, made)

    def forward(self, x: Tensor) -> Tensor:
        return by_formula(self.made, self.numeric, self.values, x)


@pytest.mark.parametrize("numeric", [None, *(section(*case) for case in CASES)], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_trains_several_models_as_torch_does(
    engine: type[Engine], numeric: NumericEmbedding | None
) -> None:
    """Two models with one batch and a third with another, in steps of Adam; the last batches are shorter."""
    made, groups, objective = network(numeric), (2, 1), loss("cross_entropy")
    stack = Stack(made.parameter_shapes, made.state_shapes, models=3, dtype=torch.float64)
    for number, member in enumerate(stack.members):
        member.copy_(parameters_of(made, seed=number))
    gradients = stack.gradients()
    running = engine(made, loss=objective, parameters=stack, gradients=gradients, batch_size=9, groups=groups)
    x, labels = [rows(N, seed=1), rows(N, seed=2)], torch.arange(N) % CLASSES
    modules = [Module(made, numeric, member) for member in stack.members]
    optimizers = [
        torch.optim.Adam([module.values[name] for name in made.parameter_shapes], lr=0.01) for module in modules
    ]
    ours = [torch.optim.Adam([*(member[name] for name in made.parameter_shapes)], lr=0.01) for member in stack.members]
    for batch in (slice(0, 9), slice(9, 18), slice(18, 23), slice(2, 11)):
        outputs = running([one[batch] for one in x], torch.cat([columns(labels[batch])] * 3))
        for model, module in enumerate(modules):
            theirs = module(x[0 if model < 2 else 1][batch])
            torch.testing.assert_close(outputs[model].t(), theirs, rtol=1e-10, atol=1e-13)
            optimizers[model].zero_grad()
            torch.autograd.backward(functional.cross_entropy(theirs, labels[batch]))
            for name, gradient in gradients.members[model].items():
                torch.testing.assert_close(gradient, module.values[name].grad, rtol=1e-10, atol=1e-13, msg=name)
                stack.members[model][name].grad = gradient
            optimizers[model].step()
            ours[model].step()


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_gradient_check_covers_it(name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By differences too, which leave out the kinks and find a derivative that is wrong in autograd."""
    made = network(section(name, settings))

    def check() -> Any:
        return check_gradients(
            made,
            loss=loss("cross_entropy"),
            parameters=parameters_of(made),
            x=rows(),
            targets=torch.arange(N) % CLASSES,
            generator=torch.Generator().manual_seed(0),
            max_coordinates=30,
        )

    assert check().passed
    names = [one.name.removeprefix("layers.0.") for one in check().parameters]
    assert {"category_0", "category_1", "numeric_weight", "numeric_bias"} < set(names)
    right = Embedding.__call__

    def wrong(self: Embedding, x: Tensor, own: Mapping[str, Tensor]) -> Tensor:
        made = right(self, x, own)
        return made.detach() + (made - made.detach()) * 1.01

    monkeypatch.setattr(Embedding, "__call__", wrong)
    assert check().passed is False


def test_statistics_are_never_left_at_nothing() -> None:
    made = network(section("piecewise_linear", {}))
    with pytest.raises(ValueError, match="no training rows"):
        made.fit_(Parameters.zeros(made.shapes), None)


def test_dropped_inputs_are_those_behind_the_embedding() -> None:
    numeric = section("pbld", {})
    embedding = Embedding(Embeddings(LAYOUT, numeric, SIZES))
    layer = Layer(0, embedding.embeddings.width, 4, True, (), before=(op("dropout", {"p": 0.5}),), embedding=embedding)
    made = MLP([layer])
    assert (Analytic.runs(made), Autograd.runs(made)) == (False, True)
    from mlptrain.nn.noise import Noise, TrainingMode

    parameters = parameters_of(made)
    plain = layer.read(parameters, rows())
    dropped = layer.read(parameters, rows(), mode=TrainingMode(Noise.of(0, 1)))
    assert bool(((dropped == 0) | torch.isclose(dropped, 2 * plain)).all())
    assert 0.3 < float((dropped == 0).double().mean()) < 0.7
