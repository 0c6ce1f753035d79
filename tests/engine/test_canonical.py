"""The engine writes documents by the rules that the ledger seals."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression_engine.canonical import (
    CanonicalError,
    canonical,
    decimal_text,
    digest_of,
    is_decimal,
    parse_canonical,
    parse_json,
)

VECTOR = "6836bd4fc6c0ccefafdd9b796b144d21415d10929d0675a681977a028b676877"


def test_the_vector_of_the_format_has_its_digest() -> None:
    value = {"b": [1, None, True, "é\x07\u2028/"], "a": {"n": -5}}
    assert len(canonical(value)) == 47
    assert digest_of(canonical(value)) == f"sha256:{VECTOR}"


def test_a_combining_accent_is_kept_as_it_is() -> None:
    assert digest_of(canonical({"a": "e\u0301"})).startswith("sha256:30ab99c636f80168")
    assert digest_of(canonical({"a": "\u00e9"})).startswith("sha256:b3a092a6")


@pytest.mark.parametrize("value", [1.0, {"A": 1}, 2**53, -(2**53), "\ud800", "a\0", {1: 2}, {"": 1}, b"x"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


def test_sixteen_levels_are_allowed_and_seventeen_are_not() -> None:
    value: object = 1
    for _ in range(15):
        value = [value]
    assert canonical(value)
    with pytest.raises(CanonicalError, match="deeper"):
        canonical([[value]])


@pytest.mark.parametrize("data", [b'{"a":1,"a":1}', b'{"a": 1}', b'{"b":1,"a":1}', b"1.0", b"NaN", b"[1", b"\xff"])
def test_another_spelling_of_a_document_is_refused(data: bytes) -> None:
    with pytest.raises(CanonicalError):
        parse_canonical(data)


def test_a_draft_may_be_spelled_freely_but_not_with_doubled_keys() -> None:
    assert parse_json(b'{ "b": 1, "a": 2 }') == {"a": 2, "b": 1}
    with pytest.raises(CanonicalError, match="twice"):
        parse_json(b'{"a":1,"a":1}')


@pytest.mark.parametrize(
    ("number", "text"),
    [(1e-07, "0.0000001"), (-0.0, "0"), (1e22, "10000000000000000000000"), (2.5e-10, "0.00000000025"), (0.1, "0.1")],
)
def test_decimals_are_written_out(number: float, text: str) -> None:
    assert decimal_text(number) == text
    assert is_decimal(text)


def test_trailing_zeros_are_cut_and_what_is_no_number_is_null() -> None:
    assert decimal_text(Decimal("0.050")) == "0.05"
    assert decimal_text(float("nan")) is None
    assert decimal_text(float("inf")) is None
    assert not is_decimal("1.0")
    assert not is_decimal("1e3")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_reads_back_as_the_same_number(number: float) -> None:
    text = decimal_text(number)
    assert text is not None
    assert is_decimal(text)
    assert float(text) == number


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_engine_and_registry_write_the_same_bytes(value: object) -> None:
    digests = pytest.importorskip("registry.digests")
    try:
        theirs = digests.canonical(value)
    except digests.CanonicalError:
        with pytest.raises(CanonicalError):
            canonical(value)
        return
    assert canonical(value) == theirs
    assert parse_canonical(theirs) == value


def test_the_schema_of_a_recipe_is_itself_json() -> None:
    path = Path(__file__).parents[2] / "compression_engine" / "schemas" / "recipe-1.json"
    assert json.loads(path.read_text())["properties"]["type"]["const"] == "pressmark/recipe/1"
