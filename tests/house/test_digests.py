"""The rules of FORMATS sections 1, 2, 3 and 5, one by one, beyond the vectors."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import digests
from registry.canonical import _check
from registry.digests import CanonicalError

ZERO = "sha256:" + "0" * 64

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
KEYS = st.from_regex(r"\A[a-z0-9_]{1,64}\Z")
VALUES = st.recursive(
    st.none() | st.booleans() | TEXTS | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


WILD_TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(["\x00", "\\u0000", "\ud800", "\\", '"'])
WILD = st.recursive(
    st.none() | st.booleans() | WILD_TEXTS | st.integers(-(2**54), 2**54) | st.floats() | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(KEYS | WILD_TEXTS | st.integers(0, 1), inner, max_size=4)
    ),
    max_leaves=8,
)


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@given(VALUES)
def test_what_is_written_is_read_back_and_written_the_same(value: Any) -> None:
    data = digests.canonical(value)
    assert digests.parse_canonical(data) == value
    assert digests.canonical(digests.parse_canonical(data)) == data


@given(WILD)
def test_the_quick_look_lets_nothing_through_that_the_close_one_refuses(value: Any) -> None:
    refusal = None
    try:
        _check(value, "$", 1)
    except CanonicalError as error:
        refusal = str(error)
    if refusal is None:
        plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert digests.canonical(value) == plain.encode()
    else:
        with pytest.raises(CanonicalError) as found:
            digests.canonical(value)
        assert str(found.value) == refusal


@given(VALUES)
def test_any_other_spelling_of_the_same_value_is_refused(value: Any) -> None:
    other = json.dumps(value, indent=1).encode()
    if other != digests.canonical(value):
        with pytest.raises(CanonicalError):
            digests.parse_canonical(other)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1.5, "decimal_text"),
        ({"a": [1, {"b": float("nan")}]}, r"\$\.a\[1\]\.b"),
        ({"Name": 1}, "key 'Name'"),
        ({"": 1}, "key ''"),
        ({"a" * 65: 1}, "key"),
        ({1: "a"}, "key 1"),
        ({"é": 1}, "key"),
        ({"a\n": 1}, "key"),
        ([2**53], "2\\^53"),
        ([-(2**53)], "2\\^53"),
        ("\ud800", "lone surrogate"),
        ("a\x00b", "U\\+0000"),
        (b"bytes", "bytes"),
        ({1, 2}, "set"),
        (Decimal("1"), "Decimal"),
        (nested(17), "16 levels"),
    ],
)
def test_the_writer_refuses_and_says_where(value: Any, hint: str) -> None:
    with pytest.raises(CanonicalError, match=hint):
        digests.canonical(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" {}",
        b"{}\n",
        b'{"b":1,"a":2}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b"NaN",
        b"-Infinity",
        b'"\\u00e9"',
        b'"\\/"',
        b'"\\u001F"',
        b"-0",
        b"01",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":1}',
        b"1" * 5000,
        b"[" * 200_000,
        b"[" * 17 + b"]" * 17,
        b'"a',
    ],
)
def test_the_reader_refuses_bytes_that_the_writer_would_not_write(data: bytes) -> None:
    with pytest.raises(CanonicalError):
        digests.parse_canonical(data)


def test_sixteen_levels_and_the_largest_integers_are_allowed() -> None:
    assert digests.canonical(nested(16)) == b"[" * 16 + b"]" * 16
    assert digests.canonical([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"
    assert digests.canonical((1, (2,))) == b"[1,[2]]"


def test_a_document_of_more_than_sixteen_mebibytes_is_refused_both_ways() -> None:
    text = "x" * (16 * 1024 * 1024)
    with pytest.raises(CanonicalError, match="16777218 bytes"):
        digests.canonical(text)
    with pytest.raises(CanonicalError, match="16777218 bytes"):
        digests.parse_canonical(f'"{text}"'.encode())
    assert len(digests.canonical(text[:-2])) == 16 * 1024 * 1024


def test_digests_have_one_spelling() -> None:
    digest = digests.sha256(b"")
    assert digest == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digests.is_digest(digest)
    assert digests.hex_of(digest) == digest[7:]
    for wrong in (digest[7:], digest.upper(), digest + "\n", digest[:-1], "sha512" + digest[6:], None, 5):
        assert not digests.is_digest(wrong)
    with pytest.raises(CanonicalError, match="no digest"):
        digests.hex_of(digest[7:])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_and_its_decimal_text_are_the_same_number(x: float) -> None:
    text = digests.decimal_text(x)
    assert text is not None
    assert digests.is_decimal(text)
    assert float(text) == x


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (None, None),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (Decimal("NaN"), None),
        (0, "0"),
        (-0.0, "0"),
        (Decimal("-0.00"), "0"),
        (100, "100"),
        (1e16, "10000000000000000"),
        (Decimal("1E+3"), "1000"),
        (0.1, "0.1"),
        (numpy.float64(0.1), "0.1"),
        (-2.50, "-2.5"),
        (5e-324, "0." + "0" * 323 + "5"),
    ],
)
def test_decimals_are_written_out(x: Any, text: str | None) -> None:
    assert digests.decimal_text(x) == text


@pytest.mark.parametrize("text", ["-0", "01", "1.", ".5", "1.0", "0.10", "1e3", "+1", "", " 1", "1\n", "NaN", "١"])
def test_other_spellings_of_numbers_are_no_decimals(text: str) -> None:
    assert not digests.is_decimal(text)


@pytest.mark.parametrize("x", [True, "1", Decimal("1e999999")])
def test_what_is_no_number_or_too_long_has_no_decimal_text(x: Any) -> None:
    with pytest.raises(CanonicalError):
        digests.decimal_text(x)


def test_times_are_utc_with_six_digits() -> None:
    moment = datetime(2026, 1, 2, 4, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    assert digests.time_text(moment) == "2026-01-02T03:04:05.000000Z"
    assert digests.parse_time("2026-01-02T03:04:05.000000Z") == moment
    assert digests.parse_time("2026-01-02T03:04:05.000000Z").tzinfo is UTC
    assert digests.time_text(datetime(987, 1, 1, tzinfo=UTC)) == "0987-01-01T00:00:00.000000Z"
    assert digests.date_text(date(2026, 1, 2)) == "2026-01-02"


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.000000+00:00",
        "2026-01-02 03:04:05.000000Z",
        "2026-13-02T03:04:05.000000Z",
        "2026-01-02T03:04:05.000000Z\n",
        "٢026-01-02T03:04:05.000000Z",
        None,
    ],
)
def test_other_spellings_of_times_are_refused(text: Any) -> None:
    with pytest.raises(CanonicalError, match="no time"):
        digests.parse_time(text)


def test_a_time_without_zone_and_a_time_as_a_date_are_refused() -> None:
    with pytest.raises(CanonicalError, match="no time zone"):
        digests.time_text(datetime(2026, 1, 2))
    with pytest.raises(CanonicalError, match="not a date"):
        digests.date_text(datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("text", ["a", "0", "a-b", "a.b_c", "a" * 63])
def test_slugs_are_plain_names(text: str) -> None:
    assert digests.is_slug(text)


@pytest.mark.parametrize("text", ["", "A", "-a", "a-", ".a", "a..b", "a" * 64, "a b", "a/b", "ä", "a\n", None])
def test_other_texts_are_no_slugs(text: Any) -> None:
    assert not digests.is_slug(text)


@pytest.mark.parametrize("text", ["a", "a/b.bin", "A (1)/[x],y=z@w+v-u_t", ".hidden", "a/..b", "nulls", "x" * 400])
def test_safe_relative_paths_are_allowed(text: str) -> None:
    assert digests.is_path(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/a", "a/", "a//b", ".", "..", "a/../b", "a.", "a ", "b /c", "a\\b", "a:b", "ä", "a\n", "x" * 401),
        *("nul", "NUL.txt", "a/Con", "com1.tar.gz", "LPT9 .x", "aux.", "a\x00b", "~", None),
    ],
)
def test_paths_that_some_system_would_read_otherwise_are_refused(text: Any) -> None:
    assert not digests.is_path(text)


def test_a_list_of_paths_must_fit_side_by_side_on_every_system() -> None:
    digests.check_paths(["a/b", "a/c", "d"])
    with pytest.raises(CanonicalError, match="stands twice"):
        digests.check_paths(["a/B", "a/b"])
    with pytest.raises(CanonicalError, match="also the name of a file"):
        digests.check_paths(["a/b/c", "A/b"])
    with pytest.raises(CanonicalError, match="no allowed path"):
        digests.check_paths(["a", "../b"])
    digests.check_paths([f"f{number}" for number in range(10_000)])
    with pytest.raises(CanonicalError, match="10001 files"):
        digests.check_paths([f"f{number}" for number in range(10_001)])


def test_a_commitment_needs_a_whole_salt_and_text_that_can_be_written() -> None:
    assert digests.commitment(bytes(32), "a") != digests.commitment(bytes(31) + b"\x01", "a")
    assert digests.commitment(bytes(32), "e\u0301") != digests.commitment(bytes(32), "\u00e9")
    with pytest.raises(CanonicalError, match="32 random bytes"):
        digests.commitment(b"", "a")
    with pytest.raises(CanonicalError, match="lone surrogate"):
        digests.commitment(bytes(32), "\udc00")


def a_file(**changes: Any) -> dict[str, Any]:
    return {"digest": ZERO, "path": "b.onnx", "role": "weights", "size_bytes": 1, **changes}


def test_a_version_document_lists_files_by_path_in_any_order_given() -> None:
    files = [a_file(), a_file(path="a.json", role="configuration")]
    assert digests.version_document(files) == digests.version_document(files[::-1])
    document = digests.parse_canonical(digests.version_document(files))
    assert isinstance(document, dict)
    assert document["type"] == "pressmark/version/1"
    assert document["files"] == files[::-1]


@pytest.mark.parametrize(
    "change",
    [
        *({"role": "other thing"}, {"digest": "0" * 64}, {"size_bytes": -1}, {"size_bytes": True}),
        *({"size_bytes": "1"}, {"path": "../x"}, {"path": 5}, {"extra": 1}),
    ],
)
def test_a_version_document_refuses_a_file_that_breaks_a_rule(change: dict[str, Any]) -> None:
    with pytest.raises(CanonicalError):
        digests.version_document([a_file(**change)])


def test_a_version_needs_files_with_different_paths() -> None:
    with pytest.raises(CanonicalError, match="at least one"):
        digests.version_document([])
    with pytest.raises(CanonicalError, match="stands twice"):
        digests.version_document([a_file(), a_file(path="B.onnx")])


def a_figure(**changes: Any) -> dict[str, Any]:
    figure = dict.fromkeys(("high", "low", "reason", "spread", "unit"))
    return {**figure, "metric": "cosine", "n": 8, "slice": [], "value": "0.5", **changes}


def evidence(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "kind": "fidelity",
        "method": {"name": "cosine", "version": "1"},
        "source": "measured",
        "subjects": [{"digest": ZERO, "role": "version"}],
        "figures": [a_figure()],
        "environment": [{"name": "python", "value": "3.11"}],
        "seed": 7,
    }
    return digests.evidence_document(**{**given, **changes})


def test_evidence_has_every_member_and_the_same_bytes_twice() -> None:
    assert evidence() == evidence()
    document = digests.parse_canonical(evidence(seed=None))
    assert isinstance(document, dict)
    assert sorted(document) == ["environment", "figures", "kind", "method", "seed", "source", "subjects", "type"]


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"source": "guessed"}, "source"),
        ({"kind": ""}, "kind"),
        ({"method": {"name": "x"}}, "method"),
        ({"subjects": [{"digest": ZERO, "role": "child"}]}, "role"),
        ({"subjects": [{"digest": "x", "role": "parent"}]}, "no digest"),
        ({"subjects": [{"digest": ZERO}]}, "subject"),
        ({"seed": -1}, "seed"),
        ({"environment": [{"name": "a", "value": "1"}] * 2}, "twice"),
        ({"figures": [a_figure(value=0.5)]}, "decimal_text"),
        ({"figures": [a_figure(value="0.50")]}, "decimal_text"),
        ({"figures": [a_figure(value=None)]}, "reason"),
        ({"figures": [a_figure(n=-1)]}, "n of figure"),
        ({"figures": [a_figure(slice={"race": "2"})]}, "slice"),
        ({"figures": [{"metric": "x"}]}, "members"),
    ],
)
def test_evidence_that_breaks_a_rule_is_refused(change: dict[str, Any], hint: str) -> None:
    with pytest.raises(CanonicalError, match=hint):
        evidence(**change)


def test_an_evidence_set_has_no_order_and_no_doubles() -> None:
    one, two = digests.sha256(b"1"), digests.sha256(b"2")
    assert digests.evidence_set_document([one, two, one]) == digests.evidence_set_document([two, one])
    with pytest.raises(CanonicalError, match="no digest"):
        digests.evidence_set_document(["x"])
