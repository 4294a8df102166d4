"""How the scores of a comparison read: the metric's name, its unit and its direction."""

from __future__ import annotations

from dataclasses import dataclass

from mlptrain.keys import DIGITS, decimals_for
from mlptrain.runs.comparison import Summary
from mlptrain.spec.metrics import is_share, short_name_of, title_of, title_of_fraction

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Units:
    """Of the metric ``key``, a fraction shown in per cent or a figure with ``decimals``.

    All figures of a comparison have as many decimals as four significant digits of its best mean.
    """

    key: str = "accuracy"
    higher_is_better: bool = True
    decimals: int = 2

    @classmethod
    def of(cls, summary: Summary) -> Units:
        """Of the accuracy, or of a study's own metric."""
        if summary.compared_by is None:
            return cls()
        best = abs(summary.optimizers[summary.ranking[0]].accuracy.mean)
        decimals = 2 if is_share(summary.compared_by.key) or not best else decimals_for(best, DIGITS)
        return cls(summary.compared_by.key, summary.compared_by.higher_is_better, min(decimals, 12))

    @property
    def is_share(self) -> bool:
        """Whether it is a fraction that is shown in per cent."""
        return is_share(self.key)

    @property
    def halves_errors(self) -> bool:
        """Whether 1 is perfect and pictures spread out what comes near to it."""
        return self.is_share and self.higher_is_better

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1: times it, the better score is the higher one."""
        return 1 if self.higher_is_better else -1

    @property
    def name(self) -> str:
        """``accuracy``, ``RMSE``."""
        return short_name_of(self.key)

    @property
    def title(self) -> str:
        """With its unit, and its direction where lower is better."""
        title = title_of(self.key) if "(" in title_of(self.key) else f"{self.key} (mean per example)"
        return title if self.higher_is_better else f"{title[:-1]}; lower is better)"

    @property
    def axis(self) -> str:
        """A short title for small panels: ``RMSE (target units; lower is better)``."""
        unit = "%" if self.is_share else self.unit.partition(", ")[0].removeprefix("no unit")
        inner = "; ".join(filter(None, [unit, "" if self.higher_is_better else "lower is better"]))
        return f"{self.name} ({inner})" if inner else self.name

    @property
    def unit(self) -> str:
        """Of differences: ``percentage points``, or what the metric's title has in brackets."""
        if self.is_share:
            return "percentage points"
        return title_of_fraction(self.key).partition(" (")[2].rstrip(")") or "mean per example"

    def value(self, score: float) -> str:
        """``97.03 %`` or ``53.21``."""
        return f"{100 * score:.2f} %" if self.is_share else self._minus(f"{score:,.{self.decimals}f}")

    def interval(self, low: float | None, high: float | None) -> str:
        """``96.54 to 97.51 %``; a dash for one seed."""
        if low is None or high is None:
            return "–"
        return f"{100 * low:.2f} to {self.value(high)}" if self.is_share else f"{self.value(low)} to {self.value(high)}"

    def difference(self, difference: float) -> str:
        """``+0.86``, in percentage points of fractions, with a proper minus sign; ``0.00`` has none."""
        text = f"{100 * difference if self.is_share else difference:+,.{self.decimals}f}"
        return text.lstrip("+-") if not text.strip("+-0.") else self._minus(text)

    def differences(self, low: float | None, high: float | None) -> str:
        """``+0.31 to +1.47``; a dash for one seed."""
        return "–" if low is None or high is None else f"{self.difference(low)} to {self.difference(high)}"

    def width(self, tie: float) -> str:
        """Half the width of a tie: ``±0.1``."""
        return f"±{100 * tie if self.is_share else tie:g}"

    def tick(self, value: float) -> str:
        """A value on an axis of scores or differences times ``sign``."""
        return self._minus(f"{(100 if self.is_share else 1) * self.sign * value + 0.0:.4g}")

    @staticmethod
    def _minus(text: str) -> str:
        return text.replace("-", MINUS)
