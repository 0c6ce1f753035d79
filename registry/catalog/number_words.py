"""Decimals for reading: never in exponent form, whatever somebody declares. Pure."""

from __future__ import annotations

from decimal import Decimal

_MEGABYTE = Decimal(1_000_000)
_LARGEST_PLAIN_BYTES = 100_000


def number(value: Decimal) -> str:
    """Up to five significant digits of what stands before and behind the point."""
    if value == value.to_integral_value():
        return f"{int(value):,}"
    places = max(0, min(12, 4 - value.adjusted()))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text  # zeros of a whole number are digits


def size(value: Decimal) -> str:
    """A number of bytes."""
    if value < _LARGEST_PLAIN_BYTES:
        return f"{int(value):,} bytes"
    return f"{value / _MEGABYTE:,.1f} MB"


def percent(value: Decimal) -> str:
    """A share."""
    text = f"{value * 100:,.2f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def points(value: Decimal) -> str:
    """A difference of two shares: percentage points, without a sign."""
    text = f"{abs(value) * 100:,.2f}".rstrip("0").rstrip(".")
    return f"{text} {'point' if text == '1' else 'points'}"
