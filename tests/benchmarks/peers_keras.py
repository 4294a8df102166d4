"""Keras 3 on JAX, the backend that trains these networks fastest on a CPU: compile() and fit(), one call per timing."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when keras is imported

import keras

from tests.benchmarks.problem import Epochs, Problem


def epochs(problem: Problem) -> Epochs:
    """One model, plain SGD, data as arrays in memory."""
    workload = problem.workload
    relu = workload.activation == "relu"
    hidden = "relu" if relu else keras.ops.arctan
    layers = [keras.Input((workload.widths[0],))]
    layers += [keras.layers.Dense(width, activation=hidden) for width in workload.widths[1:-1]]
    layers.append(keras.layers.Dense(workload.widths[-1], activation=None if relu else hidden))
    model = keras.Sequential(layers)
    arrays = zip(problem.weights, problem.biases, strict=True)
    model.set_weights([array for weight, bias in arrays for array in (weight[0].T, bias[0])])
    reduction = "sum" if workload.reduction == "sum" else "sum_over_batch_size"
    model.compile(
        optimizer=keras.optimizers.SGD(problem.rates[0]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction),
    )
    while True:
        found = model.fit(
            problem.x, problem.y, batch_size=workload.batch_size, epochs=workload.epochs, shuffle=True, verbose=0
        )
        yield [float(found.history["loss"][-1]) * problem.per_example]
