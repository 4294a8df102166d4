"""Networks drawn at random with a batch for each group of models, and torch's own modules with the same parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlptrain.nn.engines import ENGINES, Analytic, Engine
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, columns
from mlptrain.nn.network import MLP
from mlptrain.nn.ops import Op
from mlptrain.nn.parameters import Parameters, Stack
from tests import catalogue

every_engine = pytest.mark.parametrize("engine", ENGINES)


def engines_of(*ops: Op) -> list[type[Engine]]:
    """The engines that can run a network with each of these as the op of a layer."""
    return [
        engine
        for engine in ENGINES
        if all(engine.runs(MLP.of([1, 1], hidden=[], output=[op], bias=True)) for op in ops)
    ]


def names_by_engine() -> list[tuple[type[Engine], str]]:
    """Every engine with every op that it can run."""
    return [(engine, name) for name in catalogue.OPS for engine in engines_of(catalogue.op(name))]


@dataclass
class Problem:
    """Models with equal shapes, their gradients by ``engine``, and a batch (n, 4) with targets for each group."""

    network: MLP
    loss: Loss
    groups: tuple[int, ...]
    parameters: Stack
    gradients: Stack
    engine: Engine
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
        section = self.loss.section
        return catalogue.LOSSES[section.name].reference(outputs, targets, reduction=section.reduction)


def problem(
    hidden: Sequence[int],
    *,
    engine: Callable[..., Engine] = Analytic,
    groups: Sequence[int] = (1,),
    activation: str = "relu",
    output_activation: str = "identity",
    bias: bool = True,
    loss: str = "cross_entropy",
    reduction: str = "mean",
    n: int = 7,
    batch_size: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    settings: Mapping[str, float] | None = None,
    **of_engine: Any,
) -> Problem:
    """Weights and biases from N(0, 0.7²), inputs from N(0, 1), labels at random, gradients nan until written.

    ``settings`` are those of ``activation``, ``of_engine`` further ones of the engine.
    """
    generator = torch.Generator().manual_seed(seed)
    row = catalogue.LOSSES[loss]
    n_outputs = row.outputs(3)
    ops, output = [catalogue.op(activation, settings)], [catalogue.op(output_activation)]
    network = MLP.of([4, *hidden, n_outputs], hidden=ops, output=output, bias=bias)
    parameters = Stack(network.parameter_shapes, network.state_shapes, models=sum(groups), dtype=dtype, device=device)
    for member in parameters.members:
        initialise_(network, member, generator=generator, name="normal", std=0.7, bias="normal")
    gradients = parameters.gradients()
    for member in gradients.members:
        for view in member.values():
            view.fill_(torch.nan)
    objective = catalogue.loss(loss, reduction)
    x, targets = [], []
    for _ in groups:
        x.append(torch.randn(n, 4, generator=generator, dtype=torch.float64).to(device, dtype))
        labels = torch.randint(0, row.labels(3), (n,), generator=generator)
        targets.append(catalogue.encoded(objective, labels, n_outputs).to(device))
    made = engine(
        network,
        loss=objective,
        parameters=parameters,
        gradients=gradients,
        batch_size=batch_size or n,
        groups=groups,
        **of_engine,
    )
    return Problem(network, objective, tuple(groups), parameters, gradients, made, x, targets)


def sequential(network: MLP, parameters: Parameters) -> nn.Sequential:
    """The network as nn.Linear and torch's modules of ops."""
    modules: list[nn.Module] = []
    for layer in network.layers:
        modules.append(nn.Linear(layer.inputs, layer.outputs, bias=layer.bias))
        modules += [catalogue.OPS[op.name].reference(asdict(op)) for op in layer.ops]
    made = nn.Sequential(*modules).to(parameters.pieces[0])
    with torch.no_grad():
        for theirs, ours in zip(made.parameters(), parameters.values(), strict=True):
            theirs.copy_(ours.reshape(theirs.shape))
    return made.eval()
