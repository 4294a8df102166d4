"""The rules of a comparison: who beat whom, which setting tuning takes, when a target was reached."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np

from mlptrain.comparison.statistics import LEVEL, bootstrap_interval, holm, sign_flip_p, verdict_possible
from mlptrain.runs.comparison import Pair, Reason, TimeToTarget, Verdict

Setting = TypeVar("Setting", bound=Hashable)


def compare_all(
    scores: Mapping[str, Sequence[float]],
    *,
    tie: float = 0.001,
    under_tuned: Collection[str] = (),
    resamples: int = 10_000,
    higher_is_better: bool = True,
    kind: type[Pair] = Pair,
) -> list[Pair]:
    """Every unordered pair of arms, in the order of ``scores``.

    Higher scores are better, or lower ones; position i of every arm comes from the same scoring seed, and a diverged
    trial stands there with the score of answers that ignore the inputs. The first rule that applies gives the verdict:

    - *no verdict* where the seeds are too few for any p-value to survive Holm's correction;
    - *tie* where the 95 % interval lies inside ±``tie``;
    - *better* or *worse* where the corrected p is at most ``LEVEL``, unless the loser is in ``under_tuned``;
    - *not decided*.

    A tie that involves an ``under_tuned`` optimizer is *not decided* either: better tuned it might have won. *Not
    decided* and *no verdict* have their reason with them: *not significant*, *under-tuned* or *too few seeds*.
    """
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    names = list(combinations(arrays, 2))
    differences = [arrays[a] - arrays[b] for a, b in names]
    p_values = [sign_flip_p(values) for values in differences]
    pairs = []
    for (a, b), values, p, p_holm in zip(names, differences, p_values, holm(p_values), strict=True):
        low, high = bootstrap_interval(values, resamples=resamples) or (None, None)
        n, mean = len(values), float(values.mean())
        pair = kind(a=a, b=b, n=n, mean=mean, low=low, high=high, p=p, p_holm=p_holm, verdict="no verdict",
                    reason="too few seeds")  # fmt: skip
        if verdict_possible(n, pairs=len(names)):
            sign = 1 if higher_is_better else -1
            verdict, reason = _verdict(pair, sign * pair.mean, tie=tie, under_tuned=under_tuned)
            pair = pair.model_copy(update={"verdict": verdict, "reason": reason})
        pairs.append(pair)
    return pairs


def _verdict(pair: Pair, gain: float, *, tie: float, under_tuned: Collection[str]) -> tuple[Verdict, Reason | None]:
    """``gain`` is by how much the first is better."""
    width = tie + 1e-12  # a difference of exactly the tie's width is one, whichever way its last bit fell
    if pair.low is not None and pair.high is not None and -width <= pair.low and pair.high <= width:
        if pair.a in under_tuned or pair.b in under_tuned:
            return "not decided", "under-tuned"
        return "tie", None
    if pair.p_holm > LEVEL:
        return "not decided", "not significant"
    loser = pair.b if gain > 0 else pair.a
    if loser in under_tuned:
        return "not decided", "under-tuned"
    return ("better" if gain > 0 else "worse"), None


def inclusion_violations(pairs: Sequence[Pair], *, families: Sequence[tuple[str, str]]) -> list[Pair]:
    """The pairs in which a wider family came out *worse* than its own special case, the wider one first.

    ``families`` names every wider optimizer of the comparison with a narrower one that it contains. Exact
    inclusions among torch's optimizers: SGD with momentum and with Nesterov momentum contain plain SGD (momentum 0),
    AdamW contains Adam (weight decay 0), RMSprop with momentum contains RMSprop. A wider family searched well enough
    cannot be worse, so such a pair says that the search space was too small to rank the two.
    """
    sides = [side for pair in pairs for side in (pair, pair.mirrored())]
    return [side for family in families for side in sides if (side.a, side.b) == family and side.verdict == "worse"]


# --- time to target ---


def time_to_target(curve: Sequence[float], *, target: float, higher_is_better: bool) -> int | None:
    """The first epoch, counted from 1, after which the metric is at the target or beyond; None where it never is.

    ``curve`` holds one value per epoch. A value that is not finite never reaches a target.
    """
    for epoch, value in enumerate(curve, start=1):
        if math.isfinite(value) and (value >= target if higher_is_better else value <= target):
            return epoch
    return None


def median_time(times: Sequence[int | None]) -> TimeToTarget:
    """The median over trials, a miss (None) counted as longer than any time.

    With an even number of trials the median lies between two of them, and one miss among those two is a miss.
    """
    median = statistics.median(math.inf if time is None else time for time in times)
    reached = sum(time is not None for time in times)
    finite = float(median) if math.isfinite(median) else None
    return TimeToTarget(median=finite, reached=reached, n=len(times), trials=list(times))


# --- tuning ---


def choose(values_by_setting: Mapping[Setting, Sequence[float]]) -> Setting:
    """The setting with the best median over the tuning seeds; higher values are better.

    Among equal medians: the fewer diverged trials, then the better mean of the others, then the first in order, so a
    grid in ascending order gives the smaller learning rate. A value that is not finite is a diverged trial and counts
    as worse than any other.
    """

    def merit(setting: Setting) -> tuple[float, int, float]:
        values = values_by_setting[setting]
        finite = [value for value in values if math.isfinite(value)]
        median = statistics.median(value if math.isfinite(value) else -math.inf for value in values)
        return median, len(finite), math.fsum(finite) / max(len(finite), 1)  # fsum: blind to the order of the seeds

    return max(values_by_setting, key=merit)  # of equals, max keeps the first
