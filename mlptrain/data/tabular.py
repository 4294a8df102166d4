"""The columns of a table as inputs: fitted on the training rows, applied to any."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mlptrain.errors import DataError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.table import Block, ConstantFill, TableData
from mlptrain.system.jsonfiles import Figure, Positive, Record
from mlptrain.system.memory import fresh
from mlptrain.system.threads import Threads

# Numbers that are prepared at once, in float64, which the cache holds. Of more, torch's threads would wait for each
# other after each of many short operations: three times the time where other programs use the cores.
_CHUNK = 2**15
_MANY = 100_000  # rows that are worth threads
_FITTED = 1 << 25  # numbers that are laid out by column at once: 134 MB
CLIP = 1e-7  # as scikit-learn's QuantileTransformer: where the normal distribution ends, at ±5.2
MAX_INPUT = 1e30  # where numbers far outside of those of training are cut off, so that products stay finite
BEND = 3.0  # where robust_clip ends

A = TypeVar("A")
B = TypeVar("B")
Numbers = Annotated[tuple[Figure, ...], Field(strict=False)]


class Number(Record):
    """A numeric column: missing ones become ``fill``; x then (x − center) / scale.

    ``quantiles`` are those of the training rows at equal distances, where x becomes the normal distribution's instead.
    """

    fill: Figure
    center: Figure = 0.0
    scale: Positive = 1.0
    quantiles: Numbers = ()


class Category(Record):
    """A categorical column: the slot of each level in the order of the facts, −1 for none, of others and of missing."""

    slots: Annotated[tuple[int, ...], Field(strict=False)]
    other: int
    missing: int


class Columns(Record):
    """Stored columns (n, columns) as inputs (n, inputs). ``bend``: numbers are bent to ±3, as robust_clip does."""

    name: Literal["columns"] = "columns"
    of: Annotated[tuple[Number | Category, ...], Field(strict=False)]
    starts: Annotated[tuple[int, ...], Field(strict=False)]
    indicators: Annotated[tuple[bool, ...], Field(strict=False)]
    one_hot: bool
    bend: bool
    inputs: Annotated[int, Field(ge=1)]

    @classmethod
    def fit(
        cls,
        data: TableData,
        rows: int,
        stored: Callable[[int], Iterable[Tensor]],
        facts: DataFacts,
        *,
        threads: int = 0,
    ) -> Columns:
        """From stored training rows, of which ``stored`` gives so many columns at a time, (rows, some).

        They are fitted in ``threads``, 0 for as many as pay, with the same outcome. Raises DataError for numbers that
        cannot be scaled.
        """
        blocks = list(data.blocks(facts))
        threads = threads or _threads(rows)
        at_once = max(threads, _FITTED // max(1, rows))
        # New memory takes longer than sums, and what is not written to costs nothing.
        scratches = [fresh((rows,), np.float64) for _ in range(min(threads, len(blocks)))]
        of: list[Number | Category] = []
        for x in stored(at_once):

            def fitted(place: int, x: Tensor = x, start: int = len(of)) -> Number | Category:
                block, values = blocks[start + place], x[:, place]
                if block.column.kind == "categorical":
                    return _category(data, block, values)
                scratch = scratches.pop()
                try:
                    return _number(data, block, values, scratch)
                finally:
                    scratches.append(scratch)

            of += _mapped(fitted, range(x.shape[1]), threads)
        return cls(
            of=tuple(of),
            starts=tuple(block.start for block in blocks),
            indicators=tuple(block.indicator for block in blocks),
            one_hot=data.categorical.encoding == "one_hot",
            bend=data.numeric.scaling == "robust_clip",
            inputs=data.layout(facts).width,
        )

    def apply(self, x: Tensor) -> Tensor:
        """Inputs (n, inputs) float32 of stored rows (n, columns), in parts that bound the memory."""
        out = torch.empty(len(x), self.inputs, device=x.device)
        numbers = _Numbers.of(self, x.device)
        categories = [(place, one) for place, one in enumerate(self.of) if isinstance(one, Category)]
        rows = max(1, _CHUNK // max(x.shape[1], self.inputs))

        def write(part: tuple[Tensor, Tensor]) -> None:
            some, into = part
            if categories and self.one_hot:
                into.zero_()
            if numbers.places:
                numbers.write(some, into)
            for place, one in categories:
                self._write_category(some[:, place], one, self.starts[place], into)

        parts = zip(torch.split(x, rows), torch.split(out, rows), strict=True)
        deque(_mapped(write, parts, _threads(len(x)) if x.device.type == "cpu" else 1), maxlen=0)
        return out

    def _write_category(self, x: Tensor, one: Category, start: int, out: Tensor) -> None:
        # Behind the levels stand those that training has not seen, whose code is −1, and missing ones.
        table = torch.tensor([*one.slots, one.other, one.missing], device=x.device)
        codes = torch.where(
            x.isnan(), x.new_tensor(len(one.slots) + 1.0), torch.where(x < 0, x.new_tensor(float(len(one.slots))), x)
        )
        slots = table[codes.long()]
        if self.one_hot:
            rows = (slots >= 0).nonzero().flatten()
            out[rows, start + slots[rows]] = 1.0
        else:
            out[:, start] = slots.float()

    def described(self) -> str:
        """In words."""
        numbers = sum(isinstance(one, Number) for one in self.of)
        return f"{numbers:,} numeric and {len(self.of) - numbers:,} categorical columns as {self.inputs:,} inputs"


@dataclass(frozen=True)
class _Numbers:
    """The numeric columns among ``Columns``: where they are read and written, and their numbers as tensors (k,)."""

    places: list[int]
    starts: list[int]
    flagged: list[int]  # those with an indicator, among the places
    quantiles: list[tuple[float, ...]]  # none where no column has some
    fill: Tensor
    center: Tensor
    scale: Tensor
    bend: bool

    @classmethod
    def of(cls, columns: Columns, device: torch.device) -> _Numbers:
        found = [(place, one) for place, one in enumerate(columns.of) if isinstance(one, Number)]
        places = [place for place, _ in found]
        quantiles = [one.quantiles for _, one in found]
        fill, center, scale = (
            torch.tensor([getattr(one, name) for _, one in found], dtype=torch.float64, device=device)
            for name in ("fill", "center", "scale")
        )
        return cls(
            places=places,
            starts=[columns.starts[place] for place in places],
            flagged=[column for column, place in enumerate(places) if columns.indicators[place]],
            quantiles=quantiles if any(quantiles) else [],
            fill=fill,
            center=center,
            scale=scale,
            bend=columns.bend,
        )

    def write(self, x: Tensor, out: Tensor) -> None:
        """Some stored rows (n, columns) into their inputs (n, inputs)."""
        x = x[:, _run(self.places)]
        missing = x.isnan()
        x = x.double()
        if missing.any():
            x = torch.where(missing, self.fill, x)
        if self.quantiles:
            for column, quantiles in enumerate(self.quantiles):
                x[:, column] = _to_normal(x[:, column], quantiles)
        else:
            x.sub_(self.center).div_(self.scale)
            if self.bend:
                x.div_((1 + (x / BEND) ** 2).sqrt())
        starts = _run(self.starts)
        x.clamp_(-MAX_INPUT, MAX_INPUT)
        out[:, starts] = x if isinstance(starts, slice) else x.float()  # a slice is written without a copy
        if self.flagged:
            out[:, [self.starts[column] + 1 for column in self.flagged]] = missing[:, self.flagged].float()


def _threads(rows: int) -> int:
    return torch.get_num_threads() if rows >= _MANY else 1


def _mapped(work: Callable[[A], B], parts: Iterable[A], threads: int) -> Iterable[B]:
    """``map`` in threads, which NumPy and torch let run at the same time; results and errors come in the same order."""
    if threads == 1:
        return map(work, parts)
    with Threads(threads) as pool:
        return pool.map(work, parts)


def _run(places: list[int]) -> list[int] | slice:
    """Neighbouring places as a slice, which is read and written in half the time."""
    start, stop = places[0], places[-1] + 1
    return slice(start, stop) if places == list(range(start, stop)) else places


def _number(data: TableData, block: Block, x: Tensor, scratch: np.ndarray) -> Number:
    """``scratch`` is memory for as many float64 as there are rows."""
    stored = x.numpy()
    missing = np.isnan(stored)
    some_missing = bool(missing.any())
    present = stored[~missing] if some_missing else stored
    name, wish = block.column.name, data.numeric
    if not len(present):
        raise DataError(f"no training row has a value in column '{name}'; drop it with data.columns")
    if isinstance(wish.missing, ConstantFill):
        fill = wish.missing.constant
    elif wish.missing == "mean" and not _is_constant(present):  # of equal values a mean is rounded
        fill = _mean(present)
    else:
        fill = _median(present, scratch)
    filled = scratch
    if wish.scaling == "standard":
        is_constant = _is_constant(present) and (not some_missing or fill == present[0])
        center, scale = (float(present[0]), 1.0) if is_constant else _standard(stored, fill)
    else:
        filled[:] = stored
        if some_missing:
            filled[missing] = fill
        center, scale = _center_and_scale(filled, wish.scaling)
    if not (abs(center) + scale < 1e38):
        raise DataError(f"column '{name}' has numbers too large to be scaled: center {center:g}, scale {scale:g}")
    quantiles: tuple[float, ...] = ()
    if wish.scaling == "quantile":
        count = max(10, min(1000, len(filled) // 30))
        quantiles = tuple(np.maximum.accumulate(np.quantile(filled, np.linspace(0, 1, count))).tolist())
    return Number(fill=fill, center=center, scale=scale, quantiles=quantiles)


def _standard(values: np.ndarray, fill: float) -> tuple[float, float]:
    """Mean and population standard deviation of float32 with ``fill`` for missing ones, as of all in float64."""

    def filled(some: np.ndarray) -> np.ndarray:
        np.copyto(some, fill, where=np.isnan(some))
        return some

    def squared(some: np.ndarray) -> np.ndarray:
        np.subtract(filled(some), center, out=some)
        np.square(some, out=some)
        return some

    center = _mean(values, filled)
    scale = math.sqrt(_mean(values, squared))
    return center, scale if scale > 0 else 1.0


def _mean(values: np.ndarray, of: Callable[[np.ndarray], np.ndarray] = lambda some: some) -> float:
    """The mean of what ``of`` makes of float32 in float64, in place: to the bit ``mean`` of all of it at once.

    Parts that the cache holds are halves of halves, as NumPy adds up neighbouring numbers.
    """

    def total(some: np.ndarray) -> float:
        if len(some) <= _CHUNK:
            return float(of(some.astype(np.float64)).sum())
        half = len(some) // 2 // 8 * 8
        return total(some[:half]) + total(some[half:])

    return total(values) / len(values)


def _is_constant(values: np.ndarray) -> bool:
    return bool(values[0] == values[-1] and values.min() == values.max())


def _median(values: np.ndarray, scratch: np.ndarray) -> float:
    """The median of float32, (n,), as of float64: their mean is taken there."""
    half = len(values) // 2
    parted = scratch.view(np.float32)[: len(values)]
    parted[:] = values
    parted.partition(half)
    high = float(parted[half])
    return high if len(values) % 2 else (float(parted[:half].max()) + high) / 2


def _center_and_scale(values: np.ndarray, scaling: str) -> tuple[float, float]:
    """What is subtracted and divided by; a constant column is divided by 1."""
    if scaling != "none" and _is_constant(values):
        return float(values[0]), 1.0
    if scaling == "minmax":
        center, scale = float(values.min()), float(values.max() - values.min())
    elif scaling in ("robust", "robust_clip"):
        low, center, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
        scale = high - low
        if scaling == "robust_clip" and scale == 0:  # as Holzmüller et al. (2024)
            scale = float(values.max() - values.min()) / 2
    else:
        return 0.0, 1.0
    return center, scale if scale > 0 else 1.0


def _to_normal(x: Tensor, quantiles: tuple[float, ...]) -> Tensor:
    """Ranks among the quantiles, where there are ties their middle, as quantiles of N(0, 1).

    As scikit-learn's QuantileTransformer: the lowest quantile and what is below it, also where several are equal,
    become −5.2, the highest and what is above it 5.2.
    """
    edges = np.array(quantiles)
    references = np.linspace(0, 1, len(edges))
    values = x.numpy()
    up = np.interp(values, edges, references)
    down = -np.interp(-values, -edges[::-1], -references[::-1])
    ranks = (up + down) / 2
    ranks[values + CLIP > edges[-1]] = 1
    ranks[values - CLIP < edges[0]] = 0
    normal: Tensor = torch.special.ndtri(torch.from_numpy(ranks).clamp_(CLIP, 1 - CLIP))
    return normal


def _category(data: TableData, block: Block, x: Tensor) -> Category:
    """Slots by frequency in the training rows, those of equally frequent levels in their order."""
    levels, wish = len(block.column.categories), data.categorical
    codes = x[~x.isnan()].long()
    counts = codes.bincount(minlength=levels)
    frequent = (counts >= wish.min_frequency).nonzero().flatten().tolist()
    places = block.slots - 2
    if len(frequent) > places:
        frequent = sorted(sorted(frequent, key=lambda level: (-int(counts[level]), level))[:places])
    other, missing = places, places + 1
    infrequent = int((counts > 0).sum()) > len(frequent)
    slots = [other if infrequent else -1] * levels
    for slot, level in enumerate(frequent):
        slots[level] = slot
    return Category(
        slots=tuple(slots), other=other if infrequent else -1, missing=missing if len(codes) < len(x) else -1
    )
