"""The forward pass against torch.nn.Sequential, and the flat tensor that holds the parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlptrain.nn.activations import make_activation
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters

MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "prelu": nn.PReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("output", ["identity", "tanh"])
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("widths", [(5, 3), (5, 8, 6, 3)])
def test_forward_equals_sequential(widths: tuple[int, ...], name: str, output: str, bias: bool) -> None:
    network = MLP(widths, activation=make_activation(name), output_activation=make_activation(output), bias=bias)
    parameters = Parameters.zeros(network.parameter_shapes, dtype=torch.float64)
    initialise_(parameters, generator=torch.Generator().manual_seed(1))
    modules: list[nn.Module] = []
    for i in range(network.n_layers):
        linear = nn.Linear(widths[i], widths[i + 1], bias=bias, dtype=torch.float64)
        linear.load_state_dict({key: parameters[f"layers.{i}.{key}"] for key in linear.state_dict()})
        modules += [linear, MODULES[name if i < network.n_layers - 1 else output]().double()]
    x = torch.randn(4, widths[0], generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(
        network.forward(parameters, x), nn.Sequential(*modules)(x).detach(), rtol=1e-13, atol=1e-14
    )


def test_parameters_are_named_by_layer_in_order() -> None:
    network = MLP([4, 3, 2], activation=make_activation("prelu"), output_activation=make_activation("relu"), bias=True)
    assert list(network.parameter_shapes.items()) == [
        ("layers.0.weight", (3, 4)),
        ("layers.0.bias", (3,)),
        ("layers.0.slope", ()),
        ("layers.1.weight", (2, 3)),
        ("layers.1.bias", (2,)),
    ]


def test_ten_tensors_of_a_known_network() -> None:
    relu = make_activation("relu")
    shapes = MLP(
        [784, 32, 64, 128, 64, 10], activation=relu, output_activation=relu, bias=True
    ).parameter_shapes.values()
    assert (len(shapes), sum(torch.Size(shape).numel() for shape in shapes)) == (10, 44_458)


def test_one_width_is_no_network() -> None:
    relu = make_activation("relu")
    with pytest.raises(ValueError, match=r"at least two.*\[3\]"):
        MLP([3], activation=relu, output_activation=relu, bias=True)


SHAPES: dict[str, tuple[int, ...]] = {"layers.0.weight": (3, 5), "layers.0.bias": (3,), "layers.0.slope": ()}


def test_views_share_the_flat_tensor_and_start_on_cache_lines() -> None:
    parameters = Parameters.zeros(SHAPES)
    assert list(parameters) == list(SHAPES)
    assert parameters.shapes == SHAPES
    for number, view in enumerate(parameters.values(), 1):
        view.fill_(number)
        assert view.data_ptr() % 64 == 0
    assert parameters.flat.tolist() == [1.0] * 15 + [0.0] + [2.0] * 3 + [0.0] * 13 + [3.0] + [0.0] * 15


def test_one_update_of_the_flat_tensor_is_an_update_of_every_view() -> None:
    parameters, gradients = Parameters.zeros(SHAPES), Parameters.zeros(SHAPES)
    gradients["layers.0.bias"].fill_(2.0)
    parameters.flat.sub_(gradients.flat, alpha=0.5)
    assert parameters["layers.0.bias"].tolist() == [-1.0] * 3
    assert not parameters["layers.0.weight"].any()


def test_clone_and_copy() -> None:
    source = Parameters.zeros(SHAPES)
    initialise_(source, generator=torch.Generator().manual_seed(0))
    clone = source.clone()
    doubles = source.clone(dtype=torch.float64)
    target = Parameters.zeros(SHAPES, dtype=torch.float64).copy_(dict(source))
    source.flat.zero_()
    assert clone["layers.0.weight"].any()
    assert torch.equal(clone.flat.double(), doubles.flat)
    assert torch.equal(target.flat, doubles.flat)


def test_copy_refuses_another_network() -> None:
    parameters = Parameters.zeros(SHAPES)
    with pytest.raises(ValueError, match="other names or shapes"):
        parameters.copy_({**parameters, "layers.0.weight": torch.ones(5, 3)})
    assert not parameters.flat.any()
