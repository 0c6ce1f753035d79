"""The verifier's reader of entries: every member has one form, and nothing may be added, left out or be longer than allowed."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from audit import dsse, notes, offline_verify
from audit.offline_verify import Bad, read_entry
from registry.digests import canonical, parse_canonical
from tests.audit import bundle_builder as builder

LEDGER = builder.tell().ledger
ENTRY: Any = parse_canonical(LEDGER.entries[1])  # it has two records and a ref


def members(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every object, list and value of an entry, rows left out: they are free."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        found += [(*path, key)] if key == "row" else members(item, (*path, key))
    return found


def at(entry: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        entry = entry[key]
    return entry


FREE = {"on_behalf_of", "request", "team", "kind", "role", "via", "name"}


def refused(entry: Any) -> bool:
    try:
        read_entry(canonical(entry), 1, "here")
    except Bad:
        return True
    return False


def test_an_entry_is_read() -> None:
    assert read_entry(canonical(ENTRY), 1, "here").seq == ENTRY["stream_seq"]
    assert not refused(ENTRY)


@pytest.mark.parametrize("path", members(ENTRY), ids=lambda path: ".".join(map(str, path)))
def test_every_member_has_its_form(path: tuple[Any, ...]) -> None:
    strange: list[Any] = [True, -1, [7]] + ([] if path[-1] == "row" else [{"a": 1}])
    strange += [] if path[-1] in FREE else ["x", ""]
    strange += [None] if path[-1] not in {"on_behalf_of", "request", "team"} else []
    for value in strange:
        entry = copy.deepcopy(ENTRY)
        at(entry, path[:-1])[path[-1]] = value
        assert refused(entry), value


@pytest.mark.parametrize("path", [(), *members(ENTRY)], ids=lambda path: ".".join(map(str, path)))
def test_no_member_is_added_or_left_out(path: tuple[Any, ...]) -> None:
    if isinstance(at(ENTRY, path), dict) and (not path or path[-1] != "row"):
        entry = copy.deepcopy(ENTRY)
        at(entry, path)["more"] = None
        assert refused(entry)
        for key in at(ENTRY, path):
            entry = copy.deepcopy(ENTRY)
            del at(entry, path)[key]
            assert refused(entry), key


def test_an_entry_is_printable_ascii() -> None:
    for text in ("Gr\u00fc\u00dfe", "a\u007f"):
        entry = copy.deepcopy(ENTRY)
        entry["event"]["request"] = text
        assert refused(entry)


def test_entry_and_event_have_their_longest() -> None:
    entry = copy.deepcopy(ENTRY)
    entry["event"]["request"] = ""
    room = 65_000 - len(canonical(entry["event"]))
    entry["event"]["request"] = "x" * room
    assert not refused(entry)
    entry["event"]["request"] += "x"
    assert refused(entry)
    with pytest.raises(Bad, match="65535"):
        read_entry(b" " * 65_536, 1, "here")


def test_the_path_of_a_proof_has_at_most_64_hashes() -> None:
    receipt = LEDGER.receipts[1]
    for count in (64, 65):
        proof = notes.TlogProof(1, (bytes(32),) * count, LEDGER.checkpoint(), receipt).text()
        if count == 64:
            assert len(offline_verify.read_tlog_proof(proof, "here").path) == 64
        else:
            with pytest.raises(Bad, match="at most 64"):
                offline_verify.read_tlog_proof(proof, "here")


def test_no_key_stands_twice_in_an_envelope_or_a_statement() -> None:
    issuer = builder.issuer_signer()
    key = offline_verify.PublicKey(issuer.name, issuer.public.raw)
    good = dsse.sign_envelope(issuer, builder.STATEMENT)
    twice = good.replace(b'"payload":', b'"payload":"e30=","payload":', 1)
    assert json.loads(twice) == json.loads(good)
    with pytest.raises(Bad, match="not a DSSE envelope"):
        offline_verify.check_statement(twice, key, "here")
    subject = base64.b64decode(json.loads(good)["payload"])
    with pytest.raises(Bad, match="no in-toto statement"):
        offline_verify.subjects_of(subject.replace(b'"subject":', b'"subject":[],"subject":', 1), "here")
