"""Batch and layer norm, dropout, residual layers: both engines step by step against torch's modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlptrain.nn.engines import ENGINES, Analytic, Engine, engine_for
from mlptrain.nn.gradcheck import check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import columns
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.ops import Op
from mlptrain.nn.parameters import Parameters, Stack
from mlptrain.seeds import derived_seed
from tests.catalogue import NORMS, loss, op

IN, WIDTH, CLASSES, N = 5, 6, 3, 8
SETTINGS = {"batch": {"momentum": 0.3}, "layer": {"eps": 1e-3}}
every_engine = pytest.mark.parametrize("engine", ENGINES)


@dataclass(frozen=True)
class Recipe:
    """Three layers, the second of which may be residual."""

    norm: str = "none"
    output_norm: str = "none"
    activation: str = "relu"
    dropout: float = 0.0
    input_dropout: float = 0.0
    residual: bool = False

    def network(self) -> MLP:
        def ops(norm: str, activation: str, dropout: float) -> tuple[Op, ...]:
            norms = () if norm == "none" else (op(norm, SETTINGS[norm]),)
            return (*norms, op(activation), *((op("dropout", {"p": dropout}),) if dropout else ()))

        hidden = ops(self.norm, self.activation, self.dropout)
        before = (op("dropout", {"p": self.input_dropout}),) if self.input_dropout else ()
        return MLP(
            [
                Layer(0, IN, WIDTH, True, hidden, before),
                Layer(1, WIDTH, WIDTH, True, hidden, residual=self.residual),
                Layer(2, WIDTH, CLASSES, False, ops(self.output_norm, "identity", 0.0)),
            ]
        )


RECIPES = {
    "batch": Recipe("batch"),
    "batch, also the outputs, tanh": Recipe("batch", "batch", "tanh"),
    "batch, gelu, dropout": Recipe("batch", activation="gelu", dropout=0.3),
    "layer": Recipe("layer"),
    "layer, also the outputs, silu": Recipe("layer", "layer", "silu", dropout=0.2),
    "dropout": Recipe(dropout=0.5),
    "dropout, sigmoid": Recipe(dropout=0.4, activation="sigmoid"),
    "dropout of the inputs": Recipe(input_dropout=0.3, dropout=0.1, activation="prelu"),
    "residual": Recipe(residual=True),
    "residual, tanh": Recipe(residual=True, activation="tanh"),
    "everything": Recipe("batch", "layer", "elu", 0.25, 0.2, residual=True),
}
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


class Module(nn.Module):
    """The same in torch, with the masks that a seed's noise gives."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.linear = nn.ModuleList([nn.Linear(IN, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES, False)])
        names = [(recipe.norm, WIDTH), (recipe.norm, WIDTH), (recipe.output_norm, CLASSES)]
        self.norms = nn.ModuleList([self.made(*name) for name in names])
        self.activation = {
            "relu": nn.ReLU(), "tanh": nn.Tanh(), "gelu": nn.GELU(), "silu": nn.SiLU(), "sigmoid": nn.Sigmoid(),
            "elu": nn.ELU(), "prelu": None,
        }[recipe.activation]  # fmt: skip
        self.slopes = nn.ParameterList([nn.Parameter(torch.tensor(0.25)) for _ in range(2)])
        self.noise = torch.Generator()
        self.double()

    @staticmethod
    def made(name: str, width: int) -> nn.Module:
        if name == "none":
            return nn.Identity()
        return NORMS[name](width, **SETTINGS[name])

    def dropped(self, z: Tensor, p: float, *, columns: bool = True) -> Tensor:
        if not (p and self.training):
            return z
        words = torch.empty(-(-z.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=self.noise)
        bits = words.view(torch.int16)[: z.numel()]
        bits = bits.view(z.shape[::-1]).t() if columns else bits.view(z.shape)
        return z * (bits >= round(p * 2**16) - 2**15) / (1 - p)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropped(x, self.recipe.input_dropout, columns=False)
        z = y
        for index, (linear, norm) in enumerate(zip(self.linear, self.norms, strict=True)):
            z = norm(linear(y))
            if index == 2:
                break
            z = torch.where(z > 0, z, self.slopes[index] * z) if self.activation is None else self.activation(z)
            z = self.dropped(z, self.recipe.dropout)
            y = z + y if index == 1 and self.recipe.residual else z
        return z

    def tensors(self) -> dict[str, Tensor]:
        """By our names."""
        found: dict[str, Tensor] = {}
        for index, (linear, norm) in enumerate(zip(self.linear, self.norms, strict=True)):
            of: dict[str, Tensor] = {f"layers.{index}.{name}": value for name, value in linear.named_parameters()}
            of |= {f"layers.{index}.norm_{name}": value for name, value in norm.named_parameters()}
            of |= {f"layers.{index}.{name}": value for name, value in norm.named_buffers() if "running" in name}
            if self.activation is None and index < 2:
                of[f"layers.{index}.slope"] = self.slopes[index]
            found |= of
        return found


def weights(network: MLP, seed: int) -> Parameters:
    parameters = Parameters.zeros(network.shapes, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    initialise_(network, parameters, generator=generator, name="normal", std=0.7, bias="normal")
    for name in parameters:
        if "norm_" in name:
            parameters[name].add_(torch.randn(parameters[name].shape, generator=generator, dtype=torch.float64) / 4)
    return parameters


def rows(seed: int, n: int = N) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, IN, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, CLASSES, (n,), generator=generator)


def made(engine: Callable[..., Engine], network: MLP, *, seeds: Sequence[int], groups: Sequence[int]) -> Engine:
    parameters = Stack(network.parameter_shapes, network.state_shapes, models=len(seeds), dtype=torch.float64)
    for number, member in enumerate(parameters.members):
        member.copy_(weights(network, number))
    gradients = parameters.gradients()
    return engine(
        network,
        loss=loss("cross_entropy"),
        parameters=parameters,
        gradients=gradients,
        batch_size=N,
        groups=groups,
        seeds=seeds,
    )


@every_engine
@every_recipe
@pytest.mark.parametrize(("seeds", "groups"), [([4], [1]), ([4, 4, 4], [3]), ([4, 4, 7], [2, 1]), ([1, 2], [2])])
def test_steps_equal_those_of_torch(engine: type[Engine], recipe: Recipe, seeds: list[int], groups: list[int]) -> None:
    """Outputs, gradients and running statistics, with a shorter batch in between, alone and beside other models."""
    network = recipe.network()
    given = made(engine, network, seeds=seeds, groups=groups)
    modules = [Module(recipe) for _ in seeds]
    for module, member in zip(modules, given.parameters.members, strict=True):
        with torch.no_grad():
            for name, value in module.tensors().items():
                value.copy_(member[name])
    owners = [group for group, count in enumerate(groups) for _ in range(count)]
    for epoch in (1, 2):
        given.start_epoch(epoch)
        for module, seed in zip(modules, seeds, strict=True):
            module.noise.manual_seed(derived_seed(seed, "noise", epoch))
        for n in (N, 3, N):
            batches = [rows(10 * epoch + group, n) for group in range(len(groups))]
            targets = torch.cat([columns(batches[group][1]) for group in owners])
            outputs = given([x for x, _ in batches], targets)
            for model, module in enumerate(modules):
                x, labels = batches[owners[model]]
                expected = module(x)
                torch.testing.assert_close(outputs[model].t(), expected.detach(), rtol=1e-11, atol=1e-12)
                named = {name: value for name, value in module.tensors().items() if "running" not in name}
                found = torch.autograd.grad(functional.cross_entropy(expected, labels), list(named.values()))
                for (name, _), gradient in zip(named.items(), found, strict=True):
                    ours = given.gradients.members[model][name]
                    torch.testing.assert_close(ours, gradient, rtol=1e-10, atol=1e-12)
                for name, value in module.tensors().items():
                    torch.testing.assert_close(
                        given.parameters.members[model][name], value.detach(), rtol=1e-12, atol=0
                    )
    for module, member in zip(modules, given.parameters.members, strict=True):
        x, _ = rows(3)
        torch.testing.assert_close(network.forward(member, x), module.eval()(x).detach(), rtol=1e-12, atol=1e-13)


@every_recipe
def test_gradients_pass_the_check_with_masks_held_fixed(recipe: Recipe) -> None:
    network = recipe.network()
    x, labels = rows(5, 12)
    check = check_gradients(
        network,
        loss=loss("cross_entropy"),
        parameters=weights(network, 2),
        x=x,
        targets=labels,
        generator=torch.Generator().manual_seed(0),
        noise=(3, 1),
    )
    assert engine_for(network) is Analytic
    assert check.passed is not False, check
    assert {one.name for one in check.parameters} == set(network.parameter_shapes)
    assert sum(one.checked for one in check.parameters) > 40


@every_engine
def test_a_batch_of_one_row_leaves_statistics_and_the_layers_below_alone(engine: type[Engine]) -> None:
    given = made(engine, RECIPES["batch"].network(), seeds=[1], groups=[1])
    [member] = given.parameters.members
    before = {name: member[name].clone() for name in given.network.state_shapes}
    given([rows(1, 1)[0]], columns(rows(1, 1)[1]))
    assert all(torch.equal(member[name], value) for name, value in before.items())
    gradients = given.gradients.members[0]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients.values())
    assert not gradients["layers.0.weight"].any()
    assert gradients["layers.2.weight"].any()


def test_masks_have_their_rate_and_are_shared_by_models_of_one_seed() -> None:
    network = Recipe(dropout=0.3, activation="identity").network()
    given = made(Analytic, network, seeds=[1, 1, 2], groups=[2, 1])
    for member in given.parameters.members:
        member.copy_(weights(network, 0))
    given.start_epoch(1)
    x, labels = rows(0)
    first, second, other = given([x, x], columns(labels).expand(3, -1, -1)).clone()
    assert torch.equal(first, second)
    assert not torch.allclose(first, other)
