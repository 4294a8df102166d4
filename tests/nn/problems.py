"""Networks drawn at random with a batch for each group of models, and torch's own modules with the same parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlptrain.nn.engines.analytic import Backward
from mlptrain.nn.engines.autograd import Autograd
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, Reduction, columns, make_loss
from mlptrain.nn.network import MLP
from mlptrain.nn.ops.activations import Activation, make_activation
from mlptrain.nn.parameters import Parameters, Stack

ENGINES: list[type[Backward]] = [Backward, Autograd]
every_engine = pytest.mark.parametrize("engine", ENGINES)

OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": functional.cross_entropy,
    "bce": functional.binary_cross_entropy_with_logits,
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
}


class Arctan(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.atan()


MODULES: dict[str, Callable[[Activation], nn.Module]] = {
    "relu": lambda _: nn.ReLU(),
    "leaky_relu": lambda given: nn.LeakyReLU(given.slope),  # type: ignore[attr-defined]
    "elu": lambda given: nn.ELU(given.alpha),  # type: ignore[attr-defined]
    "prelu": lambda _: nn.PReLU(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "tanh": lambda _: nn.Tanh(),
    # torch's threshold would replace the function by y = z where the two still differ by 2e-9.
    "softplus": lambda given: nn.Softplus(given.beta, threshold=600),  # type: ignore[attr-defined]
    "arctan": lambda _: Arctan(),
    "gelu": lambda _: nn.GELU(),
    "silu": lambda _: nn.SiLU(),
    "identity": lambda _: nn.Identity(),
}


@dataclass
class Problem:
    """Models with equal shapes, their gradients by ``engine``, and a batch (n, 4) with targets for each group."""

    network: MLP
    loss: Loss
    groups: tuple[int, ...]
    parameters: Stack
    gradients: Stack
    engine: Backward
    x: list[Tensor]
    targets: list[Tensor]

    @property
    def owners(self) -> list[int]:
        """The group of every model."""
        return [group for group, count in enumerate(self.groups) for _ in range(count)]

    def batch(self, rows: slice = slice(None)) -> tuple[list[Tensor], Tensor]:
        """What the engine takes for these rows of every group's batch."""
        targets = torch.cat([columns(self.targets[group][rows]) for group in self.owners])
        return [x[rows] for x in self.x], targets

    def step(self, rows: slice = slice(None)) -> Tensor:
        """Outputs of the engine, copied; the gradients are written."""
        return self.engine(*self.batch(rows)).clone()

    def modules(self) -> list[nn.Sequential]:
        """Every model in torch's modules, with copies of its parameters, which come in the same order as ours."""
        return [sequential(self.network, member) for member in self.parameters.members]

    def objective(self, model: int, outputs: Tensor, rows: slice = slice(None)) -> Tensor:
        """The objective of one model by torch.nn.functional."""
        targets = self.targets[self.owners[model]][rows]
        targets = targets.to(outputs.dtype) if targets.is_floating_point() else targets
        return OBJECTIVES[self.loss.name](outputs, targets, reduction=self.loss.reduction)


def problem(
    hidden: Sequence[int],
    *,
    engine: type[Backward] = Backward,
    groups: Sequence[int] = (1,),
    activation: str = "relu",
    output_activation: str = "identity",
    bias: bool = True,
    loss: str = "cross_entropy",
    reduction: Reduction = "mean",
    n: int = 7,
    batch_size: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    fields: Mapping[str, float] | None = None,
) -> Problem:
    """Weights and biases from N(0, 0.7²), inputs from N(0, 1), labels at random, gradients nan until written."""
    generator = torch.Generator().manual_seed(seed)
    n_outputs = 1 if loss == "bce" else 3
    network = MLP(
        [4, *hidden, n_outputs],
        activation=make_activation(activation, **(fields or {})),
        output_activation=make_activation(output_activation),
        bias=bias,
    )
    parameters = Stack(network.parameter_shapes, models=sum(groups), dtype=dtype, device=device)
    for member in parameters.members:
        initialise_(member, generator=generator, name="normal", std=0.7, bias="normal")
    gradients = parameters.zeros_like()
    for member in gradients.members:
        for view in member.values():
            view.fill_(torch.nan)
    objective = make_loss(loss, reduction)
    x, targets = [], []
    for _ in groups:
        x.append(torch.randn(n, 4, generator=generator, dtype=torch.float64).to(device, dtype))
        labels = torch.randint(0, max(2, n_outputs), (n,), generator=generator)
        targets.append(objective.encode_targets(labels, n_outputs).to(device))
    made = engine(
        network,
        loss=objective,
        parameters=parameters,
        gradients=gradients,
        batch_size=batch_size or n,
        groups=groups,
    )
    return Problem(network, objective, tuple(groups), parameters, gradients, made, x, targets)


def sequential(network: MLP, parameters: Parameters) -> nn.Sequential:
    """The network as nn.Linear and torch's modules of activations."""
    modules: list[nn.Module] = []
    for i, activation in enumerate(network.activations):
        weight, bias = parameters[f"layers.{i}.weight"], parameters.get(f"layers.{i}.bias")
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        modules += [linear, MODULES[activation.name](activation)]
    made = nn.Sequential(*modules).to(weight)
    with torch.no_grad():
        for theirs, ours in zip(made.parameters(), parameters.values(), strict=True):
            theirs.copy_(ours.reshape(theirs.shape))
    return made
