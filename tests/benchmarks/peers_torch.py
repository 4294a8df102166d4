"""PyTorch with autograd: data in memory with fused optimizers, the loop of course notebooks, several models batched.

The first is what a careful user writes by hand; it keeps the mean loss and the accuracy of the epoch without waiting
for either within it, as ours does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.benchmarks.problem import Epochs, Problem
from tests.benchmarks.workloads import OptimizerName


class Arctan(nn.Module):
    """The arctangent, which torch has as a function only."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.atan(x)


def sequential(problem: Problem) -> nn.Sequential:
    """The network of the problem's first model, with its initial weights; output activation as hidden for arctan."""
    relu = problem.workload.activation == "relu"
    layers: list[nn.Module] = []
    for (inputs, outputs), weight, bias in zip(
        pairwise(problem.workload.widths), problem.weights, problem.biases, strict=True
    ):
        linear = nn.Linear(inputs, outputs)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight[0]))
            linear.bias.copy_(torch.from_numpy(bias[0]))
        layers += [linear, nn.ReLU() if relu else Arctan()]
    return nn.Sequential(*(layers[:-1] if relu else layers))


def make_optimizer(
    parameters: Iterable[Tensor], *, name: OptimizerName, lr: float, fused: bool = False
) -> torch.optim.Optimizer:
    """One of torch.optim's classes with the settings that all rows share."""
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, fused=fused)
    nesterov = name == "nesterov"
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9 if nesterov else 0.0, nesterov=nesterov, fused=fused)


def shuffled(n: int, batch_size: int) -> Iterator[Tensor]:
    """Indices of every batch of one epoch in a new order."""
    return iter(cast("tuple[Tensor, ...]", torch.randperm(n).split(batch_size)))  # type: ignore[no-untyped-call]


def autograd(problem: Problem) -> Epochs:
    """One model: rows gathered from one tensor in memory, autograd, fused update."""
    workload = problem.workload
    x, y, n = torch.from_numpy(problem.x), torch.from_numpy(problem.y), len(problem.x)
    model = sequential(problem)
    optimizer = make_optimizer(model.parameters(), name=problem.optimizer, lr=problem.rates[0], fused=True)

    def step(inputs: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = functional.cross_entropy(outputs, labels, reduction=workload.reduction)
        torch.autograd.backward(loss)
        optimizer.step()
        total.add_(loss.detach() * (1 if workload.reduction == "sum" else len(labels)))
        hits.add_((outputs.detach().argmax(1) == labels).sum())

    while True:
        torch.set_float32_matmul_precision(problem.precision)
        for _ in range(workload.epochs):
            total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            if workload.full_batch:
                step(x, y)
            else:
                for rows in shuffled(n, workload.batch_size):
                    step(x.index_select(0, rows), y.index_select(0, rows))
        yield [total.item() / n]


def notebook(problem: Problem) -> Epochs:
    """The loop that course notebooks are written with: DataLoader, ToTensor for every image, .item() each step."""
    workload = problem.workload
    model: nn.Module = sequential(problem)
    if workload.data == "mnist":
        model = nn.Sequential(nn.Flatten(), model)
    loader = DataLoader(_dataset(problem), batch_size=workload.batch_size, shuffle=True)
    optimizer = make_optimizer(model.parameters(), name=problem.optimizer, lr=problem.rates[0])
    loss_function = nn.CrossEntropyLoss(reduction=workload.reduction)
    while True:
        torch.set_float32_matmul_precision("highest")
        for _ in range(workload.epochs):
            total = 0.0
            for x, y in loader:
                optimizer.zero_grad()
                loss = loss_function(model(x), y)
                torch.autograd.backward(loss)
                optimizer.step()
                total += loss.item() * (1 if workload.reduction == "sum" else len(y))
        yield [total / len(problem.x)]


def _dataset(problem: Problem) -> Dataset[Any]:
    """torchvision's own reader of MNIST; a TensorDataset for what is no image."""
    if problem.workload.data != "mnist":
        return TensorDataset(torch.from_numpy(problem.x), torch.from_numpy(problem.y))
    import torchvision

    transform = torchvision.transforms.ToTensor()
    return cast("Dataset[Any]", torchvision.datasets.MNIST(str(problem.data_dir), train=True, transform=transform))


def batched(problem: Problem) -> Epochs:
    """Several models as a leading axis of batched products, each with an order of its own, one fused optimizer."""
    workload, models = problem.workload, problem.models
    x, y, n = torch.from_numpy(problem.x), torch.from_numpy(problem.y), len(problem.x)
    weights = [torch.from_numpy(weight).clone().requires_grad_() for weight in problem.weights]
    biases = [torch.from_numpy(bias)[:, None, :].clone().requires_grad_() for bias in problem.biases]
    optimizer = make_optimizer([*weights, *biases], name=problem.optimizer, lr=problem.rates[0], fused=True)

    def step(rows: Tensor) -> Tensor:
        flat = rows.flatten()
        values, labels = x.index_select(0, flat).view(models, -1, x.shape[1]), y.index_select(0, flat)
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            values = torch.baddbmm(bias, torch.relu(values) if layer else values, weight.transpose(1, 2))
        losses = functional.cross_entropy(values.flatten(0, 1), labels, reduction="none").view(models, -1)
        optimizer.zero_grad()
        torch.autograd.backward(losses.mean(dim=1).sum())
        optimizer.step()
        hits.add_((values.detach().argmax(2) == labels.view(models, -1)).sum(dim=1))
        return losses.detach().sum(dim=1)

    while True:
        torch.set_float32_matmul_precision(problem.precision)
        total, hits = torch.zeros(models), torch.zeros(models, dtype=torch.int64)
        orders = torch.stack([torch.randperm(n) for _ in range(models)])
        for rows in orders.split(workload.batch_size, dim=1):  # type: ignore[no-untyped-call]
            total += step(rows)
        yield (total / n).tolist()
