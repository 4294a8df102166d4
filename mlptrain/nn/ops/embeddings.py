"""What comes before the first product: numbers and categories become vectors that are learnt.

Every numeric column has parameters of its own. They are computed with the examples in columns, (columns, …, n), in
which a layer of its own for every column is one batched product and what comes out is contiguous.
"""

# ruff: noqa: D102, ARG002 – the base class describes the methods, and few of them read every argument

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mlptrain.nn.ops.base import Call, Calls, Site
from mlptrain.spec import inputs
from mlptrain.spec.base import Section
from mlptrain.spec.inputs import Embeddings

Named = Mapping[str, Tensor]


class NumericEmbedding(ABC):
    """From every number to a vector of ``section.size`` numbers.

    ``numpy`` is ``parts`` in lines of NumPy that change v: from (n, columns, 1) to (n, columns, parts); {names} are the
    parameters and statistics. ``keeps_numbers``: every vector starts with the number itself.
    """

    numpy: ClassVar[tuple[str, ...]]
    keeps_numbers: ClassVar[bool] = False

    def __init__(self, section: Any) -> None:
        self.section = section

    def __call__(self, x: Tensor, own: Named) -> Tensor:
        """(columns, width, n) for numbers x (columns, n) and the parameters and statistics by their names."""
        return self.finish(self.before_relu(x, own), x)

    @abstractmethod
    def parts(self, x: Tensor, own: Named) -> Tensor:
        """What the linear layer of every column reads, (columns, parts, n)."""

    def before_relu(self, x: Tensor, own: Named) -> Tensor:
        """What the linear layers give, (columns, size, n)."""
        return torch.baddbmm(own["numeric_bias"].unsqueeze(2), own["numeric_weight"], self.parts(x, own))

    def finish(self, z: Tensor, x: Tensor) -> Tensor:
        """From there to the vectors."""
        return z.relu() if self.section.relu else z

    @abstractmethod
    def write_parts(self, x: Tensor, own: Named, out: Tensor) -> None:
        """``parts`` of several models into ``out`` (models, columns, parts, n), for x (models, columns, n)."""

    def parts_backward(  # noqa: B027 – nothing to do where the parts are made with nothing that is learnt
        self, x: Tensor, own: Named, parts: Tensor, upstream: Tensor, gradients: Named
    ) -> None:
        """Write the gradients of what the parts are made with; these and ``upstream``, theirs, may be overwritten."""

    def compiled(self, site: Site) -> Calls:
        """The compiled form for x (models, columns, n) in ``site.z``; y and delta are (models, columns·width, n)."""
        own, gradients, x = site.parameters, site.gradients, site.z
        weight, bias = own["numeric_weight"], own["numeric_bias"]
        models, columns, size, count = weight.shape
        n = x.shape[2]
        parts, of_parts = (site.buffer(name, models, columns, count, n) for name in ("parts", "of_parts"))
        z, of_z = (site.buffer(name, models, columns, size, n) for name in ("vectors", "of_vectors"))
        of_weight = site.buffer("of_weight", *weight.shape)
        y, delta = (tensor.view(models, columns, -1, n) for tensor in (site.y, site.delta))
        learns_parts = len(self.section.parameter_shapes(columns)) > 2

        def forward() -> None:
            self.write_parts(x, own, parts)
            torch.bmm(weight.reshape(-1, size, count), parts.flatten(0, 1), out=z.flatten(0, 1))
            z.add_(bias.unsqueeze(3))
            if self.has_kink:
                z.relu_()
            y[:, :, -size:].copy_(z)
            if y.shape[2] > size:
                y[:, :, 0].copy_(x)

        def backward() -> None:
            of_z.copy_(delta[:, :, -size:])
            if self.has_kink:
                torch.ops.aten.threshold_backward.grad_input(of_z, z, 0, grad_input=of_z)
            torch.bmm(of_z.flatten(0, 1), parts.flatten(0, 1).mT, out=of_weight.flatten(0, 1))
            gradients["numeric_weight"].copy_(of_weight)
            torch.sum(of_z, dim=3, out=gradients["numeric_bias"])
            if learns_parts:
                by_parts = weight.reshape(-1, size, count).mT
                torch.bmm(by_parts, of_z.flatten(0, 1), out=of_parts.flatten(0, 1))
                self.parts_backward(x, own, parts, of_parts, gradients)

        return Calls([forward], [backward])

    @property
    def has_kink(self) -> bool:
        """Whether the vectors have a kink where the linear layers give 0."""
        return bool(self.section.relu)

    def initialise_(self, own: Named, generator: torch.Generator) -> None:
        """Draw what is learnt, in place: what is the embedding's own, and linear layers as torch.nn.Linear."""
        for name in ("numeric_weight", "numeric_bias"):
            bound = 1 / math.sqrt(own["numeric_weight"].shape[2])
            own[name].copy_(torch.empty(own[name].shape).uniform_(-bound, bound, generator=generator))

    def fit_(self, own: Named, x: Tensor) -> None:  # noqa: B027 – most have none
        """Fit the statistics to the training rows' numbers x (columns, n), in place."""


class Periodic(NumericEmbedding):
    """relu(W·[cos 2πcx, sin 2πcx] + b) with frequencies c, before training from N(0, σ²) truncated at 3σ.

    Gorishniy, Rubachev & Babenko (2022), section 3.3; the truncation is that of their rtdl_num_embeddings.
    """

    numpy = (
        "v = 2 * np.pi * {numeric_frequencies} * v",
        "v = np.concatenate([np.cos(v), np.sin(v)], axis=-1)",
    )

    def parts(self, x: Tensor, own: Named) -> Tensor:
        phase = (2 * math.pi * own["numeric_frequencies"]).unsqueeze(2) * x.unsqueeze(1)
        return torch.cat([phase.cos(), phase.sin()], dim=1)

    def write_parts(self, x: Tensor, own: Named, out: Tensor) -> None:
        cosine, sine = out.chunk(2, dim=2)
        torch.mul((2 * math.pi * own["numeric_frequencies"]).unsqueeze(3), x.unsqueeze(2), out=sine)
        torch.cos(sine, out=cosine)
        sine.sin_()

    def parts_backward(self, x: Tensor, own: Named, parts: Tensor, upstream: Tensor, gradients: Named) -> None:
        """∂/∂c = 2πx·(cos·∂/∂sin − sin·∂/∂cos), summed over the rows."""
        (cosine, sine), (of_cosine, of_sine) = parts.chunk(2, dim=2), upstream.chunk(2, dim=2)
        of_phase = of_sine.mul_(cosine).sub_(of_cosine.mul_(sine)).mul_(x.unsqueeze(2))
        torch.sum(of_phase, dim=3, out=gradients["numeric_frequencies"]).mul_(2 * math.pi)

    def initialise_(self, own: Named, generator: torch.Generator) -> None:
        frequencies, sigma = own["numeric_frequencies"], self.section.sigma
        drawn = torch.empty(frequencies.shape)
        torch.nn.init.trunc_normal_(drawn, 0.0, sigma, -3 * sigma, 3 * sigma, generator=generator)
        frequencies.copy_(drawn)
        super().initialise_(own, generator)


class PiecewiseLinear(NumericEmbedding):
    """W·v + b, where of the bins (l, u] of the column v = (x − l)/(u − l), cut to 0 and 1.

    The first bin extends below, the last one above. Gorishniy, Rubachev & Babenko (2022), section 3.2, with the bins
    between equally spaced quantiles of the training rows. A column that has one value alone has no bin.
    """

    numpy = (
        "low, high = {numeric_edges}[:, :-1], {numeric_edges}[:, 1:]",
        "least, most = np.where(np.arange(low.shape[1]), 0, -np.inf), np.where(high < high[:, -1:], 1, np.inf)",
        "v = np.clip((v - low) / np.where(high > low, high - low, 1), least, most) * (high > low)",
    )

    def parts(self, x: Tensor, own: Named) -> Tensor:
        lower, upper = own["numeric_edges"][:, :-1], own["numeric_edges"][:, 1:]
        width = upper - lower
        is_bin = width > 0
        first = torch.arange(lower.shape[1], device=lower.device) == 0
        least = torch.zeros_like(lower).masked_fill(first, -torch.inf)
        most = torch.ones_like(lower).masked_fill(upper == upper[:, -1:], torch.inf)
        share = (x.unsqueeze(1) - lower.unsqueeze(2)) / width.where(is_bin, 1).unsqueeze(2)
        return share.clamp(least.unsqueeze(2), most.unsqueeze(2)) * is_bin.unsqueeze(2)

    def write_parts(self, x: Tensor, own: Named, out: Tensor) -> None:
        for model, edges in enumerate(own["numeric_edges"]):
            out[model].copy_(self.parts(x[model], {"numeric_edges": edges}))

    def fit_(self, own: Named, x: Tensor) -> None:
        edges = own["numeric_edges"]
        places = np.linspace(0, 1, edges.shape[1])
        for column, values in enumerate(x.double().cpu().numpy()):
            different = torch.from_numpy(np.unique(np.quantile(values, places).astype(np.float32)))
            edges[column] = different[-1]
            edges[column, : len(different)] = different


class PBLD(NumericEmbedding):
    """[x, W·cos(2πcx + φ) + b] with c from N(0, σ²) and φ from U(−π, π) before training.

    Holzmüller, Grinsztajn & Steinwart (2024), RealMLP; constants as in their pytabkit.
    """

    has_kink = False
    keeps_numbers = True
    numpy = ("v = np.cos(2 * np.pi * {numeric_frequencies} * v + {numeric_phases})",)

    def parts(self, x: Tensor, own: Named) -> Tensor:
        phase = (2 * math.pi * own["numeric_frequencies"]).unsqueeze(2) * x.unsqueeze(1)
        return (phase + own["numeric_phases"].unsqueeze(2)).cos()

    def write_parts(self, x: Tensor, own: Named, out: Tensor) -> None:
        frequencies, phases = own["numeric_frequencies"], own["numeric_phases"]
        torch.mul((2 * math.pi * frequencies).unsqueeze(3), x.unsqueeze(2), out=out)
        out.add_(phases.unsqueeze(3)).cos_()

    def parts_backward(self, x: Tensor, own: Named, parts: Tensor, upstream: Tensor, gradients: Named) -> None:
        """∂/∂φ = −sin·∂/∂cos and ∂/∂c = 2πx·∂/∂φ, summed over the rows; the phases are made again in ``parts``."""
        torch.mul((2 * math.pi * own["numeric_frequencies"]).unsqueeze(3), x.unsqueeze(2), out=parts)
        of_phase = parts.add_(own["numeric_phases"].unsqueeze(3)).sin_().neg_().mul_(upstream)
        torch.sum(of_phase, dim=3, out=gradients["numeric_phases"])
        torch.sum(of_phase.mul_(x.unsqueeze(2)), dim=3, out=gradients["numeric_frequencies"]).mul_(2 * math.pi)

    def finish(self, z: Tensor, x: Tensor) -> Tensor:
        return torch.cat([x.unsqueeze(1), z], dim=1)

    def initialise_(self, own: Named, generator: torch.Generator) -> None:
        frequencies, phases = own["numeric_frequencies"], own["numeric_phases"]
        frequencies.copy_(torch.empty(frequencies.shape).normal_(0.0, self.section.sigma, generator=generator))
        phases.copy_(torch.empty(phases.shape).uniform_(-math.pi, math.pi, generator=generator))
        super().initialise_(own, generator)


NUMERIC: dict[type[Section], type[NumericEmbedding]] = {
    inputs.Periodic: Periodic,
    inputs.PiecewiseLinear: PiecewiseLinear,
    inputs.PBLD: PBLD,
}


class Embedding:
    """From the matrix of an InputLayout to what the first product reads, in the order that Embeddings describes."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.parameter_shapes, self.state_shapes = embeddings.parameter_shapes, embeddings.state_shapes
        section = embeddings.numeric
        self.numeric = None if section is None else NUMERIC[type(section)](section)
        self._places: dict[tuple[str, torch.device], Tensor] = {}

    def __call__(self, x: Tensor, own: Named) -> Tensor:
        """(n, width) for x (n, columns), which autograd can follow, but for categories, to x too."""
        parts = []
        if self.numeric is not None:
            parts.append(self.numeric(self._numbers(x), own).flatten(0, 1).t())
        for index, (position, _) in enumerate(self.embeddings.layout.coded):
            table, codes = own[f"category_{index}"], x[:, position]
            if table.is_cuda:
                parts.append(_one_hot(codes, table) @ table)
            else:
                parts.append(table.index_select(0, codes.long().clamp(min=0)) * (codes >= 0).unsqueeze(1))
        if passed := self.embeddings.passed:
            parts.append(x.index_select(1, self._place("passed", passed, x.device)))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def compiled(self, site: Site) -> Calls:
        """The compiled form, for the matrix in columns, (models, columns, n), in ``site.z``."""
        x, y, delta, start = site.z, site.y, site.delta, 0
        forward: list[Call] = []
        backward: list[Call] = []
        if self.numeric is not None:
            numbers, numeric = x, self.embeddings.layout.numeric
            if len(numeric) < x.shape[1]:
                numbers = site.buffer("numbers", len(x), len(numeric), x.shape[2])
                place = self._place("numeric", numeric, x.device)
                forward.append(partial(torch.index_select, x, 1, place, out=numbers))
            start = len(numeric) * self.numeric.section.size
            calls = self.numeric.compiled(replace(site, z=numbers, y=y[:, :start], delta=delta[:, :start]))
            forward, backward = [*forward, *calls.forward], calls.backward
        for index, ((position, _), size) in enumerate(
            zip(self.embeddings.layout.coded, self.embeddings.sizes, strict=True)
        ):
            name, own = f"category_{index}", slice(start, start + size)
            for model in range(len(x)):
                table, gradient = site.parameters[name][model], site.gradients[name][model]
                where = x[model, position], table, y[model, own], delta[model, own], gradient
                forward.append(partial(_look_up, *where[:3]))
                backward.append(partial(_add_up, where[0], where[3], where[4]))
            start += size
        if passed := self.embeddings.passed:
            place, rest = self._place("passed", passed, x.device), y[:, start:]
            forward.append(lambda: rest.copy_(x.index_select(1, place)))
        return Calls(forward, backward)

    def sides_of_kinks(self, x: Tensor, own: Named) -> list[Tensor]:
        """On which side of the kinks of the numeric embedding each value lies, bool (columns, size, n)."""
        if self.numeric is None or not self.numeric.has_kink:
            return []
        return [self.numeric.before_relu(self._numbers(x), own) > 0]

    def initialise_(self, own: Named, generator: torch.Generator) -> None:
        """Draw what is learnt, in place; vectors of categories from N(0, 1), as torch.nn.Embedding."""
        if self.numeric is not None:
            self.numeric.initialise_(own, generator)
        for index in range(len(self.embeddings.sizes)):
            table = own[f"category_{index}"]
            table.copy_(torch.empty(table.shape).normal_(generator=generator))

    def fit_(self, own: Named, x: Tensor) -> None:
        """Fit the statistics to the training rows x (n, columns), in place."""
        if self.numeric is not None:
            self.numeric.fit_(own, self._numbers(x))

    def _numbers(self, x: Tensor) -> Tensor:
        """The numeric columns, (columns, n)."""
        numeric, width = self.embeddings.layout.numeric, self.embeddings.layout.width
        transposed = x.t()
        if len(numeric) < width:
            transposed = transposed.index_select(0, self._place("numeric", numeric, x.device))
        return transposed.contiguous()

    def _place(self, name: str, positions: tuple[int, ...], device: torch.device) -> Tensor:
        """Positions as a tensor, made once for every device."""
        if (name, device) not in self._places:
            self._places[name, device] = torch.tensor(positions, device=device)
        return self._places[name, device]


def _look_up(codes: Tensor, table: Tensor, out: Tensor) -> None:
    """The vectors of slots (n,) in a table (slots, size) into ``out`` (size, n); zeros for −1."""
    out.copy_(table.index_select(0, codes.long().clamp(min=0)).t()).mul_(codes >= 0)


def _add_up(codes: Tensor, delta: Tensor, gradient: Tensor) -> None:
    """The gradient of the table, for that of the vectors (size, n)."""
    if gradient.is_cuda:
        gradient.copy_(_one_hot(codes, gradient).t() @ delta.t())
    else:
        gradient.zero_().index_add_(0, codes.long().clamp(min=0), (delta * (codes >= 0)).t())


def _one_hot(codes: Tensor, table: Tensor) -> Tensor:
    """Rows (n, slots) of zeros with a 1 at the slot, if there is one.

    On a GPU, where many threads would add to one row of a gradient in another order each time, a product with these
    repeats to the last bit.
    """
    return (codes.unsqueeze(1) == torch.arange(len(table), device=codes.device)).to(table)
