"""JSON from outside, refused at the door where no part of the house could keep it.

Rules:
- nested at most DEPTH_LIMIT levels, so that no later step runs out of stack;
- no U+0000 and no half of a surrogate pair, in texts or names: neither the databases nor canonical JSON take them;
- whole numbers of any length that Python reads (4,300 digits) pass; the fields judge them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

DEPTH_LIMIT = 32


class BoundedJSONParser(JSONParser):
    """DRF's parser with the rules of this module."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            value: Any = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise _too_deep() from None
        check_value(value)
        return value


def check_value(value: Any) -> None:
    """ParseError when a rule is broken; walks without recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH_LIMIT + 1:
            raise _too_deep()
        following: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                for name in item:
                    _check_text(name)
                following += item.values()
            elif isinstance(item, list):
                following += item
        level = following


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ParseError("A text of the body holds U+0000, which cannot be kept.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError("A text of the body holds half of a surrogate pair, which is no character.") from None


def _too_deep() -> ParseError:
    return ParseError(f"The body is nested deeper than {DEPTH_LIMIT} levels.")
