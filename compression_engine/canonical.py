"""The one way in which the engine writes documents as bytes (FORMATS sections 1 and 2), so that a digest means the same
to everyone.

Rules:
- keys `[a-z0-9_]{1,64}`, once each, sorted; no white space; UTF-8;
- integers with |n| < 2^53, no floats; decimals are text without exponent; no NaN, no infinity;
- no lone surrogate and no U+0000; depth at most 16; at most 16 MiB.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, BinaryIO

JSON = Any
"""A JSON value without floats; `canonical` is what checks it."""

_KEY = re.compile(r"[a-z0-9_]{1,64}\Z")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?\Z")
_DEPTH_MAX = 16
_BYTES_MAX = 16 * 1024 * 1024
_INTEGER_LIMIT = 2**53
_SHOWN_CHARACTERS_MAX = 200
_CHUNK_BYTES = 1024 * 1024


class CanonicalError(ValueError):
    """A value that has no canonical form, with the place where it stands."""


def canonical(value: JSON) -> bytes:
    """The canonical bytes of a JSON value; raises CanonicalError that names the place."""
    _check(value, "$", 1)
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if len(data) > _BYTES_MAX:
        raise CanonicalError(f"the document has {len(data)} bytes, at most {_BYTES_MAX} are allowed")
    return data


def parse_canonical(data: bytes) -> JSON:
    """The value of canonical bytes; refuses doubled keys, floats and every other spelling of the same value."""
    value = parse_json(data)
    if canonical(value) != data:
        raise CanonicalError("the bytes are not the canonical form of this document")
    return value


def parse_json(data: bytes) -> JSON:
    """Any spelling of a JSON value of ours: doubled keys and floats are refused, white space and key order are free."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_pairs, parse_float=_no_float, parse_constant=_no_float)
    except CanonicalError:
        raise
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CanonicalError(f"not JSON: {error}") from error
    except ValueError as error:  # the one thing that json reads and Python refuses
        raise CanonicalError("a number has too many digits") from error


def shown(value: object) -> str:
    """A value that is refused, as a message repeats it: at most 200 characters of it."""
    said = repr(value)
    return (
        said if len(said) <= _SHOWN_CHARACTERS_MAX else f"{said[:_SHOWN_CHARACTERS_MAX]}... ({len(said):,} characters)"
    )


def digest_of(data: bytes) -> str:
    """`sha256:<hex>` of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_stream(file: BinaryIO) -> str:
    """`sha256:<hex>` of everything that is left in a file, in blocks of 1 MiB."""
    running = hashlib.sha256()
    while block := file.read(_CHUNK_BYTES):
        running.update(block)
    return f"sha256:{running.hexdigest()}"


def decimal_text(number: float | Decimal | None) -> str | None:
    """The shortest decimal that reads back as this number, without exponent; None for NaN and infinity."""
    if number is None:
        return None
    if isinstance(number, float):
        if not math.isfinite(number):
            return None
        number = Decimal(repr(number))
    number = Decimal(number)
    if not number.is_finite():
        return None
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def is_decimal(text: str) -> bool:
    """Whether a text has the one form in which decimals are written."""
    return bool(_DECIMAL.match(text)) and text != "-0"


def _check(value: JSON, place: str, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise CanonicalError(f"{place}: nested deeper than {_DEPTH_MAX}")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, int):
        if abs(value) >= _INTEGER_LIMIT:
            raise CanonicalError(f"{place}: the integer {shown(value)} is not below 2^53")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{place}[{index}]", depth + 1)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not _KEY.match(key):
                raise CanonicalError(f"{place}: the key {shown(key)} is not made of a-z, 0-9 and _")
            _check(item, f"{place}.{key}", depth + 1)
    else:
        raise CanonicalError(f"{place}: a {type(value).__name__} has no canonical form; write decimals as text")


def _check_text(text: str, place: str) -> None:
    if "\0" in text:
        raise CanonicalError(f"{place}: the text holds U+0000")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CanonicalError(f"{place}: the text holds a lone surrogate") from error


def _pairs(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    result: dict[str, JSON] = {}
    for key, value in pairs:
        if key in result:
            raise CanonicalError(f"the key {shown(key)} stands twice")
        result[key] = value
    return result


def _no_float(text: str) -> JSON:
    raise CanonicalError(f"the number {shown(text)} is not an integer; write decimals as text")
