"""One training step, gradients and updates; on CUDA a graph that is replayed, so that nothing waits for launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlptrain.nn.engines import Engine
from mlptrain.training.workers import Workers
from mlptrain.updates.chain import Updates

StepFunction = Callable[[Sequence[Tensor], Tensor], Tensor]


def step_runner(engine: Engine, updates: Updates, workers: Workers | None = None) -> StepFunction:
    """A function of inputs and targets: makes the gradients, updates all models, gives the outputs.

    The outputs (models, outputs, n) are those before the update and overwritten by the next step. Of ``workers`` each
    computes the engine's share of the batch; on CUDA too without a graph, as sums inside of one are not tried yet.
    """
    if workers is not None:
        return _shared_step(engine, updates, workers)
    if updates.needs_closure:
        return _closure_step(engine, updates)

    def step(inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        outputs = engine(inputs, targets)
        updates.advance()
        updates.apply()
        return outputs

    return CapturedStep(engine, updates, step) if engine.capturable and engine.parameters.flat.is_cuda else step


def _shared_step(engine: Engine, updates: Updates, workers: Workers) -> StepFunction:
    def step(inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        outputs = engine(inputs, targets)
        workers.sum_(engine.gradients.flat)
        updates.advance()
        updates.apply()
        return outputs

    return step


def _closure_step(engine: Engine, updates: Updates) -> StepFunction:
    """An optimizer with a closure evaluates all models, as often as it wants to, to read one of them."""

    def step(inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        before: list[Tensor] = []

        def evaluate() -> Tensor:
            outputs = engine(inputs, targets)
            if not before:
                before.append(outputs.clone())
            return engine.loss.objectives(outputs, targets)

        evaluate()
        updates.advance()
        updates.apply(evaluate=evaluate)
        return before[0]

    return step


class CapturedStep:
    """A step on CUDA as one graph.

    The second full batch is captured, and each one from it on is a replay: its inputs and targets are copied into the
    graph's own buffers, which costs two launches instead of some ten per layer. The first batch runs as it is and
    warms the libraries up; so does the last, smaller one of every epoch. Optimizers that count on the CPU stay outside.
    """

    def __init__(self, engine: Engine, updates: Updates, step: StepFunction) -> None:
        self._engine, self._updates, self._plain_step = engine, updates, step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = False
        self._inputs: list[Tensor] = []
        self._targets = self._outputs = engine.parameters.flat

    def __call__(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """As the plain step."""
        is_full = inputs[0].shape[0] == self._engine.batch_size
        if not (is_full and self._warm):
            self._warm = self._warm or is_full
            return self._plain_step(inputs, targets)
        if self._graph is None:
            self._graph = self._capture(inputs, targets)
        self._engine.prepare(self._engine.batch_size)
        torch._foreach_copy_(self._inputs, list(inputs))  # of many models in few launches
        self._targets.copy_(targets)
        self._updates.advance()
        self._graph.replay()
        self._updates.apply(captured=False)
        return self._outputs

    def _capture(self, inputs: Sequence[Tensor], targets: Tensor) -> torch.cuda.CUDAGraph:
        """Record a step on buffers of its own, without running it."""
        self._inputs = [torch.empty_like(x) for x in inputs]
        self._targets = targets.clone(memory_format=torch.contiguous_format)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._outputs = self._engine.run(self._inputs, self._targets)
            self._updates.apply(captured=True)
        return graph
