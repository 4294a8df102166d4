"""A batch that several workers share, here threads that add up their tensors: the gradient is that of one engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import Tensor

from mlptrain.nn.engines import Analytic
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, columns, make_loss, with_weights
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.ops.dropout import Dropout
from mlptrain.nn.parameters import Stack
from mlptrain.nn.shares import Share
from tests import catalogue
from tests.catalogue import op

WIDTHS = (5, 6, 6, 3)
BATCH = 11


class Meeting:
    """Threads that replace their tensors by the sum of all, in the order of their ranks."""

    def __init__(self, count: int) -> None:
        self._barrier, self._brought = Barrier(count, timeout=20), [torch.empty(0)] * count

    def sum_of(self, rank: int) -> Callable[[Tensor], object]:
        def sum_(tensor: Tensor) -> None:
            self._brought[rank] = tensor.clone()
            self._barrier.wait()
            tensor.copy_(torch.stack(self._brought).sum(dim=0))
            self._barrier.wait()

        return sum_


def network() -> MLP:
    """Batch norm, dropout of inputs and units, and a residual layer."""
    hidden = op("batch"), op("tanh"), Dropout(0.3)
    last = len(WIDTHS) - 2
    return MLP(
        [
            Layer(
                index,
                WIDTHS[index],
                WIDTHS[index + 1],
                True,
                () if index == last else hidden,
                () if index else (Dropout(0.2),),
                residual=index == 1,
            )
            for index in range(last + 1)
        ]
    )


def engine_of(loss: Loss, models: int) -> Analytic:
    made = network()
    parameters = Stack(made.parameter_shapes, made.state_shapes, models=models, dtype=torch.float64)
    for seed, member in enumerate(parameters.members):
        generator = torch.Generator().manual_seed(seed)
        initialise_(made, member, generator=generator, name="normal", std=0.7, bias="normal")
    gradients = parameters.gradients()
    engine = Analytic(
        made, loss=loss, parameters=parameters, gradients=gradients, batch_size=BATCH, seeds=list(range(models))
    )
    engine.start_epoch(1)
    return engine


def batches(sizes: list[int], *, weighted: bool) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    made = []
    for n in sizes:
        labels, weights = torch.randint(0, 3, (n,), generator=generator), torch.rand(n, generator=generator)
        targets = with_weights(labels, weights).double() if weighted else labels
        made.append((torch.randn(n, WIDTHS[0], generator=generator, dtype=torch.float64), targets))
    return made


LOSSES = {
    "plain": lambda: catalogue.loss("cross_entropy"),
    "sum": lambda: catalogue.loss("cross_entropy", "sum"),
    "weights of classes": lambda: make_loss(
        catalogue.loss("cross_entropy", class_weights="balanced", label_smoothing=0.1).section, [(0.5, 2.0, 1.25)]
    ),
    "weights of examples": lambda: make_loss(catalogue.loss("cross_entropy").section, weighted=True),
}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", LOSSES)
def test_the_gradients_of_all_shares_add_up_to_that_of_the_batch(kind: str, count: int) -> None:
    loss, models = LOSSES[kind](), 2
    steps = batches([BATCH, BATCH, 4, 2, 1], weighted=kind == "weights of examples")  # the last two: fewer than workers
    one, several, meeting = engine_of(loss, models), [engine_of(loss, models) for _ in range(count)], Meeting(count)

    def step(rank: int, x: Tensor, targets: Tensor) -> tuple[Share, Tensor, Tensor]:
        engine = several[rank]
        share = engine.share = Share.of(len(x), rank, count, meeting.sum_of(rank))
        outputs = engine([x[share.rows]], columns(targets[share.rows]).expand(models, -1, -1)).clone()
        return share, outputs, engine.gradients.flat.clone()

    with ThreadPoolExecutor(count) as threads:
        for x, targets in steps:
            outputs = one([x], columns(targets).expand(models, -1, -1)).clone()
            found = list(threads.map(step, range(count), [x] * count, [targets] * count))
            total = torch.stack([gradient for _, _, gradient in found]).sum(dim=0)
            torch.testing.assert_close(total, one.gradients.flat, rtol=1e-12, atol=1e-12)
            for share, own, _ in found:
                torch.testing.assert_close(own, outputs[..., share.rows], rtol=1e-12, atol=1e-12)
            for engine in several:  # weights, and the statistics of batch norm, which every step moves
                torch.testing.assert_close(engine.parameters.flat, one.parameters.flat, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_neighbours_that_make_up_the_batch(count: int) -> None:
    for whole in range(1, 20):
        shares = [Share.of(whole, rank, count, torch.sum) for rank in range(count)]
        rows = [row for share in shares if share.own for row in range(whole)[share.rows]]
        assert rows == list(range(whole))
        assert [share.stop - share.start for share in shares] == [max(share.own, 1) for share in shares]
        assert max(share.own for share in shares) - min(share.own for share in shares) <= 1
