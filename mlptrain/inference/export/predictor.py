"""A trained network from raw rows to predictions, as one torch module that can be traced for any number of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlptrain.data import Preprocessing
from mlptrain.data.preprocessing import Standardize
from mlptrain.data.tabular import BEND, CLIP, MAX_INPUT, Category, Columns, Number
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.export.inputs import ABSENT, UNSEEN, Input, inputs_of
from mlptrain.inference.module import TrainedNetwork
from mlptrain.sources.facts import Column
from mlptrain.sources.tables.encode import DAYS_IN, EPOCH
from mlptrain.training.metrics import probabilities

_MILLISECONDS = 86_400_000  # of a day
_NAT = -(2**63)  # where numpy has no date
_TRACES = ("stack_trace", "source_fn_stack", "nn_module_stack", "torch_fn")  # of code, with paths of this machine
_EXAMPLES = 3  # rows that a trace is made with; their number stays open


class Predictor(TrainedNetwork):
    """Raw rows in, predictions out: class probabilities, (n, classes) float32, or values in the target's own unit.

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
        return probabilities(outputs, self.temperature, multi_label=self.experiment.facts.is_multi_label).float()

    def program(self) -> torch.export.ExportedProgram:
        """The computation as torch.export has it, for any number of rows."""
        example = self._example()
        self(example)  # what is computed once and kept is then made of numbers rather than traced
        free = {0: torch.export.Dim("n", min=1)}
        shapes = {name: free for name in example} if isinstance(example, dict) else free
        program = torch.export.export(self, (example,), dynamic_shapes=(shapes,), strict=False)
        program.example_inputs = None  # which torch would save as a pickle
        for node in program.graph.nodes:
            for trace in _TRACES:
                node.meta.pop(trace, None)
        return program

    def _example(self) -> Any:
        """Rows of zeros."""
        tensors = {
            one.name: torch.zeros(
                _EXAMPLES, *one.shape, dtype=torch.int64 if one.is_text else getattr(torch, one.dtype)
            )
            for one in self.inputs
        }
        return tensors if self.preprocessing.columns is not None else next(iter(tensors.values()))


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
    """A table's columns, each (n,), as inputs (n, inputs): what ``Columns.apply`` does to rows that are stored."""

    def __init__(self, columns: Columns, of: Sequence[Column], inputs: Sequence[Input]) -> None:
        super().__init__()
        self.bend, self.one_hot = columns.bend, columns.one_hot
        read = {one.name: one for one in inputs}
        numbers = [place for place, one in enumerate(columns.of) if isinstance(one, Number)]
        flagged = [index for index, place in enumerate(numbers) if columns.indicators[place]]
        self.numbers = [of[place] for place in numbers]
        self.categories: list[Input] = []
        order = [columns.starts[place] for place in numbers] + [columns.starts[numbers[i]] + 1 for i in flagged]
        for name in ("fill", "center", "scale"):
            values = [getattr(columns.of[place], name) for place in numbers]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.register_buffer("flagged", torch.tensor(flagged, dtype=torch.int64))
        self.quantiles = [_Quantiles(one.quantiles) for one in columns.of if isinstance(one, Number) and one.quantiles]
        for place, one in enumerate(columns.of):
            if isinstance(one, Category):
                index = len(self.categories)
                found = read[of[place].origin]
                self.categories.append(found)
                # Behind the codes −2 and −1 stand the levels.
                self.register_buffer(f"slots_{index}", torch.tensor([one.missing, one.other, *one.slots]))
                if not found.is_text:
                    levels = torch.tensor([float(level) for level in found.categories], dtype=torch.float64)
                    self.register_buffer(f"levels_{index}", levels)
                start = columns.starts[place]
                width = _width(columns, place) if columns.one_hot else 1
                self.register_buffer(f"places_{index}", torch.arange(width))
                order += range(start, start + width)
        self.quantiles = nn.ModuleList(self.quantiles)
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order)] = torch.arange(len(order))
        self.is_ordered = bool((back == torch.arange(len(order))).all())
        self.register_buffer("back", back)

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        parts = self._numbers(columns) if self.numbers else []
        for index, one in enumerate(self.categories):
            slots = self.get_buffer(f"slots_{index}")[self._codes(index, one, columns[one.name]) - ABSENT].unsqueeze(1)
            parts.append((slots == self.get_buffer(f"places_{index}")).float() if self.one_hot else slots.float())
        x = torch.cat(parts, dim=1)
        return x if self.is_ordered else x.index_select(1, self.get_buffer("back"))

    def _numbers(self, columns: dict[str, Tensor]) -> list[Tensor]:
        stored = [_stored(columns[column.origin], column.part) for column in self.numbers]
        x = torch.stack(stored, dim=1).double()
        missing = x.isnan()
        x = torch.where(missing, self.get_buffer("fill"), x)
        if len(self.quantiles):
            x = torch.stack([ranks(x[:, place]) for place, ranks in enumerate(self.quantiles)], dim=1)
        else:
            x = (x - self.get_buffer("center")) / self.get_buffer("scale")
            x = x / (1 + (x / BEND) ** 2).sqrt() if self.bend else x
        found = [x.clamp(-MAX_INPUT, MAX_INPUT).float()]
        if len(self.get_buffer("flagged")):
            found.append(missing.index_select(1, self.get_buffer("flagged")).float())
        return found

    def _codes(self, index: int, one: Input, values: Tensor) -> Tensor:
        """Positions among the levels, (n,)."""
        if one.is_text:
            return values
        same = values.unsqueeze(1) == self.get_buffer(f"levels_{index}")
        codes = torch.where(same.any(dim=1), same.float().argmax(dim=1), UNSEEN)
        return torch.where(values.isnan(), ABSENT, codes)


def _width(columns: Columns, place: int) -> int:
    """The inputs that a stored column becomes."""
    later = [start for start in columns.starts if start > columns.starts[place]]
    return min([*later, columns.inputs]) - columns.starts[place]


def _stored(values: Tensor, part: str) -> Tensor:
    """A column as the stored matrix has it, float32: numbers as they are, of dates the part."""
    if not part:
        return values
    days = values.double() / _MILLISECONDS - EPOCH
    if part != "days":
        cycle, wave = part.split("_")
        angle = 2 * math.pi * days / DAYS_IN[cycle]
        days = torch.sin(angle) if wave == "sin" else torch.cos(angle)
    return torch.where(values == _NAT, torch.nan, days).float()


class _Quantiles(nn.Module):
    """``numpy.interp`` among the quantiles of a column, from below and from above, as quantiles of N(0, 1)."""

    def __init__(self, quantiles: Sequence[float]) -> None:
        super().__init__()
        edges = torch.tensor(quantiles, dtype=torch.float64)
        self.register_buffer("edges", edges)
        self.register_buffer("shares", torch.linspace(0, 1, len(edges), dtype=torch.float64))
        self.last = len(edges) - 1
        self.least, self.most = float(edges[0]), float(edges[-1])

    def forward(self, x: Tensor) -> Tensor:
        edges = self.get_buffer("edges")
        within = x.clamp(self.least, self.most)
        at = within.unsqueeze(1)
        # Of several equal quantiles x lies behind the last one, and before the first one.
        up = self._between((at >= edges).sum(dim=1) - 1, within)
        down = self._between((at > edges).sum(dim=1) - 1, within)
        ranks = (up + down) / 2
        ranks = torch.where(x + CLIP > self.most, 1.0, ranks)
        ranks = torch.where(x - CLIP < self.least, 0.0, ranks)
        return normal_quantile(ranks.clamp(CLIP, 1 - CLIP))

    def _between(self, place: Tensor, x: Tensor) -> Tensor:
        """The share at x between the quantile at ``place`` and the next one."""
        edges, shares = self.get_buffer("edges"), self.get_buffer("shares")
        low = place.clamp(0, self.last - 1)
        start, stop = edges[low], edges[low + 1]
        width = stop - start
        share = torch.where(width > 0, (x - start) / torch.where(width > 0, width, 1.0), 1.0)
        return shares[low] + (shares[low + 1] - shares[low]) * share


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


def normal_quantile(p: Tensor) -> Tensor:
    """The quantile of N(0, 1) at p, float64 within (0, 1), in elementary operations, which ONNX has."""
    q = p - 0.5
    tail = torch.sqrt(-torch.log(torch.minimum(p, 1 - p)))
    far = torch.where(tail <= 5, _ratio(_MIDDLE, tail - 1.6), _ratio(_OUTER, tail - 5))
    return torch.where(q.abs() <= 0.425, q * _ratio(_CENTRAL, 0.180625 - q * q), torch.where(q < 0, -far, far))


def _ratio(of: tuple[tuple[float, ...], tuple[float, ...]], r: Tensor) -> Tensor:
    """One polynomial over another, by Horner."""
    above, below = (torch.full_like(r, first[0]) for first in of)
    for a, b in zip(of[0][1:], of[1][1:], strict=True):
        above, below = above * r + a, below * r + b
    return above / below
