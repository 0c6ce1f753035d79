"""Text that the report's fonts can print: a character that they lack becomes `U+XXXX`, so that no name can stop a report.

In PDF/A and PDF/UA a missing glyph is an error, and a format character (such as one that turns the direction of writing) would let
a text look other than it is. Both are printed by their number.
"""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def _starts_and_ends() -> tuple[list[int], list[int]]:
    ranges = json.loads(files("audit.reports").joinpath("glyphs.json").read_bytes())["ranges"]
    return [r[0] for r in ranges], [r[1] for r in ranges]


def can_print(character: str) -> bool:
    """Whether every style of the report has a glyph for the character."""
    starts, ends = _starts_and_ends()
    index = bisect_right(starts, ord(character)) - 1
    return index >= 0 and ord(character) <= ends[index]


def printable(text: str) -> str:
    """The text with each character that cannot be printed given by its number; line ends are kept."""
    if text.isascii() and text.isprintable():
        return text
    composed = unicodedata.normalize("NFC", text)
    return "".join(c if c == "\n" or can_print(c) else f"U+{ord(c):04X}" for c in composed)


def printable_values(value: Any) -> Any:
    """A JSON value with every text in it made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [printable_values(item) for item in value]
    if isinstance(value, dict):
        return {key: printable_values(item) for key, item in value.items()}
    return value
