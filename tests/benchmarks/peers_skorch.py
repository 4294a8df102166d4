"""skorch: a torch module as a scikit-learn estimator, one partial_fit per epoch."""

from __future__ import annotations

import skorch
import torch

from tests.benchmarks.peers_torch import sequential
from tests.benchmarks.problem import Epochs, Problem


def epochs(problem: Problem) -> Epochs:
    """One model, plain SGD, data as arrays in memory, its own DataLoader with shuffling; silent, no validation."""
    workload = problem.workload
    net = skorch.NeuralNet(
        sequential(problem),
        criterion=torch.nn.CrossEntropyLoss,
        criterion__reduction=workload.reduction,
        optimizer=torch.optim.SGD,
        lr=problem.rates[0],
        batch_size=workload.batch_size,
        max_epochs=workload.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    while True:
        net.partial_fit(problem.x, problem.y)
        yield [float(net.history[-1, "train_loss"]) * problem.per_example]
