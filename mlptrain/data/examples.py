"""Rows with their targets, as stored, and how their inputs become what a network sees."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlptrain.data.preprocessing import Preprocessing
from mlptrain.nn.losses import with_weights
from mlptrain.system.threads import Threads

_ROWS = 1 << 14  # that are turned at once, in the cache
_FEW = 8  # such parts that are not worth threads


@dataclass(frozen=True, eq=False)
class Examples:
    """The rows ``index`` (all where None) of x (N, n_features), and of y (N, …), labels int64 or targets float32.

    x is as stored, and ``preprocessing`` is applied to what is read: MNIST takes 47 MB so instead of 188, and a batch
    of 512 rows or more half the time to gather and scale that it took as float32, one of 64 as much (2-core AMD EPYC).
    Splits, and seeds with splits of their own, are indices into one x. ``weight`` (N,) are sample weights; encoded
    targets contain them.
    """

    x: Tensor
    y: Tensor
    index: Tensor | None = None
    preprocessing: Preprocessing = Preprocessing.NONE
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x) if self.index is None else len(self.index)

    def stored(self) -> Tensor:
        """The inputs of these rows as stored, (n, n_features); a copy where ``index`` chooses."""
        return self.x if self.index is None else self.x.index_select(0, self.index)

    def by_column(self, at_once: int) -> Iterator[Tensor]:
        """``stored``, some columns (n, at_once) at a time, each of which is read in one go; they share their memory."""
        x = self.x.numpy()
        columns = self.x.new_empty(min(at_once, x.shape[1]), len(self))
        index, starts = None if self.index is None else self.index.numpy(), range(0, len(self), _ROWS)
        with Threads(1 if len(starts) < _FEW else torch.get_num_threads()) as pool:
            for first in range(0, x.shape[1], at_once):
                into = columns.numpy()[: x.shape[1] - first]

                def write(start: int, first: int = first, into: NDArray[np.generic] = into) -> None:
                    part = slice(start, start + _ROWS)
                    rows = x[part] if index is None else x.take(index[part], axis=0)
                    into[:, part] = rows[:, first : first + at_once].T

                deque((map if len(starts) < _FEW else pool.map)(write, starts), maxlen=0)
                yield torch.from_numpy(into.T)

    def head(self, n: int) -> Examples:
        """The first ``n`` rows alone."""
        if self.index is None:
            return self._slice(slice(n))
        return replace(self, index=self.index[:n])

    def pieces(self, rows: int) -> Iterator[Examples]:
        """Neighbouring rows, at most so many at a time: whoever reads all of them once needs no copy of all."""
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            yield self._slice(part) if self.index is None else replace(self, index=self.index[part])

    def _slice(self, part: slice) -> Examples:
        """Some of rows that no index chooses."""
        weight = None if self.weight is None else self.weight[part]
        return replace(self, x=self.x[part], y=self.y[part], weight=weight)

    def spaced(self, n: int) -> Examples:
        """``n`` rows at equal distances, or all where there are no more: stored rows may be in the order of classes."""
        if len(self) <= n:
            return self
        chosen = torch.arange(n, device=self.x.device) * len(self) // n
        return replace(self, index=chosen if self.index is None else self.index[chosen])

    @cached_property
    def inputs(self) -> Tensor:
        """All inputs as a network sees them, (n, n_features) float32; made when first asked for, and kept."""
        return self.inputs_once()

    def inputs_once(self) -> Tensor:
        """``inputs``, without keeping them."""
        return self.preprocessing.apply(self.stored())

    @cached_property
    def targets(self) -> Tensor:
        """All labels (n,) or targets (n, t), in the order of ``inputs``; made when first asked for, and kept."""
        return self.chosen_targets()

    def chosen_targets(self) -> Tensor:
        """``targets``, without keeping them, which takes 8 bytes for every label."""
        return self.y if self.index is None else self.y.index_select(0, self.index)

    def chosen_weights(self) -> Tensor:
        """The weights of these rows (n,), 1 where they have none."""
        if self.weight is None:
            return torch.ones(len(self))
        return self.weight if self.index is None else self.weight.index_select(0, self.index)

    def encoded(self, encode: Callable[[Tensor], Tensor]) -> Examples:
        """With targets as a loss reads them, and with their weights where they have some.

        All of y is encoded, so that the index still fits.
        """
        y = encode(self.y)
        return replace(self, y=y if self.weight is None else with_weights(y, self.weight), weight=None)

    def to(self, device: str | torch.device, *, moved: dict[int, Tensor]) -> Examples:
        """On a device. ``moved`` remembers by ``id(x)`` what is there, so that splits of one x share the copy."""
        if id(self.x) not in moved:
            moved[id(self.x)] = self.x.to(device)
        x = moved[id(self.x)]
        return replace(self, x=x, y=self.y.to(device), index=None if self.index is None else self.index.to(device))
