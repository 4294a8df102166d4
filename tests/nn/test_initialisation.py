"""Initial weights against torch's own, number for number, and against the distributions they are named for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from mlptrain.errors import UserError
from mlptrain.nn.initialisation import INITIALISATIONS, initialise_
from mlptrain.nn.network import MLP
from mlptrain.nn.parameters import Parameters
from tests.catalogue import op

Initialise = Callable[..., Tensor]


def network(*widths: int, hidden: str = "prelu", **settings: float) -> MLP:
    return MLP.of(widths or (30, 50, 7), hidden=[op(hidden, settings)], output=[op("identity")], bias=True)


SHAPES = network().parameter_shapes


def initialised(seed: int = 0, given: MLP | None = None, **choices: Any) -> Parameters:
    given = given or network()
    parameters = Parameters.zeros(given.parameter_shapes)
    initialise_(given, parameters, generator=torch.Generator().manual_seed(seed), **choices)
    return parameters


def test_the_network_of_these_tests() -> None:
    assert list(SHAPES.items()) == [
        ("layers.0.weight", (50, 30)),
        ("layers.0.bias", (50,)),
        ("layers.0.slope", ()),
        ("layers.1.weight", (7, 50)),
        ("layers.1.bias", (7,)),
    ]


def test_default_is_what_a_stack_of_linear_layers_draws() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        first, second = nn.Linear(30, 50), nn.Linear(50, 7)
    parameters = initialised(5)
    for i, layer in enumerate((first, second)):
        torch.testing.assert_close(parameters[f"layers.{i}.weight"], layer.weight.detach(), rtol=1e-6, atol=0)
        torch.testing.assert_close(parameters[f"layers.{i}.bias"], layer.bias.detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("given", "choices", "reference"),
    [
        (network(), {"name": "normal", "std": 0.3}, lambda w, g: nn.init.normal_(w, 0.0, 0.3, generator=g)),
        (
            network(),
            {"name": "normal", "std": "fan_in"},
            lambda w, g: nn.init.normal_(w, 0.0, 1 / math.sqrt(w.shape[1]), generator=g),
        ),
        (network(), {"name": "xavier_uniform"}, lambda w, g: nn.init.xavier_uniform_(w, generator=g)),
        (network(), {"name": "xavier_normal"}, lambda w, g: nn.init.xavier_normal_(w, generator=g)),
        (
            network(hidden="leaky_relu", slope=0.2),
            {"name": "kaiming_uniform"},
            lambda w, g: nn.init.kaiming_uniform_(w, a=0.2, generator=g),
        ),
        (network(), {"name": "kaiming_normal"}, lambda w, g: nn.init.kaiming_normal_(w, a=0.25, generator=g)),
        (
            network(hidden="tanh"),
            {"name": "kaiming_normal"},
            lambda w, g: nn.init.kaiming_normal_(w, generator=g),
        ),
    ],
)
def test_schemes_draw_what_torch_draws(given: MLP, choices: dict[str, Any], reference: Initialise) -> None:
    parameters, generator = initialised(9, given, **choices), torch.Generator().manual_seed(9)
    for i in range(2):
        expected = reference(torch.empty(SHAPES[f"layers.{i}.weight"]), generator)
        torch.testing.assert_close(parameters[f"layers.{i}.weight"], expected, rtol=1e-6, atol=0)
        assert not parameters[f"layers.{i}.bias"].any()


@pytest.mark.parametrize(
    ("name", "distribution"), [("default", stats.uniform(-0.1, 0.2)), ("normal", stats.norm(0.0, 0.1))]
)
def test_distribution_of_weights_and_biases(name: str, distribution: Any) -> None:
    """Kolmogorov–Smirnov against U(±1/√100) and N(0, 0.1²); the chance of a false alarm is 1e-3, fixed by the seed."""
    parameters = initialised(1, network(100, 2000), name=name, std="fan_in", bias="normal")
    for values in parameters.values():
        assert stats.kstest(values.flatten().numpy(), distribution.cdf).pvalue > 1e-3


def test_bias_has_the_spread_of_its_own_layer() -> None:
    parameters = initialised(2, network(400, 4000), name="normal", std=2.0, bias="normal")
    assert float(parameters["layers.0.bias"].std()) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_same_numbers_in_float64_and_for_the_same_seed_only(name: str) -> None:
    doubles = Parameters.zeros(SHAPES, dtype=torch.float64)
    initialise_(network(), doubles, generator=torch.Generator().manual_seed(0), name=name)
    assert torch.equal(doubles.flat.float(), initialised(0, name=name).flat)
    assert not torch.equal(initialised(1, name=name).flat, initialised(0, name=name).flat)


def test_slope_starts_where_it_is_told() -> None:
    assert float(initialised(given=network(slope=0.4))["layers.0.slope"]) == pytest.approx(0.4)


def test_parameters_that_autograd_watches_are_filled_too() -> None:
    leaves = {name: torch.zeros(shape, requires_grad=True) for name, shape in SHAPES.items()}
    initialise_(network(), leaves, generator=torch.Generator().manual_seed(0))
    assert torch.equal(leaves["layers.1.weight"], initialised(0)["layers.1.weight"])


def test_unknown_scheme_names_the_choices() -> None:
    with pytest.raises(UserError, match=r"'orthogonal'.*default.*kaiming_normal"):
        initialised(name="orthogonal")
