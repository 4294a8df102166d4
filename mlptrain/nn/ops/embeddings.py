"""What comes before the first product: numbers and categories become vectors that are learnt.

Every numeric column has parameters of its own. They are computed with the examples in columns, (columns, …, n), in
which a layer of its own for every column is one batched product and what comes out is contiguous.
"""

# ruff: noqa: D102 – the base class describes the methods

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlptrain.spec import inputs
from mlptrain.spec.base import Section
from mlptrain.spec.inputs import Embeddings

Named = Mapping[str, Tensor]


class NumericEmbedding(ABC):
    """From every number to a vector of ``section.width`` numbers."""

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

    def finish(self, z: Tensor, x: Tensor) -> Tensor:  # noqa: ARG002
        """From there to the vectors."""
        return z.relu() if self.section.relu else z

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

    def parts(self, x: Tensor, own: Named) -> Tensor:
        phase = (2 * math.pi * own["numeric_frequencies"]).unsqueeze(2) * x.unsqueeze(1)
        return torch.cat([phase.cos(), phase.sin()], dim=1)

    def initialise_(self, own: Named, generator: torch.Generator) -> None:
        frequencies, sigma = own["numeric_frequencies"], self.section.sigma
        drawn = torch.empty(frequencies.shape)
        torch.nn.init.trunc_normal_(drawn, 0.0, sigma, -3 * sigma, 3 * sigma, generator=generator)
        frequencies.copy_(drawn)
        super().initialise_(own, generator)


class PiecewiseLinear(NumericEmbedding):
    """W·v + b, where of the bins (l, u] of the column v = (x − l)/(u − l), cut to 0 and 1.

    The first bin goes on below, the last one above. Gorishniy, Rubachev & Babenko (2022), section 3.2, with the bins
    between equally spaced quantiles of the training rows. A column that has one value alone has no bin.
    """

    def parts(self, x: Tensor, own: Named) -> Tensor:
        lower, upper = own["numeric_edges"][:, :-1], own["numeric_edges"][:, 1:]
        width = upper - lower
        is_bin = width > 0
        least, most = torch.zeros_like(lower), torch.ones_like(lower)
        least[:, 0] = -torch.inf
        most[upper == upper[:, -1:]] = torch.inf
        share = (x.unsqueeze(1) - lower.unsqueeze(2)) / width.where(is_bin, 1).unsqueeze(2)
        return share.clamp(least.unsqueeze(2), most.unsqueeze(2)) * is_bin.unsqueeze(2)

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

    def parts(self, x: Tensor, own: Named) -> Tensor:
        phase = (2 * math.pi * own["numeric_frequencies"]).unsqueeze(2) * x.unsqueeze(1)
        return (phase + own["numeric_phases"].unsqueeze(2)).cos()

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
            table, slots = own[f"category_{index}"], x[:, position].long()
            found = table.index_select(0, slots.clamp(min=0))
            parts.append(found * (slots >= 0).unsqueeze(1))
        if passed := self.embeddings.passed:
            parts.append(x.index_select(1, self._place("passed", passed, x.device)))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

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
