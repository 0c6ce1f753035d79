"""Plain entries, read by regular expressions: several times faster than parsing JSON and writing it again to compare.

One reason: verify-ledger and replay read every entry there is, and nearly all of them have one plain shape. Rules:
- what a pattern matches is canonical by construction: members in order, no white space, printable ASCII without escapes, integers
  of at most 15 digits, lists of such scalars, a record's row with exactly the columns of its type; what a JSON column holds beyond
  that is cut out and read by itself;
- what matches is also held against the rules of records: each stands once, in the stream that follows from its row;
- what does not match is not judged here: `None` sends it to the exact readers, `entries.parse` and `entries.record_flaws`. So
  nothing is accepted or refused here that those two would not accept or refuse; a property test holds the two beside each other.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import models

from registry.digests import CanonicalError, parse_canonical
from registry.images import RecordType

_STRING = r'"[ !#-\[\]-~]*"'
_INTEGER = r"(?:0|-?[1-9][0-9]{0,14})"
_SCALAR = rf"(?:{_STRING}|null|true|false|{_INTEGER})"
_VALUE = rf"(?:{_STRING}|null|true|false|{_INTEGER}|\[(?:{_SCALAR}(?:,{_SCALAR})*)?\])"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# 29 February goes to the exact reader, which knows the calendar
_DAY = r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
_TIME = rf"[1-9][0-9]{{3}}-{_DAY}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){{2}}\.[0-9]{{6}}Z"
_ACTOR = rf'\{{"id":"{_UUID}","on_behalf_of":(?:null|"{_UUID}"),"role":{_STRING},"via":{_STRING}\}}'
_REF = rf'\{{"digest":"(sha256:[0-9a-f]{{64}})","name":"([ !#-\[\]-~]*)","size_bytes":({_INTEGER})\}}'
_REF_PLAIN = _REF.replace("(sha", "(?:sha").replace("([ ", "(?:[ ").replace("((?:0", "(?:(?:0")

_HEAD = re.compile(
    rf'\{{"at":"({_TIME})","event":\{{"actor":({_ACTOR}),"at":"({_TIME})","id":"({_UUID})",'
    r'"kind":"([a-z][a-z_]*\.[a-z][a-z_]*)","records":\['
)
_TAIL = re.compile(
    rf'\],"refs":\[((?:{_REF_PLAIN}(?:,{_REF_PLAIN})*)?)\],"request":(null|"{_UUID}"),"team":(?:null|"{_UUID}"),'
    rf'"unit":"({_UUID})","v":1\}},"stream":"([ !#-\[\]-~]*)","stream_seq":({_INTEGER}),"v":1\}}'
)
_REFS = re.compile(_REF)
_TYPE_MARK = '},"type":"'
_MARK_CHARACTERS = len(_TYPE_MARK)
_STREAMS_KEPT = 256
_TEXTS_KEPT = 128
_TEXT_LIMIT_CHARACTERS = 65_535


PlainRecord = tuple[str, str, str]
"""Type, id and the canonical text of the row of a record."""


class PlainEntry(NamedTuple):
    """What an entry says. `actor` and `request` are canonical JSON; `refs` are (digest, name, size in bytes)."""

    at: str
    actor: str
    event_at: str
    id: str
    kind: str
    records: Sequence[PlainRecord]
    refs: Sequence[tuple[str, str, int]]
    request: str
    unit: str
    stream: str
    stream_seq: int


def _refs_of(text: str) -> list[tuple[str, str, int]]:
    return [(digest, name, int(size)) for digest, name, size in _REFS.findall(text)]


class _Partial:
    """The columns that a stream function is known to read, and no other way to ask: anything else raises."""

    __slots__ = ("_row",)

    def __init__(self, row: dict[str, str | None]) -> None:
        self._row = row

    def __getitem__(self, column: str) -> str | None:
        return self._row[column]


class _NoKey:
    """Stands for the row's key where the stream does not depend on it; writing it into a stream raises."""

    def __repr__(self) -> str:
        raise TypeError("this stream was not known to depend on the key")


class _Noting(Mapping[str, Any]):
    """A row that notes which of its columns are read."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row, self.read = row, set[str]()

    def __getitem__(self, column: str) -> Any:
        self.read.add(column)
        return self._row[column]

    def __iter__(self) -> Iterator[str]:
        self.read.update(self._row)
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


@dataclass(frozen=True)
class _TypePattern:
    """A record of one type: its text; its groups id, row, columns that the stream function reads, JSON columns; its stream."""

    match: Callable[[str, int], re.Match[str] | None]
    groups: tuple[int, ...]
    first_in_json: int
    stream_of: Callable[[tuple[str, ...]], str]


def _stream_reader(
    stream: Callable[[uuid.UUID, Any], str], columns: tuple[str, ...], needs_key: bool
) -> Callable[[tuple[str, ...]], str]:
    """From a record's groups to its stream; raises one of _UNANSWERED where these groups do not tell."""

    read = slice(2, 2 + len(columns))

    @lru_cache(maxsize=_STREAMS_KEPT)
    def by_columns(*values: str) -> str:
        row = _Partial({column: _scalar(value) for column, value in zip(columns, values, strict=True)})
        return stream(_NO_KEY, row)  # type: ignore[arg-type]

    def by_key(groups: tuple[str, ...]) -> str:
        row = _Partial({column: _scalar(value) for column, value in zip(columns, groups[read], strict=True)})
        return stream(uuid.UUID(groups[0]), row)

    return by_key if needs_key else lambda groups: by_columns(*groups[read])


_NO_KEY = _NoKey()
_UNANSWERED = (TypeError, ValueError, LookupError, AttributeError)
_SOME_KEYS = (uuid.UUID(int=1), uuid.UUID(int=2))


def _scalar(text: str) -> str | None:
    if text[0] == '"':
        return text[1:-1]
    if text == "null":
        return None
    raise ValueError(f"{text[:40]} is no text")


def _is_value(text: str) -> bool:
    """Whether what was cut out of a JSON column is a canonical value."""
    return text[0] not in "[{" or _is_canonical(text)


@lru_cache(maxsize=_TEXTS_KEPT)
def _is_canonical(text: str) -> bool:
    """Whether a list or object is canonical JSON, nested as deep as it stands: in entry, event, records, record and row."""
    try:
        parse_canonical(b"[[[[[" + text.encode("ascii") + b"]]]]]")
    except CanonicalError:
        return False
    return True


def _type_pattern(record_type: RecordType) -> _TypePattern:
    names = sorted(column.attname for column in record_type.columns)
    in_json = {column.attname for column in record_type.columns if isinstance(column, models.JSONField)}
    read, needs_key = _probe(record_type, names)
    if read & in_json:
        read = set()  # no stream of ours does; the exact reader would take over
    columns = ",".join(f'"{name}":{_column(name, read, in_json)}' for name in names)
    pattern = rf'\{{"id":"(?P<id>{_UUID})","row":(?P<row>\{{{columns}\}}),"type":"{re.escape(record_type.type)}"\}}'
    compiled = re.compile(pattern)
    groups = tuple(compiled.groupindex[name] for name in ("id", "row", *sorted(read), *sorted(in_json)))
    stream_of = _stream_reader(record_type.stream, tuple(sorted(read)), needs_key)
    return _TypePattern(compiled.match, groups, 2 + len(read), stream_of)


def _column(name: str, read: set[str], in_json: set[str]) -> str:
    if name in in_json:
        return rf"(?P<{name}>{_VALUE}|[\[{{][ -~]*?[\]}}])"
    return f"(?P<{name}>{_VALUE})" if name in read else _VALUE


def _probe(record_type: RecordType, names: list[str]) -> tuple[set[str], bool]:
    """Which columns the stream function reads, and whether it depends on the key."""
    read: set[str] = set()
    needs_key = False
    for value in ("x", None):
        found = set[str | None]()
        for key in _SOME_KEYS:
            row = _Noting(dict.fromkeys(names, value))
            try:
                found.add(record_type.stream(key, row))  # type: ignore[arg-type]
            except _UNANSWERED:
                found.add(None)
            read |= row.read
        needs_key = needs_key or len(found) > 1
    return read, needs_key


class Patterns:
    """The patterns of the record types in force; make one per run over the ledger."""

    def __init__(self, types: list[RecordType]) -> None:
        self._types = {record_type.type: _type_pattern(record_type) for record_type in types}

    def read(self, data: bytes) -> PlainEntry | None:
        """The entry, if it is plain and every rule of entries and records holds; None when the exact readers must judge."""
        if len(data) > _TEXT_LIMIT_CHARACTERS or not data.isascii():
            return None
        text = data.decode("ascii")
        head = _HEAD.match(text)
        if head is None:
            return None
        records: list[PlainRecord] = []
        end, followed = self._records(text, head.end(), records)
        tail = _TAIL.fullmatch(text, end) if end else None
        if tail is None:
            return None
        refs, request, unit, stream, number = tail.groups()
        if followed is not None and followed != stream:
            return None
        named = _refs_of(refs) if refs else ()
        at, actor, event_at, event_id, kind = head.groups()
        return PlainEntry(at, actor, event_at, event_id, kind, records, named, request, unit, stream, int(number))

    def _records(self, text: str, position: int, records: list[PlainRecord]) -> tuple[int, str | None]:
        """Read records up to the bracket that closes them: its position, 0 when one is not plain, and their one stream."""
        followed: str | None = None
        if text[position] == "]":
            return position, followed
        while True:
            # the type stands last in a record: this guess at where it stands is held against the pattern
            begin = text.find(_TYPE_MARK, position) + _MARK_CHARACTERS
            name = text[begin : text.find('"', begin)]
            pattern = self._types.get(name)
            found = None if pattern is None else pattern.match(text, position)
            if pattern is None or found is None:
                return 0, None
            groups = found.group(*pattern.groups)
            if not all(map(_is_value, groups[pattern.first_in_json :])):
                return 0, None
            try:
                stream = pattern.stream_of(groups)
            except _UNANSWERED:
                return 0, None
            if followed is None:
                followed = stream
            elif followed != stream or any(record[1] == groups[0] for record in records):
                return 0, None
            records.append((name, groups[0], groups[1]))
            position = found.end()
            if text[position : position + 1] != ",":
                return position, followed
            position += 1
