"""Canonical JSON and the words of the bundle page: what a value must look like, as predicates that compose into shapes.

Rules: "Canonical JSON" and the table of words in docs/bundle-format.md; every predicate answers True or False and never raises.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

Form = Callable[[Any], bool]

MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 16
MAX_PATH = 64
MAX_INTEGER = 2**53 - 1
_KEY = re.compile(r"[a-z0-9_]{1,64}")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}


class Unreadable(Exception):
    """What was read is not of the form that the page demands."""


def pattern(expression: str) -> Form:
    compiled = re.compile(expression)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def text(value: Any) -> bool:
    return isinstance(value, str)


def document(value: Any) -> bool:
    return isinstance(value, dict)


def integer_from(lowest: int) -> Form:
    return lambda value: type(value) is int and value >= lowest


def literally(wanted: object) -> Form:
    return lambda value: type(value) is type(wanted) and value == wanted


def nullable(form: Form) -> Form:
    return lambda value: value is None or form(value)


def listed(form: Form, most: int = MAX_INTEGER) -> Form:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(form, value))


def shaped(**members: Form) -> Form:
    """Exactly these members, no others."""

    def check(value: Any) -> bool:
        return (
            isinstance(value, dict) and value.keys() == members.keys() and all(f(value[m]) for m, f in members.items())
        )

    return check


digest = pattern("sha256:[0-9a-f]{64}")
bare_hash = pattern("[0-9a-f]{64}")
uuid = pattern(_UUID)
time = pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
stream = pattern(rf"instance|[a-z_]{{1,32}}:{_UUID}")
record_type = pattern(r"[a-z_]+\.[a-z_]+/[1-9][0-9]*")
origin = pattern(rf"pressmark/{_UUID}/[1-9][0-9]{{0,8}}")
number = pattern("0|[1-9][0-9]{0,15}")
count = integer_from(0)
hash_path = listed(bare_hash, MAX_PATH)
_segments = pattern(r"[A-Za-z0-9._\-+@=,()\[\] /]{1,400}")


def path(value: Any) -> bool:
    if not _segments(value):
        return False
    for segment in value.split("/"):
        if not segment or segment[-1] in ". " or segment.split(".")[0].rstrip(" ").lower() in _DEVICES:
            return False
    return True


def rising(keys: list[Any]) -> bool:
    """In strictly ascending order, so that none is there twice."""
    return all(a < b for a, b in pairwise(keys))


def read_base64(value: str, length: int | None = None) -> bytes:
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise Unreadable(f"{value[:40]!r} is not base64") from error
    if base64.b64encode(data).decode() != value:
        raise Unreadable(f"{value[:40]!r} is not the one spelling of its bytes in base64")
    if length is not None and len(data) != length:
        raise Unreadable(f"{value[:40]!r} holds {len(data)} bytes instead of {length}")
    return data


def read_number(value: str) -> int:
    if not number(value) or int(value) > MAX_INTEGER:
        raise Unreadable(f"{value[:40]!r} is no number of a note")
    return int(value)


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a key stands twice in one object")
    return found


def _refuse(spelling: str) -> Any:
    raise Unreadable(f"the number {spelling[:40]} is not allowed")


def read_json(data: bytes) -> Any:
    """JSON of others: UTF-8, no key twice, no NaN or infinity; else as RFC 8259 has it."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_members_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from error


def _written(value: Any, depth: int) -> str:
    """The value as canonical JSON, member by member; refuses what has no such form."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if abs(value) <= MAX_INTEGER else _refuse(str(value))
    if isinstance(value, str):
        if "\0" in value:
            raise Unreadable("a string holds U+0000")
        return json.dumps(value, ensure_ascii=False)
    if depth > MAX_DEPTH:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return "[" + ",".join(_written(item, depth + 1) for item in value) + "]"
    for key in value:
        if not _KEY.fullmatch(key):
            raise Unreadable(f"{key[:80]!r} is no key of canonical JSON")
    return "{" + ",".join(f'"{key}":{_written(value[key], depth + 1)}' for key in sorted(value)) + "}"


def canonical_bytes(value: Any) -> bytes:
    try:
        return _written(value, 1).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unreadable("a string holds half of a surrogate pair") from error


def _short_integer(spelling: str) -> int:
    return int(spelling) if len(spelling) <= 17 else _refuse(spelling)


def read_canonical(data: bytes) -> Any:
    if len(data) > MAX_JSON_BYTES:
        raise Unreadable(f"{len(data)} bytes of JSON; {MAX_JSON_BYTES} are the most")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_members_once,
            parse_float=_refuse,
            parse_constant=_refuse,
            parse_int=_short_integer,
        )
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from error
    if canonical_bytes(value) != data:
        raise Unreadable("not in canonical form")
    return value
