"""The forward pass against torch.nn.Sequential, and the shapes of the parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters
from tests.catalogue import OPS, op


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("output", ["identity", "tanh"])
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("widths", [(5, 3), (5, 8, 6, 3)])
def test_forward_equals_sequential(widths: tuple[int, ...], name: str, output: str, bias: bool) -> None:
    network = MLP.of(widths, hidden=[op(name)], output=[op(output)], bias=bias)
    parameters = Parameters.zeros(network.parameter_shapes, dtype=torch.float64)
    initialise_(network, parameters, generator=torch.Generator().manual_seed(1))
    modules: list[nn.Module] = []
    for i in range(len(widths) - 1):
        linear = nn.Linear(widths[i], widths[i + 1], bias=bias, dtype=torch.float64)
        linear.load_state_dict({key: parameters[f"layers.{i}.{key}"] for key in linear.state_dict()})
        modules += [linear, OPS[name if i < len(widths) - 2 else output].reference({}).double()]
    x = torch.randn(4, widths[0], generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(
        network.forward(parameters, x), nn.Sequential(*modules)(x).detach(), rtol=1e-13, atol=1e-14
    )


def test_parameters_are_named_by_layer_in_order() -> None:
    network = MLP.of([4, 3, 2], hidden=[op("prelu")], output=[op("relu")], bias=True)
    assert list(network.parameter_shapes.items()) == [
        ("layers.0.weight", (3, 4)),
        ("layers.0.bias", (3,)),
        ("layers.0.slope", ()),
        ("layers.1.weight", (2, 3)),
        ("layers.1.bias", (2,)),
    ]


def test_ten_tensors_of_a_known_network() -> None:
    relu = [op("relu")]
    shapes = MLP.of([784, 32, 64, 128, 64, 10], hidden=relu, output=relu, bias=True).parameter_shapes.values()
    assert (len(shapes), sum(torch.Size(shape).numel() for shape in shapes)) == (10, 44_458)


def test_one_width_is_not_a_network() -> None:
    with pytest.raises(ValueError, match=r"at least two.*\[3\]"):
        MLP.of([3], hidden=[], output=[], bias=True)
