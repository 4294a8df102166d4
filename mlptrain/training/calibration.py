"""Are probabilities as good as they claim? Reliability in bins, and the one temperature that corrects them.

Guo, Pleiss, Sun & Weinberger, On Calibration of Modern Neural Networks (2017). NumPy and SciPy in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 15  # of the confidence, as in that paper

_FARTHEST = 2.0**40  # of the inverse temperature from 1; a minimum beyond is none in practice


@dataclass(frozen=True)
class Reliability:
    """Examples in bins of equal width of their confidence, the largest probability; all (bins,).

    ``counts`` of examples, or the sums of their weights, their mean ``confidence`` and their ``accuracy``, both nan in
    an empty bin. A bin has its upper edge, as in the paper: (0, 1/15], (1/15, 2/15], …
    """

    counts: NDArray[np.int64] | Floats
    confidence: Floats
    accuracy: Floats

    @property
    def edges(self) -> Floats:
        """Of the bins, (bins + 1,)."""
        return np.linspace(0, 1, len(self.counts) + 1)


def reliability(
    probabilities: Floats, labels: NDArray[np.int64], *, bins: int = BINS, weights: Floats | None = None
) -> Reliability:
    """Of class probabilities (n, k) and true classes (n,); of equal probabilities the first class is the predicted.

    With ``weights`` (n,) an example counts as much as its weight.
    """
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    number = np.searchsorted(np.linspace(0, 1, bins + 1), confidence.clip(0, 1), side="left").clip(1) - 1
    counts = np.bincount(number, weights=weights, minlength=bins)
    each = 1.0 if weights is None else weights
    with np.errstate(invalid="ignore"):
        return Reliability(
            counts,
            np.bincount(number, weights=each * confidence, minlength=bins) / counts,
            np.bincount(number, weights=each * (predicted == labels), minlength=bins) / counts,
        )


def expected_calibration_error(found: Reliability) -> float:
    """Mean |accuracy − confidence| of the bins, each by its share of the examples."""
    used = found.counts > 0
    gaps = np.abs(found.accuracy[used] - found.confidence[used])
    return float((gaps * found.counts[used]).sum() / found.counts.sum())


def log_probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """log softmax(z / T), (n, k) for logits (n, k); of a single logit z as of the two 0 and z."""
    scaled = _of_classes(logits) / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def fit_temperature(logits: Floats, labels: NDArray[np.int64], *, weights: Floats | None = None) -> float | None:
    """The T > 0 with the smallest mean log-loss of softmax(z / T), for logits (n, k) or (n, 1) and classes (n,).

    With ``weights`` (n,), above 0, all means are by these: an example counts as much as its weight.

    The log-loss is convex in 1/T, and its derivative mean(Σ pⱼzⱼ − z_t) rises from mean(z̄ − z_t) at 1/T = 0 to
    mean(max z − z_t). So there is a smallest one where the first is negative and the second positive, at the root, and
    else none: None where every row is classified correctly, which a T towards 0 makes ever better, and where the
    network knows less than nothing, so that T grows without end.
    """
    from scipy.optimize import brentq

    z = _of_classes(logits)
    if not np.isfinite(z).all():
        return None
    true = np.take_along_axis(z, labels[:, None], axis=1)[:, 0]

    def mean(of_rows: Floats) -> float:
        return float(np.average(of_rows, weights=weights))

    def slope(log_inverse: float) -> float:
        p = np.exp(log_probabilities(z, float(np.exp(-log_inverse))))
        return mean((p * z).sum(axis=1) - true)

    if mean(z.mean(axis=1) - true) >= 0 or mean(z.max(axis=1) - true) <= 0:
        return None
    low = high = 0.0
    limit = float(np.log(_FARTHEST))
    while slope(low) >= 0 and low > -limit:
        low -= 1.0
    while slope(high) <= 0 and high < limit:
        high += 1.0
    if slope(low) >= 0 or slope(high) <= 0:
        return None
    return float(np.exp(-brentq(slope, low, high, xtol=1e-12, rtol=1e-12)))


def _of_classes(logits: Floats) -> Floats:
    """Two logits for the single one of bce."""
    return np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits
