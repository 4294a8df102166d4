"""JAX with optax: one jitted lax.scan per epoch, its parameters donated; vmap over it for several models.

It keeps the mean loss and the accuracy of the epoch, as ours does. The order of the rows comes from numpy, which draws
one in a fraction of the time of jax.random.permutation on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tests.benchmarks.problem import Epochs, Problem
from tests.benchmarks.workloads import OptimizerName

_resident: dict[int, tuple[Any, Any]] = {}


def _on_device(problem: Problem) -> tuple[Any, Any]:
    """Rows and labels as JAX arrays, once for all rows of the table that read them."""
    key = id(problem.x)
    if key not in _resident:
        _resident.clear()
        _resident[key] = jnp.asarray(problem.x), jnp.asarray(problem.y.astype(np.int32))
    return _resident[key]


def _optimizer(name: OptimizerName, lr: Any) -> Any:
    if name == "adam":
        return optax.adam(lr)
    return optax.sgd(lr, momentum=0.9, nesterov=True) if name == "nesterov" else optax.sgd(lr)


def _epoch_function(problem: Problem) -> Callable[..., Any]:
    """(parameters, state, lr, order (n,)) → (parameters, state, mean loss, hits), for one model, not yet jitted."""
    workload = problem.workload
    x_all, y_all = _on_device(problem)
    n, size = len(problem.x), workload.batch_size
    whole = n // size * size
    relu = workload.activation == "relu"
    activate = jax.nn.relu if relu else jnp.arctan
    reduce = jnp.sum if workload.reduction == "sum" else jnp.mean

    def objective(parameters: Any, x: Any, y: Any) -> Any:
        for layer, (weight, bias) in enumerate(parameters):
            x = x @ weight + bias
            x = x if relu and layer == len(parameters) - 1 else activate(x)
        losses = optax.softmax_cross_entropy_with_integer_labels(x, y)
        return reduce(losses), (losses.sum(), (x.argmax(axis=1) == y).sum())

    def epoch(parameters: Any, state: Any, lr: Any, order: Any) -> Any:
        optimizer = _optimizer(problem.optimizer, lr)

        def step(carry: Any, rows: Any) -> Any:
            parameters, state = carry
            x, y = (x_all, y_all) if rows is None else (x_all[rows], y_all[rows])
            (_, figures), gradients = jax.value_and_grad(objective, has_aux=True)(parameters, x, y)
            updates, state = optimizer.update(gradients, state, parameters)
            return (optax.apply_updates(parameters, updates), state), figures

        carry = (parameters, state)
        if workload.full_batch:
            carry, (losses, hits) = jax.lax.scan(step, carry, None, length=workload.epochs)
            return *carry, losses[-1] / n, hits[-1]
        carry, (losses, hits) = jax.lax.scan(step, carry, order[:whole].reshape(-1, size))
        loss, hit = losses.sum(), hits.sum()
        if whole < n:  # the last, smaller batch
            carry, (more, more_hits) = step(carry, order[whole:])
            loss, hit = loss + more, hit + more_hits
        return *carry, loss / n, hit

    return epoch


def _initial(problem: Problem, model: int | None) -> list[tuple[Any, Any]]:
    """Weights (in, out) and biases (out,) of one model, or of all with a leading axis."""
    at: Any = slice(None) if model is None else model
    return [
        (jnp.asarray(np.swapaxes(weight[at], -1, -2)), jnp.asarray(bias[at]))
        for weight, bias in zip(problem.weights, problem.biases, strict=True)
    ]


def epochs(problem: Problem) -> Epochs:
    """One model."""
    generator, n = np.random.default_rng(1), len(problem.x)
    lr = problem.rates[0]
    function = _epoch_function(problem)
    run = jax.jit(lambda parameters, state, order: function(parameters, state, lr, order), donate_argnums=(0, 1))
    parameters = _initial(problem, 0)
    state = _optimizer(problem.optimizer, lr).init(parameters)
    while True:
        order = None if problem.workload.full_batch else generator.permutation(n).astype(np.int32)
        parameters, state, loss, _ = run(parameters, state, order)
        yield [float(loss)]


def many(problem: Problem) -> Epochs:
    """All models by vmap: with an order each, or with one order and a learning rate each."""
    generator, n, models = np.random.default_rng(1), len(problem.x), problem.models
    own_order = problem.workload.vary == "seed"
    rates = jnp.asarray(np.array(problem.rates, np.float32))
    over_lr, over_order = (None, 0) if own_order else (0, None)
    mapped = jax.vmap(_epoch_function(problem), in_axes=(0, 0, over_lr, over_order))
    run = jax.jit(mapped, donate_argnums=(0, 1))
    parameters = _initial(problem, None)
    state = jax.vmap(_optimizer(problem.optimizer, problem.rates[0]).init)(parameters)
    lr = rates[0] if own_order else rates
    while True:
        orders = [generator.permutation(n).astype(np.int32) for _ in range(models if own_order else 1)]
        parameters, state, losses, _ = run(parameters, state, lr, np.stack(orders) if own_order else orders[0])
        yield np.asarray(losses).tolist()
