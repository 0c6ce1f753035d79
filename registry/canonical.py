"""Canonical JSON: the one way to write a value as bytes, and a reader that refuses every other.

One reason: two parties who hold the same facts must get the same bytes. The rules are FORMATS section 1:
- keys `[a-z0-9_]{1,64}`, once each, sorted; no white space; UTF-8; integers with |n| < 2^53; no floats;
- no lone surrogates, no U+0000; at most 16 levels and 16 MiB; a reader refuses bytes the writer would not have written.
Standard library only, so that the client and the witness run without Django.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | bool | None"

_INTEGER_LIMIT = 2**53
_DEPTH_LIMIT = 16
_DOCUMENT_LIMIT_BYTES = 16 * 1024 * 1024
_KEY = re.compile(r"[a-z0-9_]{1,64}")


class CanonicalError(ValueError):
    """A value or its bytes break a rule of FORMATS; the message says where and what to do."""


_write = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def canonical(value: object) -> bytes:
    """Write a JSON value in the one allowed way; raise CanonicalError where a rule is broken."""
    # the usual case is settled by types and keys alone; what it does not know, `_check` judges, and says where it is wrong
    text = _write(value) if _is_plain(value, 1) else None
    if text is None or not text.isascii() or "\\u0000" in text:
        _check(value, "$", 1)
        text = _write(value)
    data = text.encode()
    if len(data) > _DOCUMENT_LIMIT_BYTES:
        raise CanonicalError(f"the document has {len(data)} bytes; at most {_DOCUMENT_LIMIT_BYTES} are allowed")
    return data


def parse_canonical(data: bytes) -> JSON:
    """Read a JSON value; refuse doubled keys, floats and every byte that `canonical` would have written otherwise."""
    if len(data) > _DOCUMENT_LIMIT_BYTES:
        raise CanonicalError(f"the document has {len(data)} bytes; at most {_DOCUMENT_LIMIT_BYTES} are allowed")
    try:
        value: JSON = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_refuse_doubled_keys,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except CanonicalError:
        raise
    except UnicodeDecodeError as error:
        raise CanonicalError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise CanonicalError(f"nested deeper than {_DEPTH_LIMIT} levels") from error
    except ValueError as error:
        raise CanonicalError(f"not JSON: {error}") from error
    if canonical(value) != data:
        raise CanonicalError(
            "the JSON is not canonical: key order, white space or escapes differ from the one allowed way"
        )
    return value


_good_keys: set[object] = set()
_GOOD_KEYS_KEPT = 1000


def _is_plain(value: object, depth: int) -> bool:
    """Whether all but the characters of texts is surely allowed; False only says that it takes a closer look."""
    items: Iterable[object]
    if type(value) is dict:
        if not _good_keys.issuperset(value) and not all(_is_good_key(key) for key in value):
            return False
        items = value.values()
    elif type(value) is list:
        items = value
    else:
        return False
    if depth > _DEPTH_LIMIT:
        return False
    for item in items:
        if type(item) is str or item is None or type(item) is bool:
            continue
        if type(item) is int:
            if not -_INTEGER_LIMIT < item < _INTEGER_LIMIT:
                return False
        elif not _is_plain(item, depth + 1):
            return False
    return True


def _is_good_key(key: object) -> bool:
    if key in _good_keys:
        return True
    if type(key) is not str or not _KEY.fullmatch(key):
        return False
    if len(_good_keys) < _GOOD_KEYS_KEPT:  # the keys of our own types; those of strangers' documents are not hoarded
        _good_keys.add(key)
    return True


def _check(value: object, where: str, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        check_text(value, where)
    elif isinstance(value, int):
        if not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
            raise CanonicalError(f"{where}: integers must be smaller than 2^53; give it as decimal text")
    elif isinstance(value, dict | list | tuple):
        if depth > _DEPTH_LIMIT:
            raise CanonicalError(f"{where}: nested deeper than {_DEPTH_LIMIT} levels")
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str) or not _KEY.fullmatch(key):
                    raise CanonicalError(
                        f"{where}: key {key!r} is not [a-z0-9_]{{1,64}}; names from data are values, never keys"
                    )
                _check(item, f"{where}.{key}", depth + 1)
        else:
            for index, item in enumerate(value):
                _check(item, f"{where}[{index}]", depth + 1)
    elif isinstance(value, float):
        raise CanonicalError(f"{where}: floats are not allowed; use decimal_text()")
    else:
        raise CanonicalError(f"{where}: {type(value).__name__} is no JSON value")


def check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise CanonicalError(f"{where}: U+0000 is not allowed in text")
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CanonicalError(f"{where}: lone surrogate at character {error.start}") from error


def _refuse_doubled_keys(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise CanonicalError(f"key {doubled!r} stands twice in one object")
    return result


def _refuse_number(text: str) -> JSON:
    raise CanonicalError(f"{text[:40]} is not an integer; such numbers are given as decimal text")
