"""The patterns accept and refuse exactly what the exact readers do: whatever they read, those read as well, and the same."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import entries
from audit.verification.entry_patterns import Patterns, PlainEntry
from registry.digests import CanonicalError, canonical, parse_canonical
from registry.images import RecordType, record_types
from tests.worlds.audit import AuditWorld

KEY = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8058")
AT = "2026-01-02T03:04:05.000000Z"


@pytest.fixture(scope="module")
def patterns() -> Patterns:
    return Patterns(record_types())


def exactly(data: bytes) -> PlainEntry | None:
    """What the exact readers make of it; None when they find a fault."""
    try:
        entry = entries.parse(data)
    except entries.Bad:
        return None
    return None if list(entries.record_flaws(entry, entries.in_force())) else entries.plain(entry)


def agree(patterns: Patterns, data: bytes) -> PlainEntry | None:
    """The patterns' answer, after it was held against the exact one."""
    plain = patterns.read(data)
    if plain is not None:
        assert parse_canonical(data)
        exact = exactly(data)
        assert exact is not None, data
        assert tuple(exact[:5]) == tuple(plain[:5])
        assert list(exact.records) == list(plain.records)
        assert list(exact.refs) == list(plain.refs)
        assert tuple(exact[7:]) == tuple(plain[7:])
    return plain


def columns_of(record_type: RecordType) -> dict[str, Any]:
    row: dict[str, Any] = {column.attname: None for column in record_type.columns}
    for name in ("model_id", "monitor_id", "team_id", "dataset_id"):
        if name in row:
            row[name] = str(OTHER)
    return row | ({"stream": f"model:{OTHER}"} if "stream" in row else {})


def entry_of(*records: dict[str, Any], stream: str, **changes: Any) -> dict[str, Any]:
    event = {
        "actor": {"id": str(KEY), "on_behalf_of": None, "role": "engineer", "via": "api"}, "at": AT, "id": str(KEY),
        "kind": "thing.done", "records": list(records), "refs": [], "request": None, "team": None, "unit": str(OTHER), "v": 1,
    }  # fmt: skip
    return {"at": AT, "event": event | changes, "stream": stream, "stream_seq": 1, "v": 1}


def plain_entry(record_type: RecordType, **columns: Any) -> dict[str, Any]:
    row = columns_of(record_type) | columns
    record = {"id": str(KEY), "row": row, "type": record_type.type}
    return entry_of(record, stream=record_type.stream(KEY, row))


def written(entry: Any) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


TYPES = st.sampled_from(record_types())
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(min_value=-(2**54), max_value=2**54), st.floats(),
    st.text(), st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)), st.just(str(OTHER)),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
NESTED = st.recursive(
    st.integers(min_value=0, max_value=9),
    lambda inner: st.dictionaries(st.text("abAB_", max_size=2), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=20,
)


def test_every_type_in_force_is_read_where_its_values_are_plain(patterns: Patterns) -> None:
    for record_type in record_types():
        assert agree(patterns, canonical(plain_entry(record_type))) is not None, record_type.type


def test_what_the_product_writes_is_plain(house: AuditWorld, patterns: Patterns) -> None:
    from audit.models import Entry

    house.teams(2)
    for data in Entry.objects.values_list("entry", flat=True):
        assert agree(patterns, bytes(data)) is not None


@settings(max_examples=300, deadline=None)
@given(record_type=TYPES, data=st.data())
def test_any_value_in_any_column(patterns: Patterns, record_type: RecordType, data: st.DataObject) -> None:
    entry = plain_entry(record_type)
    row = entry["event"]["records"][0]["row"]
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(VALUES)
    agree(patterns, written(entry))


@settings(max_examples=200, deadline=None)
@given(value=NESTED, spaces=st.sampled_from(["", " "]))
def test_any_document_in_a_json_column(patterns: Patterns, value: Any, spaces: str) -> None:
    terms = next(t for t in record_types() if t.type == "provenance.licence/1")
    entry = plain_entry(terms, terms=value)
    plain = agree(patterns, written(entry).replace(b":", b":" + spaces.encode()) if spaces else written(entry))
    try:
        canonical(entry)
    except CanonicalError:
        assert plain is None
    else:
        assert (plain is None) == bool(spaces)


@pytest.mark.parametrize("depth", [10, 11, 12])
def test_a_json_column_is_read_as_deep_as_a_document_may_be(patterns: Patterns, depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    licence = next(t for t in record_types() if t.type == "provenance.licence/1")
    data = written(plain_entry(licence, terms=value))
    assert (agree(patterns, data) is None) == (depth > 11)
    assert (exactly(data) is None) == (depth > 11)


@settings(max_examples=600, deadline=None)
@given(record_type=TYPES, data=st.data())
def test_any_bytes_changed_anywhere(patterns: Patterns, record_type: RecordType, data: st.DataObject) -> None:
    text = bytearray(canonical(plain_entry(record_type)))
    for _ in range(data.draw(st.integers(min_value=1, max_value=3))):
        begin = data.draw(st.integers(min_value=0, max_value=len(text)))
        end = min(len(text), begin + data.draw(st.integers(min_value=0, max_value=3)))
        text[begin:end] = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from(TOKENS)))
    agree(patterns, bytes(text))


TOKENS = [
    b'"', b"\\", b"\\u0041", b"0", b"-0", b"1.0", b"1e3", b"true", b"null", b" ", b",", b"}", b"]", b"{}", b"[]", b"[1,2]",
    b"9007199254740992", b"\x7f", b"\xc3\xa9", b'"a":1,', str(KEY).upper().encode(), b"2026-02-30T00:00:00.000000Z",
]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("at", "2026-02-30T00:00:00.000000Z"), ("at", "2026-13-01T00:00:00.000000Z"), ("at", "2026-01-01T24:00:00.000000Z"),
        ("at", "0000-01-01T00:00:00.000000Z"), ("v", True), ("v", 2), ("stream_seq", True), ("stream_seq", "1"),
        ("event.id", str(KEY).upper()), ("event.unit", "no uuid"), ("event.kind", "Thing.done"), ("event.team", "x"),
        ("event.request", 7), ("event.v", True), ("event.actor", {}), ("event.records", [{}]), ("event.refs", [{}]),
        ("event.refs", [{"digest": "sha256:" + "a" * 63, "name": "x", "size_bytes": 1}]),
        ("event.refs", [{"digest": "sha256:" + "a" * 64, "name": "x", "size_bytes": True}]),
        ("event.refs", [{"digest": "sha256:" + "a" * 64, "name": "x", "size_bytes": 1.5}]),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_of_entries_is_refused_by_both(patterns: Patterns, where: str, value: Any) -> None:
    entry = entry_of(stream="instance")
    assert agree(patterns, written(entry)) is not None
    holder, _, name = where.rpartition(".")
    (entry[holder] if holder else entry)[name] = value
    assert agree(patterns, written(entry)) is None
    assert exactly(written(entry)) is None


def test_the_29th_of_february_is_left_to_the_calendar(patterns: Patterns) -> None:
    good, bad = (written(entry_of(stream="instance") | {"at": f"{y}-02-29T00:00:00.000000Z"}) for y in (2028, 2027))
    assert patterns.read(good) is patterns.read(bad) is None
    assert exactly(good) is not None
    assert exactly(bad) is None


def test_refs_are_read_with_their_names_and_sizes(patterns: Patterns) -> None:
    digest = "sha256:" + "a" * 64
    refs = [{"digest": digest, "name": name, "size_bytes": size} for name, size in (("keys", 3), ("", 0))]
    plain = agree(patterns, written(entry_of(stream="instance", refs=refs)))
    assert plain is not None
    assert plain.refs == [(digest, "keys", 3), (digest, "", 0)]


def test_a_record_that_stands_twice_and_one_of_another_stream_are_left_to_the_exact_reader(patterns: Patterns) -> None:
    actor = next(t for t in record_types() if t.type == "access.actor/1")
    record = {"id": str(KEY), "row": columns_of(actor), "type": actor.type}
    other = record | {"id": str(OTHER)}
    assert agree(patterns, written(entry_of(record, other, stream="instance"))) is not None
    for entry in (entry_of(record, record, stream="instance"), entry_of(record, stream=f"team:{KEY}")):
        assert patterns.read(written(entry)) is None
        assert exactly(written(entry)) is None


def strange_type(stream: Any) -> RecordType:
    actor = next(t for t in record_types() if t.type == "access.team/1")
    return RecordType("access.strange", 1, actor.model, stream)


@pytest.mark.parametrize(
    "stream",
    [
        lambda key, row: "instance" if row["slug"] != "secret" else f"team:{key}",
        lambda key, row: "instance" if row["slug"] != "secret" else f"team:{row['title_id']}",
        lambda key, row: "instance" if row.get("slug") != "secret" else "team:x",
        lambda key, row: "instance" if "secret" not in row.values() else "team:x",
        lambda key, row: {"secret": f"team:{key}"}.get(row["slug"], "instance"),
    ],
)
def test_a_stream_that_follows_in_a_way_not_foreseen_is_never_guessed(stream: Any) -> None:
    record_type = strange_type(stream)
    patterns = Patterns([record_type])
    for slug in ("open", "secret"):
        row = columns_of(record_type) | {"slug": slug}
        record = {"id": str(KEY), "row": row, "type": record_type.type}
        for claimed in ("instance", "team:x", f"team:{KEY}", "team:None", f"team:{row['title_id']}"):
            plain = patterns.read(written(entry_of(record, stream=claimed)))
            assert plain is None or claimed == stream(KEY, row), (slug, claimed)


def test_an_entry_past_the_limit_is_refused_by_both(patterns: Patterns) -> None:
    ref = {"digest": "sha256:" + "a" * 64, "name": "x", "size_bytes": 1}
    data = written(entry_of(stream="instance", refs=[ref] * 700))
    assert len(data) > entries.ENTRY_LIMIT_BYTES
    assert patterns.read(data) is exactly(data) is None


@pytest.mark.parametrize(
    "escape", [b"\\u0041", b"\\/", b"\\n", b'\\"', b"\\u00e9", b"\\x", b"\\", b"\xc3\xa9", b"\x7f", b"\n"]
)
@pytest.mark.parametrize("where", [b'"role":"', b'"via":"', b'"name":"', b'"slug":"', b'"stream":"'])
def test_an_escape_in_a_text_is_judged_by_the_exact_reader(patterns: Patterns, where: bytes, escape: bytes) -> None:
    team = next(t for t in record_types() if t.type == "access.team/1")
    entry = plain_entry(team, slug="x")
    entry["event"]["refs"] = [{"digest": "sha256:" + "a" * 64, "name": "keys", "size_bytes": 1}]
    data = written(entry)
    assert agree(patterns, data) is not None
    assert where in data
    assert agree(patterns, data.replace(where, where + escape, 1)) is None
