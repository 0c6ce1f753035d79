"""The chi-square distribution with the standard library alone: upper tail and quantile.

Rules:
- the upper tail is Q(d/2, x/2), the regularised incomplete gamma function (Abramowitz and Stegun 6.5, 26.4.19): its series where
  x < a + 1, its continued fraction (modified Lentz) elsewhere;
- the quantile is found by bisection, so it needs no starting point that could fail.
"""

from __future__ import annotations

import math

_TERMS = 10_000
_CLOSE = 1e-15
_TINY = 1e-300


def survival(x: float, degrees: int) -> float:
    """P(X > x) for a chi-square variable with `degrees` degrees of freedom."""
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom; at least 1 is needed")
    if x <= 0:
        return 1.0
    a, y = degrees / 2, x / 2
    return 1 - _lower_series(a, y) if y < a + 1 else _upper_fraction(a, y)


def quantile(probability_above: float, degrees: int) -> float:
    """The x with P(X > x) = `probability_above`."""
    if not 0 < probability_above < 1:
        raise ValueError(f"a probability between 0 and 1 is needed, not {probability_above}")
    low, high = 0.0, float(max(degrees, 1))
    while survival(high, degrees) > probability_above:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if survival(middle, degrees) > probability_above:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _lower_series(a: float, y: float) -> float:
    term = total = 1 / a
    for k in range(1, _TERMS):
        term *= y / (a + k)
        total += term
        if abs(term) < abs(total) * _CLOSE:
            break
    return total * math.exp(-y + a * math.log(y) - math.lgamma(a))


def _upper_fraction(a: float, y: float) -> float:
    b = y + 1 - a
    c, d = 1 / _TINY, 1 / b
    value = d
    for k in range(1, _TERMS):
        factor = -k * (k - a)
        b += 2
        d = factor * d + b
        d = 1 / (d if abs(d) > _TINY else _TINY)
        c = b + factor / c
        c = c if abs(c) > _TINY else _TINY
        step = d * c
        value *= step
        if abs(step - 1) < _CLOSE:
            break
    return value * math.exp(-y + a * math.log(y) - math.lgamma(a))
