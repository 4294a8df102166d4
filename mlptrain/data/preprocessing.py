"""What is done to inputs before a network sees them: a chain of transforms, fitted on training rows, applied to all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mlptrain.data.tabular import Columns
from mlptrain.errors import DataError
from mlptrain.nn.targets import TargetScaling
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.table import TableData
from mlptrain.system.jsonfiles import Figure, Record

MAX_DIVISOR = 1e38  # float32 ends at 3.4e38
Positive = Annotated[float, Field(gt=0, le=MAX_DIVISOR)]
Numbers = Annotated[tuple[Figure, ...], Field(strict=False, min_length=1)]


class Scale(Record):
    """x becomes (x / divisor − mean) / std, with one number each for all inputs."""

    name: Literal["scale"] = "scale"
    divisor: Positive = 1.0
    mean: Figure = 0.0
    std: Positive = 1.0

    def apply_(self, x: Tensor) -> None:
        """In place; steps that change nothing are left out, since each is a pass over the memory.

        ``divisor`` alone gives the bits of torchvision's ToTensor, all three those of its Normalize after that.
        """
        if self.divisor != 1:
            x.div_(self.divisor)
        if self.mean != 0:
            x.sub_(self.mean)
        if self.std != 1:
            x.div_(self.std)

    def described(self) -> str:
        """In words."""
        divided = "x" if self.divisor == 1 else f"x / {self.divisor:g}"
        return divided if (self.mean, self.std) == (0, 1) else f"({divided} − {self.mean:.6g}) / {self.std:.6g}"


class Standardize(Record):
    """Every column j becomes (xⱼ − meanⱼ) / stdⱼ, as scikit-learn's StandardScaler; a constant column has std 1."""

    name: Literal["standardize"] = "standardize"
    mean: Numbers
    std: Annotated[tuple[Positive, ...], Field(strict=False)]

    @cached_property
    def _tensors(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}

    def apply_(self, x: Tensor) -> None:
        """In place, for x (n, n_features) float32."""
        if x.device not in self._tensors:
            mean, std = (torch.tensor(values, dtype=torch.float32, device=x.device) for values in (self.mean, self.std))
            self._tensors[x.device] = mean, std
        mean, std = self._tensors[x.device]
        x.sub_(mean).div_(std)

    def described(self) -> str:
        """In words, with the numbers of the first three columns."""
        shown = [f"(x − {mean:.6g}) / {std:.6g}" for mean, std in zip(self.mean[:3], self.std[:3], strict=True)]
        return f"columns {', '.join(shown)}" + (", …" if len(self.mean) > 3 else "")


class Preprocessing(Record):
    """A chain of transforms; the empty one only converts to float32. It travels with checkpoints as JSON.

    ``columns`` comes before them and makes inputs of the stored columns of a table, all rows at once; ``target`` is
    what the targets of a regression are scaled by while it trains.
    """

    NONE: ClassVar[Preprocessing]

    transforms: Annotated[
        tuple[Annotated[Scale | Standardize, Field(discriminator="name")], ...], Field(strict=False)
    ] = ()
    columns: Columns | None = None
    target: TargetScaling | None = None

    def apply(self, x: Tensor) -> Tensor:
        """A copy of ``x`` (n, n_features), any real type, as float32 with every transform applied: (n, inputs)."""
        if self.columns is not None:
            return self.columns.apply(x)
        return self.write(x, out=torch.empty(x.shape, dtype=torch.float32, device=x.device))

    def write(self, x: Tensor, *, out: Tensor) -> Tensor:
        """``apply`` into ``out``, which is returned."""
        out.copy_(x)
        for transform in self.transforms:
            transform.apply_(out)
        return out

    def described(self) -> str:
        """In words."""
        if self.columns is not None:
            return self.columns.described()
        return " and ".join(transform.described() for transform in self.transforms) or "nothing (scaling: none)"

    def fits(self, n_features: int) -> bool:
        """Whether it can be applied to rows of so many stored columns."""
        if self.columns is not None and len(self.columns.of) != n_features:
            return False
        by_column = [one for one in self.transforms if isinstance(one, Standardize)]
        return all(len(one.mean) == len(one.std) == n_features for one in by_column)

    @classmethod
    def of_table(
        cls,
        data: TableData,
        rows: int,
        stored: Callable[[int], Iterable[Tensor]],
        targets: Callable[[], Tensor],
        facts: DataFacts,
    ) -> Preprocessing:
        """That of a table, fitted on its training rows, of which ``stored`` gives so many columns at a time.

        Raises DataError.
        """
        target = None
        if facts.is_regression and data.target_scaling != "none":
            target = TargetScaling.fit(targets(), log1p=data.target_scaling == "log1p")
        return cls(columns=Columns.fit(data, rows, stored, facts), target=target)

    @classmethod
    def fit(cls, scaling: str | Mapping[str, float], rows: Callable[[], Tensor], facts: DataFacts) -> Preprocessing:
        """The chain that ``scaling`` stands for, fitted on the training rows.

        ``rows`` gives their inputs (n, n_features) as stored; it is called only where something depends on them.
        ``"none"``; ``"unit"``: divide by the data's maximum; ``"standard"``: divide by the maximum where there is one,
        then by columns where they have names, else one mean and one population standard deviation over all values; a
        mapping with ``mean`` and ``std``, used after dividing by the maximum.

        Raises DataError where a number that is divided by is not positive.
        """
        divisor = float(facts.maximum or 1)
        if scaling == "none":
            return cls()
        if scaling == "standard" and facts.columns:
            means, stds = _moments_of_columns(rows())
            for column, mean, std in zip(facts.columns, means, stds, strict=True):
                if not abs(mean) + std <= MAX_DIVISOR:
                    raise DataError(
                        f"scaling of column '{column.name}' needs finite values, got mean {mean}, std {std}"
                    )
            return cls(transforms=(Standardize(mean=means, std=stds),))
        if scaling == "unit":
            return cls(transforms=(Scale(divisor=divisor),))
        if isinstance(scaling, Mapping):
            mean, std = float(scaling["mean"]), float(scaling["std"])
        else:
            mean, std = (value / divisor for value in _mean_and_std(rows()))
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise DataError(f"scaling needs a finite mean and a std above 0, got mean {mean} and std {std}")
        return cls(transforms=(Scale(divisor=divisor, mean=mean, std=std),))


Preprocessing.NONE = Preprocessing()


def _moments_of_columns(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    values = x.double()
    std = values.std(dim=0, correction=0)
    std[std == 0] = 1
    return tuple(values.mean(dim=0).tolist()), tuple(std.tolist())


def _mean_and_std(x: Tensor) -> tuple[float, float]:
    """Mean and population standard deviation over all values.

    Of uint8 from the histogram in whole numbers, so that only the last division and the root are rounded.
    """
    if x.dtype != torch.uint8:
        values = x.double()
        return float(values.mean()), float(values.std(correction=0))
    counts: list[int] = torch.bincount(x.flatten(), minlength=256).tolist()
    total = sum(counts)
    first = sum(value * count for value, count in enumerate(counts))
    second = sum(value * value * count for value, count in enumerate(counts))
    return first / total, math.sqrt((total * second - first * first) / (total * total))
