"""The floor: the bare matrix products of an epoch, each through the fastest kernel and layout at hand.

With n examples per batch, a layer makes three: Z = W Y (out, in, n), the weight gradient Δ Yᵀ (out, n, in) and, above
the first layer, the upstream gradient Wᵀ Δ (in, out, n). Nothing else of training is done, no batch is gathered and no
weight changes. Each product may be computed as C or as its transpose, lay either operand row by row or column by
column, and take torch's kernel of either precision, whatever the products around it would like: no training reaches
this. What is fastest alone in a loop need not be so among others, so plans of one precision compete too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.problem import Epochs, Problem
from tests.benchmarks.workloads import PRECISIONS, Precision

Call = Callable[[], object]
TRIAL_SECONDS = 0.002
TRIALS = 4


@dataclass(frozen=True)
class Product:
    """C (m, p) = A (m, k) B (k, p), for ``batch`` models at once where there are several."""

    m: int
    k: int
    p: int
    batch: int | None = None


@dataclass(frozen=True)
class Candidate:
    """One way to make a product, bound to buffers of its own."""

    precision: Precision
    call: Call


def products_of(problem: Problem, n: int) -> list[Product]:
    """Those of one step on ``n`` examples in the order of training.

    Models that share their batches have one first layer, (models·out, in).
    """
    widths, models = problem.workload.widths, problem.models
    shared = problem.workload.vary == "lr"
    forward: list[Product] = []
    backward: list[Product] = []
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        together = layer == 0 and shared
        batch = models if models > 1 and not together else None
        rows = outputs * models if together else outputs
        forward.append(Product(rows, inputs, n, batch))
        of_layer = [Product(rows, n, inputs, batch)]
        if layer:
            of_layer.append(Product(inputs, rows, n, batch))
        backward = of_layer + backward
    return forward + backward


def candidates(wanted: Product) -> Iterator[Candidate]:
    """All ways to make one product."""
    no_or_yes = (False, True)
    for precision, a_across, b_across, transposed in product(PRECISIONS, no_or_yes, no_or_yes, no_or_yes):
        a = _operand(wanted.m, wanted.k, wanted.batch, a_across)
        b = _operand(wanted.k, wanted.p, wanted.batch, b_across)
        if transposed:
            a, b = b.mT, a.mT
        out = torch.empty(*a.shape[:-1], b.shape[-1])
        if wanted.batch is None:
            yield Candidate(precision, partial(torch.mm, a, b, out=out))
            continue
        yield Candidate(precision, partial(torch.bmm, a, b, out=out))
        singles: Any = [partial(torch.mm, *parts[:2], out=parts[2]) for parts in zip(a, b, out, strict=True)]
        yield Candidate(precision, partial(_call_all, singles))


def _call_all(calls: list[Call]) -> None:
    for call in calls:
        call()


def _operand(rows: int, columns: int, batch: int | None, across: bool) -> Tensor:
    lead = () if batch is None else (batch,)
    return torch.rand(*lead, columns, rows).mT if across else torch.rand(*lead, rows, columns)


def fastest(found: list[Candidate]) -> Candidate:
    """The candidate with the smallest best time of a few short trials, taken in turns."""
    best = [float("inf")] * len(found)
    repeats = [1] * len(found)
    for trial in range(TRIALS + 1):
        for index, candidate in enumerate(found):
            torch.set_float32_matmul_precision(candidate.precision)
            started = time.perf_counter()
            for _ in range(repeats[index]):
                candidate.call()
            seconds = (time.perf_counter() - started) / repeats[index]
            if trial:
                best[index] = min(best[index], seconds)
            else:  # the first finds how often to repeat, and warms up
                repeats[index] = max(1, int(TRIAL_SECONDS / seconds))
    return found[best.index(min(best))]


def plans_for(wanted: list[Product]) -> list[list[Candidate]]:
    """The fastest way of every product: of either precision for all of them, and of both."""
    plans: list[list[Candidate]] = [[] for _ in range(len(PRECISIONS) + 1)]
    for one in wanted:
        found = list(candidates(one))
        winners = [fastest([one for one in found if one.precision == precision]) for precision in PRECISIONS]
        for plan, winner in zip(plans, [*winners, fastest(winners)], strict=True):
            plan.append(winner)
    return plans


def run(plan: list[Candidate], *, steps: int) -> None:
    """Make all products of a plan so many times."""
    precision = None
    for _ in range(steps):
        for candidate in plan:
            if candidate.precision is not precision:
                precision = candidate.precision
                torch.set_float32_matmul_precision(precision)
            candidate.call()


def epochs(problem: Problem) -> Epochs:
    """The products of whole epochs; nothing is learnt, so there are no losses."""
    workload = problem.workload
    steps, rest = divmod(workload.rows, workload.batch_size)
    plans = plans_for(products_of(problem, workload.batch_size))
    few = max(1, min(steps * workload.epochs, 50))
    times = [float("inf")] * len(plans)
    for _ in range(TRIALS):
        for index, plan in enumerate(plans):
            started = time.perf_counter()
            run(plan, steps=few)
            times[index] = min(times[index], time.perf_counter() - started)
    whole = plans[times.index(min(times))]
    last = plans_for(products_of(problem, rest))[-1] if rest else []
    while True:
        run(whole, steps=steps * workload.epochs)
        run(last, steps=1)
        yield []
