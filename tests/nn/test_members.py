"""Several members in one network against as many networks of torch, with the weights that each of them stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mlptrain.nn.engines import Analytic, Autograd
from mlptrain.nn.gradcheck import check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import columns
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.noise import Noise, TrainingMode
from mlptrain.nn.ops.embeddings import Embedding
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.spec.adversarial import VirtualAdversarial
from mlptrain.spec.inputs import Embeddings, InputLayout, PiecewiseLinear
from mlptrain.spec.members import Members
from tests.catalogue import LOSSES, encoded, loss, op

K, N, WIDTHS = 3, 7, (4, 6, 6)
KINDS: tuple[Literal["tabm", "mini"], ...] = ("tabm", "mini")

LINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda z: z.softmax(dim=1),
    "sigmoid": torch.sigmoid,
    "": lambda z: z,
}


def network(kind: Literal["tabm", "mini"], outputs: int, *, link: str = "", hidden: int = 2, bias: bool = True) -> MLP:
    """tanh layers with a residual connection in the second."""
    members, widths = Members(k=K, kind=kind), [*WIDTHS[: hidden + 1], outputs]
    layers = []
    for index in range(hidden + 1):
        ops = (op("identity" if index == hidden else "tanh"),)
        of_members = members.layer(index, hidden)
        residual = index == 1 and index < hidden
        layers.append(Layer(index, widths[index], widths[index + 1], bias, ops, residual=residual, members=of_members))
    return MLP(layers, link=link)


def random_parameters(made: MLP, seed: int = 0) -> Parameters:
    parameters = Parameters.zeros(made.shapes, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for values in parameters.values():
        values.copy_(torch.randn(values.shape, generator=generator, dtype=torch.float64) * 0.7)
    return parameters


def of_member(made: MLP, values: Mapping[str, Tensor], index: int, member: int) -> tuple[Tensor, Tensor | None]:
    """The weight and bias that a plain linear layer would need to do what a layer does for this member."""
    layer = made.layers[index]
    weight, bias = values[f"layers.{index}.weight"], values.get(f"layers.{index}.bias")
    if index == len(made.layers) - 1:
        weight, bias = weight.chunk(K)[member], None if bias is None else bias.chunk(K)[member]
    elif bias is not None and bias.dim() == 2:
        bias = bias[member]
    if (scale := values.get(f"layers.{index}.input_scale")) is not None:
        weight = weight * scale[member]
    if (scale := values.get(f"layers.{index}.output_scale")) is not None:
        weight = scale[member].unsqueeze(1) * weight
    assert weight.shape == (layer.outputs, layer.inputs)
    return weight, bias


def outputs_of_member(made: MLP, values: Mapping[str, Tensor], x: Tensor, member: int) -> Tensor:
    last = len(made.layers) - 1
    for index in range(last + 1):
        y = functional.linear(x, *of_member(made, values, index, member))
        y = y if index == last else y.tanh()
        x = y + x if index == 1 and index < last else y
    return x


def data(name: str, n: int = N) -> tuple[Tensor, Tensor, int]:
    row = LOSSES[name]
    generator = torch.Generator().manual_seed(5)
    outputs = row.outputs(3)
    labels = torch.randint(0, row.labels(3), (n,), generator=generator)
    return torch.randn(n, 4, generator=generator, dtype=torch.float64), encoded(loss(name), labels, outputs), outputs


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_the_members_losses_is_what_is_minimised(kind: Any, name: str, reduction: str) -> None:
    x, targets, outputs = data(name)
    made, objective = network(kind, outputs), loss(name, reduction)
    parameters = random_parameters(made)
    gradients = parameters.clone()
    engine = Autograd(
        made,
        loss=objective,
        parameters=Stack.of(parameters),
        gradients=Stack.of(gradients),
        batch_size=N,
    )
    engine([x], columns(targets))
    leaves = {key: values.clone().requires_grad_() for key, values in parameters.items()}
    targets = targets.double() if targets.is_floating_point() else targets
    by_hand = [
        LOSSES[name].reference(outputs_of_member(made, leaves, x, member), targets, reduction=reduction)
        for member in range(K)
    ]
    expected = torch.autograd.grad(torch.stack(by_hand).mean(), list(leaves.values()))
    for (key, ours), theirs in zip(gradients.items(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14, msg=key)


@pytest.mark.parametrize("hidden", [0, 1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_the_mean_of_the_members(kind: Any, bias: bool, hidden: int) -> None:
    """Probabilities through softmax, of one logit and of several labels, else values; at every depth."""
    x, *_ = data("mse")
    for link, outputs in (("softmax", 3), ("sigmoid", 1), ("sigmoid", 3), ("", 2)):
        made = network(kind, outputs, link=link, hidden=hidden, bias=bias)
        parameters = random_parameters(made)
        found = made.forward(parameters, x)
        of_members = [LINKS[link](outputs_of_member(made, parameters, x, member)) for member in range(K)]
        torch.testing.assert_close(LINKS[link](found), torch.stack(of_members).mean(dim=0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("link", "sure"), [("softmax", [800.0, -800.0]), ("sigmoid", [800.0])])
def test_sure_members_overflow_nothing(link: str, sure: list[float]) -> None:
    """Probabilities that are 0 and 1 in float64: the mean of a sure yes and a sure no is ½."""
    made = MLP([Layer(0, 1, len(sure), False, (), members=Members(k=2).layer(0, 0))], link=link)
    rows = torch.tensor(sure, dtype=torch.float64)
    undecided, agreed = made.combined(torch.stack([rows, -rows])), made.combined(torch.stack([rows, rows]))
    half = [math.log(0.5)] * 2 if link == "softmax" else [0.0]
    torch.testing.assert_close(undecided, torch.tensor([half], dtype=torch.float64))
    certain = [0.0, -1600.0] if link == "softmax" else [800.0]
    torch.testing.assert_close(agreed, torch.tensor([certain], dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_are_tabms(kind: Any) -> None:
    made = network(kind, 3)
    parameters = Parameters.zeros(made.shapes)
    initialise_(made, parameters, generator=torch.Generator().manual_seed(0))
    first = parameters["layers.0.input_scale"]
    assert set(first.flatten().tolist()) == {-1.0, 1.0}
    assert len({tuple(row) for row in first.tolist()}) > 1
    heads = parameters["layers.2.weight"].chunk(K)
    assert not torch.equal(heads[0], heads[1])
    assert float(parameters["layers.2.weight"].abs().max()) <= 6**-0.5
    if kind == "tabm":
        for name in ("layers.0.output_scale", "layers.1.input_scale", "layers.1.output_scale"):
            assert bool((parameters[name] == 1).all())
        biases = parameters["layers.0.bias"]
        assert biases.shape == (K, 6)
        assert torch.equal(biases[0], biases[1])
        assert len(set(biases[0].tolist())) == 6
    else:
        assert [name for name in parameters if "scale" in name] == ["layers.0.input_scale"]


def test_numbers_that_are_embedded_have_a_normal_factor_each() -> None:
    """One for all that a column became, as in the paper's code."""
    layout = InputLayout(4, (0, 1), ((2, 5),))
    embedding = Embedding(Embeddings(layout, PiecewiseLinear(name="piecewise_linear", size=3), (2,)))
    members = Members(k=400).layer(0, 1)
    made = MLP([Layer(0, 9, 2, True, (), embedding=embedding, members=members)])
    parameters = Parameters.zeros(made.shapes)
    initialise_(made, parameters, generator=torch.Generator().manual_seed(0))
    scales = parameters["layers.0.input_scale"]
    parts = torch.split(scales, [3, 3, 2, 1], dim=1)
    assert all(bool((part == part[:, :1]).all()) for part in parts)
    factors = torch.cat([part[:, :1] for part in parts])
    assert abs(float(factors.mean())) < 0.1
    assert abs(float(factors.std()) - 1) < 0.1


@pytest.mark.parametrize("adversarial", [None, VirtualAdversarial(name="vat", epsilon=0.5)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_check_covers_it(kind: Any, reduction: str, adversarial: VirtualAdversarial | None) -> None:
    x, targets, outputs = data("cross_entropy")
    made = network(kind, outputs, link="softmax")
    check = check_gradients(
        made,
        loss=loss("cross_entropy", reduction),
        parameters=random_parameters(made),
        x=x,
        targets=targets,
        generator=torch.Generator().manual_seed(0),
        max_coordinates=10,
        noise=(0, 1),
        adversarial=adversarial,
    )
    assert check.passed, check.verdict
    leaves = random_parameters(made)
    losses = [functional.cross_entropy(outputs_of_member(made, leaves, x, member), targets) for member in range(K)]
    expected = float(torch.stack(losses).mean()) * (N if reduction == "sum" else 1)
    assert check.objective == pytest.approx(expected, rel=1e-12) or adversarial is not None


def test_members_drop_on_their_own() -> None:
    members = Members(k=2, kind="mini")
    made = MLP([Layer(0, 50, 50, False, (op("dropout", {"p": 0.5}),), members=members.layer(0, 1))])
    parameters = Parameters.zeros(made.shapes)
    parameters["layers.0.weight"].copy_(torch.eye(50))
    parameters["layers.0.input_scale"].fill_(1.0)
    first, second = made.rows(parameters, torch.ones(4, 50), mode=TrainingMode(Noise.of(0, 1))).chunk(2)
    assert 40 < int((first != second).sum()) < 160


def test_one_member_is_a_plain_network() -> None:
    assert Members().layer(0, 3) is None
    plain = MLP.of([4, 6, 3], hidden=[op("tanh")], output=[op("identity")], bias=True)
    assert plain.members == 1
    assert Analytic.runs(plain)
    assert not Analytic.runs(network("mini", 3))
