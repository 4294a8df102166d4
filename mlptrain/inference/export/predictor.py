"""A trained network from raw rows to predictions, as one torch module that can be traced for any number of rows."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mlptrain.data import Preprocessing
from mlptrain.data.preprocessing import Standardize
from mlptrain.data.tabular import BEND, CLIP, MAX_INPUT, Category, Columns, Number
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.export.inputs import ABSENT, UNSEEN, Input, inputs_of
from mlptrain.inference.module import TrainedNetwork
from mlptrain.sources.facts import DAYS_IN, EPOCH, Column
from mlptrain.training.metrics import probabilities

_MILLISECONDS = 86_400_000  # of a day
_NAT = -(2**63)  # where numpy has no date
_TRACES = ("stack_trace", "source_fn_stack", "nn_module_stack", "torch_fn")  # of code, with paths of this machine
_EXAMPLES = 3  # rows that a trace is made with; their number stays open


class Predictor(TrainedNetwork):
    """Raw rows in, predictions out: class probabilities, (n, classes) float32, or values in the target's own unit.

    Numbers in float64 are tensors throughout, since the exporter to ONNX rounds constants to float32.

    ``forward`` takes a tensor of pixels or values, or of a table's columns a mapping of tensors (n,); ``inputs`` says
    which. What it gives is that of ``predict_proba``, and of networks without probabilities the outputs.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.inputs = inputs_of(self.experiment)
        columns = self.preprocessing.columns
        if columns is None:
            self.reader: nn.Module = _Rows(self.preprocessing)
        else:
            self.reader = _Table(columns, self.experiment.facts.columns, self.inputs)
        self.register_buffer("divisor", torch.tensor(self.temperature, dtype=torch.float64))
        self.requires_grad_(False)

    @property
    def output(self) -> str:
        """What the result is called."""
        if self.gives_probabilities:
            return "probabilities"
        return "values" if self.experiment.facts.is_regression else "outputs"

    def forward(self, rows: Any) -> Tensor:
        """Predictions (n, outputs) float32."""
        outputs = super().forward(self.reader(rows))
        if not self.gives_probabilities:
            return outputs
        return probabilities(
            outputs, self.get_buffer("divisor"), multi_label=self.experiment.facts.is_multi_label
        ).float()

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """The computation as torch.export has it, for any number of rows; traced once."""
        example = self._example()
        free = {0: torch.export.Dim("n", min=1)}
        shapes = dict.fromkeys(example, free) if isinstance(example, dict) else free
        with quiet():
            self(example)  # what is computed once and kept is then made of numbers rather than traced
            program = torch.export.export(self, (example,), dynamic_shapes=(shapes,), strict=False)
        program.example_inputs = None  # which torch would save as a pickle
        for node in program.graph.nodes:
            for trace in _TRACES:
                node.meta.pop(trace, None)
        return program

    def _example(self) -> Any:
        """Rows of zeros."""
        dtypes = [torch.int64 if one.is_text else getattr(torch, one.dtype) for one in self.inputs]
        pairs = zip(self.inputs, dtypes, strict=True)
        tensors = {one.name: torch.zeros(_EXAMPLES, *one.shape, dtype=dtype) for one, dtype in pairs}
        return tensors if self.preprocessing.columns is not None else next(iter(tensors.values()))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's exporters log and warn of their own insides, which takes them most of their time."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _Rows(nn.Module):
    """Pixels or values (n, …) as scaled inputs (n, n_features)."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        for place, one in enumerate(preprocessing.transforms):
            divisor = 1.0 if isinstance(one, Standardize) else one.divisor
            for name, value in (("divisor", divisor), ("mean", one.mean), ("std", one.std)):
                self.register_buffer(f"{name}_{place}", torch.tensor(value, dtype=torch.float32))
        self.transforms = len(preprocessing.transforms)

    def forward(self, rows: Tensor) -> Tensor:
        x = rows.flatten(1).float()
        for place in range(self.transforms):
            divisor, mean, std = (self.get_buffer(f"{name}_{place}") for name in ("divisor", "mean", "std"))
            x = (x / divisor - mean) / std
        return x


class _Table(nn.Module):
    """A table's columns, each (n,), as inputs (n, inputs): what ``Columns.apply`` does to rows that are stored.

    All numbers are computed at once, since what a trace costs is the number of its operations.
    """

    def __init__(self, columns: Columns, of: Sequence[Column], inputs: Sequence[Input]) -> None:
        super().__init__()
        self.bend, self.one_hot = columns.bend, columns.one_hot
        places = [place for place, one in enumerate(columns.of) if isinstance(one, Number)]
        plain, parts = ([place for place in places if bool(of[place].part) is dated] for dated in (False, True))
        self.numbers = [of[place].origin for place in plain]
        self.parts = _Parts([of[place] for place in parts]) if parts else None
        numbers = [one for one in (columns.of[place] for place in (*plain, *parts)) if isinstance(one, Number)]
        for name in ("fill", "center", "scale"):
            self.register_buffer(name, torch.tensor([getattr(one, name) for one in numbers], dtype=torch.float64))
        self.ranks = _Ranks([one.quantiles for one in numbers]) if any(one.quantiles for one in numbers) else None
        self.normal = NormalQuantile()
        starts = [columns.starts[place] for place in (*plain, *parts)]
        flagged = [index for index, place in enumerate((*plain, *parts)) if columns.indicators[place]]
        self.register_buffer("flagged", torch.tensor(flagged, dtype=torch.int64))
        order = [*starts, *(starts[index] + 1 for index in flagged)]
        read = {one.name: one for one in inputs}
        self.categories: list[Input] = []
        for place, one in enumerate(columns.of):
            if isinstance(one, Category):
                width = _width(columns, place) if columns.one_hot else 1
                self._add(read[of[place].origin], one, width)
                order += range(columns.starts[place], columns.starts[place] + width)
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order)] = torch.arange(len(order))
        self.is_ordered = order == sorted(order)
        self.register_buffer("back", back)

    def _add(self, read: Input, one: Category, width: int) -> None:
        """A category that becomes so many inputs."""
        index = len(self.categories)
        self.categories.append(read)
        self.register_buffer(f"slots_{index}", torch.tensor([one.missing, one.other, *one.slots]))  # from code −2 on
        self.register_buffer(f"places_{index}", torch.arange(width))
        if not read.is_text:
            levels = [float(level) for level in read.categories]
            self.register_buffer(f"levels_{index}", torch.tensor(levels, dtype=torch.float64))

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        parts = self._numbers(columns) if len(self.get_buffer("fill")) else []
        for index, one in enumerate(self.categories):
            codes = columns[one.name] if one.is_text else self._codes(index, columns[one.name])
            slots = self.get_buffer(f"slots_{index}").index_select(0, codes - ABSENT).unsqueeze(1)
            parts.append((slots == self.get_buffer(f"places_{index}")).float() if self.one_hot else slots.float())
        x = torch.cat(parts, dim=1)
        return x if self.is_ordered else x.index_select(1, self.get_buffer("back"))

    def _numbers(self, columns: dict[str, Tensor]) -> list[Tensor]:
        """All numbers (n, numbers), and which were missing (n, flagged), where that is read."""
        stored = [torch.stack([columns[name] for name in self.numbers], dim=1)] if self.numbers else []
        if self.parts is not None:
            stored.append(self.parts(columns))
        x = torch.cat(stored, dim=1).double()
        missing = x.isnan()
        x = torch.where(missing, self.get_buffer("fill"), x)
        if self.ranks is not None:
            x = self.normal(self.ranks(x))
        else:
            x = (x - self.get_buffer("center")) / self.get_buffer("scale")
            x = x / (1 + (x / BEND) ** 2).sqrt() if self.bend else x
        found = [x.clamp(-MAX_INPUT, MAX_INPUT).float()]
        if len(self.get_buffer("flagged")):
            found.append(missing.index_select(1, self.get_buffer("flagged")).float())
        return found

    def _codes(self, index: int, values: Tensor) -> Tensor:
        """Positions among levels that are numbers, (n,)."""
        same = values.unsqueeze(1) == self.get_buffer(f"levels_{index}")
        codes = torch.where(same.any(dim=1), same.float().argmax(dim=1), UNSEEN)
        return torch.where(values.isnan(), ABSENT, codes)


def _width(columns: Columns, place: int) -> int:
    """The inputs that a stored column becomes."""
    later = [start for start in columns.starts if start > columns.starts[place]]
    return min([*later, columns.inputs]) - columns.starts[place]


class _Parts(nn.Module):
    """What is stored of dates, (n, parts) float32: days, or where in their year, week or day these lie."""

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self.dates = list(dict.fromkeys(column.origin for column in columns))
        cycles, waves = zip(*([*column.part.split("_"), ""][:2] for column in columns), strict=True)
        self.register_buffer("origin", torch.tensor([self.dates.index(column.origin) for column in columns]))
        self.register_buffer(
            "days_in", torch.tensor([DAYS_IN.get(cycle, 1.0) for cycle in cycles], dtype=torch.float64)
        )
        self.register_buffer("turn", torch.tensor(2 * math.pi, dtype=torch.float64))
        self.register_buffer("is_day", torch.tensor([not wave for wave in waves]))
        self.register_buffer("is_sine", torch.tensor([wave == "sin" for wave in waves]))

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        values = torch.stack([columns[name] for name in self.dates], dim=1)
        days = torch.where(values == _NAT, torch.nan, values.double() / _MILLISECONDS - EPOCH)
        days = days.index_select(1, self.get_buffer("origin"))
        angle = self.get_buffer("turn") * days / self.get_buffer("days_in")
        waves = torch.where(self.get_buffer("is_sine"), angle.sin(), angle.cos())
        return torch.where(self.get_buffer("is_day"), days, waves).float()


class _Ranks(nn.Module):
    """Ranks (n, columns) among the quantiles of each column, within (0, 1): the mean of ``numpy.interp`` both ways."""

    def __init__(self, quantiles: Sequence[Sequence[float]]) -> None:
        super().__init__()
        edges = torch.tensor(quantiles, dtype=torch.float64)
        columns, count = edges.shape
        shares = torch.linspace(0, 1, count, dtype=torch.float64).expand_as(edges)
        width = edges.diff(dim=1)
        slopes = torch.where(width > 0, shares.diff(dim=1) / torch.where(width > 0, width, 1.0), 0.0)
        first = (edges.unsqueeze(2) == edges.unsqueeze(1)).int().argmax(dim=2)  # of equal quantiles
        self.steps = [1 << bit for bit in reversed(range(count.bit_length()))]
        size = 2 * self.steps[0]
        for name, values in (
            ("edges", torch.nn.functional.pad(edges, (0, size - count), value=torch.inf)),
            ("shares", torch.nn.functional.pad(shares, (0, size - count))),
            ("firsts", torch.nn.functional.pad(shares.gather(1, first), (0, size - count))),
            ("slopes", torch.nn.functional.pad(slopes, (0, size - count + 1))),
        ):
            self.register_buffer(name, values.flatten())
        self.register_buffer("offset", torch.arange(columns) * size)
        self.register_buffer("bounds", torch.tensor([CLIP, 1 - CLIP], dtype=torch.float64))
        self.register_buffer("least", edges[:, 0].clone())
        self.register_buffer("most", edges[:, -1].clone())

    def forward(self, x: Tensor) -> Tensor:
        least, most = self.get_buffer("least"), self.get_buffer("most")
        within = torch.minimum(torch.maximum(x, least), most)
        place = self.get_buffer("offset").expand_as(x)
        for step in self.steps:  # to the last quantile that is not above x, by halves
            further = place + step
            place = torch.where(self._at("edges", further) <= within, further, place)
        from_edge = within - self._at("edges", place)
        up = self._at("shares", place) + self._at("slopes", place) * from_edge
        ranks = (up + torch.where(from_edge == 0, self._at("firsts", place), up)) / 2
        low, high = self.get_buffer("bounds").unbind()
        ranks = torch.where(x + low > most, 1.0, ranks)
        return torch.where(x - low < least, 0.0, ranks).clamp(low, high)

    def _at(self, name: str, place: Tensor) -> Tensor:
        return self.get_buffer(name)[place]


# Wichura, Algorithm AS 241: the percentage points of the normal distribution (1988), PPND16: numerators and
# denominators of its three ranges, from the highest power down, to some 1e-16.
_CENTRAL = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_OUTER = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


class NormalQuantile(nn.Module):
    """The quantile of N(0, 1) at p, float64 within (0, 1), in elementary operations, which ONNX has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ratios", torch.tensor([_CENTRAL, _MIDDLE, _OUTER], dtype=torch.float64))
        self.register_buffer("points", torch.tensor([0.425, 0.425**2, 1.6], dtype=torch.float64))

    def forward(self, p: Tensor) -> Tensor:
        """The quantiles, of the shape of p (…)."""
        central, middle, outer = self.get_buffer("ratios").unbind()
        near, near_squared, start = self.get_buffer("points").unbind()
        q = p - 0.5
        tail = torch.sqrt(-torch.log(torch.minimum(p, 1 - p)))
        far = torch.where(tail <= 5, _ratio(middle, tail - start), _ratio(outer, tail - 5))
        return torch.where(q.abs() <= near, q * _ratio(central, near_squared - q * q), torch.where(q < 0, -far, far))


def _ratio(of: Tensor, r: Tensor) -> Tensor:
    """One polynomial over another, by Horner: their coefficients (2, powers), from the highest down."""
    value, *rest = of.view(2, -1, *(1 for _ in r.shape)).unbind(dim=1)
    for coefficient in rest:
        value = value * r + coefficient
    above, below = value.unbind()
    return above / below
