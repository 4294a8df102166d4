"""scikit-learn's MLPClassifier: one partial_fit per epoch with the same batch size, no penalty."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier

from tests.benchmarks.problem import Epochs, Problem


def epochs(problem: Problem) -> Epochs:
    """One model. It starts with one step more than the others: the first call makes the arrays that are filled here."""
    workload = problem.workload
    if workload.activation != "relu":
        raise NotImplementedError(f"has no {workload.activation}")
    model = MLPClassifier(
        workload.widths[1:-1],
        activation="relu",
        solver="adam" if problem.optimizer == "adam" else "sgd",
        learning_rate_init=problem.rates[0],
        momentum=0.9 if problem.optimizer == "nesterov" else 0.0,
        nesterovs_momentum=problem.optimizer == "nesterov",
        alpha=0.0,
        batch_size=workload.batch_size,
        random_state=1,
    )
    first = slice(workload.batch_size)
    model.partial_fit(problem.x[first], problem.y[first], classes=np.arange(workload.widths[-1]))
    for weight, bias, own_weight, own_bias in zip(
        problem.weights, problem.biases, model.coefs_, model.intercepts_, strict=True
    ):
        own_weight[...] = weight[0].T
        own_bias[...] = bias[0]
    while True:
        model.partial_fit(problem.x, problem.y)
        yield [float(model.loss_)]
