"""Numbers of things in the sentences of verbs: `1 version is`, `2 versions are`."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """`1 team`, `1,309 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def are(number: int) -> str:
    """The verb that goes with a number."""
    return "is" if number == 1 else "are"
