"""Chooses the range of numbers that 256 integers stand for, from the histogram of what flowed through a tensor.

Rules:
- minmax: all that was seen; percentile: what is left when a share of the numbers is cut off, half of it at either end; mse: the
  range of least squared error; entropy: the range that keeps most of the distribution (least Kullback-Leibler divergence);
- every range holds zero, and zero is a step of it, so that padding and what Relu cut off stay exactly zero;
- zeros are no loss with any range, so mse and entropy do not count them; of a tensor that was always zero the scale is 1;
- sums run in 64 bits over bins in their order, so bytes depend on counts alone.
Sources: percentile and entropy: Migacz, "8-bit inference with TensorRT", GTC 2017, and Wu et al., "Integer quantization for deep
learning inference", 2020, the latter here for ranges that are not symmetric; mse: Banner et al., 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.methods.static_quantization.histogram import Histogram

RANGES = ("minmax", "percentile", "mse", "entropy")
STEPS = 255
PERCENTILE_WHOLE = 100_000
"""What stands for all numbers, where a percentile is given as an integer."""
_Floats = NDArray[np.float64]
_COARSE, _COARSE_A_HALVING = 72, 8
_FINE, _FINE_A_HALVING = 8, 24
_ENTROPY, _ENTROPY_A_HALVING = 64, 16
_LEAST_SHARE = 1e-12


@dataclass(frozen=True)
class Steps:
    """An unsigned 8-bit integer q stands for (q - zero) * scale; `scale` is a number of float32."""

    scale: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Steps:
        """The steps that span a range, widened to hold zero."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32((high - low) / STEPS)
        if scale < np.finfo(np.float32).tiny:
            return cls(1.0 if high == low else float(np.finfo(np.float32).tiny), 0)
        return cls(float(scale), int(np.clip(np.rint(-low / float(scale)), 0, STEPS)))

    def integers(self, values: _Floats) -> _Floats:
        """What numbers are rounded to, as floats."""
        found: _Floats = np.clip(np.rint(values / self.scale) + self.zero, 0, STEPS)
        return found

    def rounded(self, values: _Floats) -> _Floats:
        """Numbers after rounding."""
        return (self.integers(values) - self.zero) * self.scale


def steps_of(histogram: Histogram, ranges: str, percentile: int = PERCENTILE_WHOLE) -> Steps:
    """The steps for a tensor. `ranges` is one of RANGES; `percentile` counts in hundred-thousandths of all numbers."""
    if histogram.total == histogram.zeros:
        return Steps(1.0, 0)
    low, high = histogram.least, histogram.most
    if ranges == "percentile":
        cut = (1 - percentile / PERCENTILE_WHOLE) / 2
        low, high = histogram.quantile(cut), histogram.quantile(1 - cut)
    elif ranges == "mse":
        return _least(histogram, _squared_error, _mse_candidates)
    elif ranges == "entropy":
        return _least(histogram, _divergence, _entropy_candidates)
    return Steps.over(low, high)


_Loss = Callable[[_Floats, _Floats, Steps], float]
_Range = tuple[float, float]


def _least(
    histogram: Histogram,
    loss: _Loss,
    candidates: Callable[[_Range, Callable[[_Range], float]], Iterator[_Range]],
) -> Steps:
    """The steps of least loss among candidates; of equals the first, which is the wider."""
    middles, counts = histogram.filled()
    known: dict[_Range, float] = {}

    def measured(tried: _Range) -> float:
        if tried not in known:
            known[tried] = loss(middles, counts, Steps.over(*tried))
        return known[tried]

    whole = (min(histogram.least, 0.0), max(histogram.most, 0.0))
    return Steps.over(*min(candidates(whole, measured), key=measured))


def _mse_candidates(whole: _Range, measured: Callable[[_Range], float]) -> Iterator[_Range]:
    """Both ends drawn in together, then each by itself around the best of these."""
    both = [_drawn(whole, share, share) for share in _shares(_COARSE, _COARSE_A_HALVING)]
    best = min(both, key=measured)
    around = [2 ** (step / _FINE_A_HALVING) for step in range(_FINE, -_FINE - 1, -1)]
    for _ in range(2):
        for end in (0, 1):
            tried = [_within(_drawn(best, *((share, 1) if end == 0 else (1, share))), whole) for share in around]
            best = min([best, *tried], key=measured)
    yield from both
    yield best


def _entropy_candidates(whole: _Range, measured: Callable[[_Range], float]) -> Iterator[_Range]:
    yield from (_drawn(whole, share, share) for share in _shares(_ENTROPY, _ENTROPY_A_HALVING))


def _shares(count: int, a_halving: int) -> list[float]:
    return [float(2 ** (-step / a_halving)) for step in range(count)]


def _drawn(ends: _Range, low_share: float, high_share: float) -> _Range:
    return ends[0] * low_share, ends[1] * high_share


def _within(tried: _Range, whole: _Range) -> _Range:
    return max(tried[0], whole[0]), min(tried[1], whole[1])


def _squared_error(middles: _Floats, counts: _Floats, steps: Steps) -> float:
    apart = steps.rounded(middles) - middles
    return float((counts * apart * apart).sum())


def _divergence(middles: _Floats, counts: _Floats, steps: Steps) -> float:
    """How much of the distribution is lost: what lies outside counts at the ends; each step spreads its numbers evenly."""
    unbounded = np.rint(middles / steps.scale) + steps.zero
    inside = (unbounded >= 0) & (unbounded <= STEPS)
    if not inside.any():
        return float("inf")
    kept, places = counts[inside].copy(), unbounded[inside].astype(np.int64)
    sums = np.bincount(places, weights=kept, minlength=STEPS + 1)
    filled = np.bincount(places, minlength=STEPS + 1)
    spread = sums[places] / filled[places]
    first, last = np.flatnonzero(inside)[[0, -1]]
    kept[0] += counts[:first].sum()
    kept[-1] += counts[last + 1 :].sum()
    seen, stood_for = kept / kept.sum(), np.maximum(spread / spread.sum(), _LEAST_SHARE)
    return float((seen * np.log(seen / stood_for)).sum())
