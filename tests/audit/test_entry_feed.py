"""A second process may read ahead: what comes of it is the same, whatever happens to that process."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from django.db import connection

from audit import checkpoints
from audit.verification import entry_feed, raw_entries, verify_ledger
from tests.services.home import Home
from tests.worlds.audit import AuditWorld, tamper


def test_a_second_process_gives_the_same_and_its_loss_costs_nothing(tmp_path: Path) -> None:
    told = Home(tmp_path / "home").ask("tests.audit.feed_acts", "both_ways")
    assert told["items"] == told["size"]
    assert (told["same"], told["beside"]) == (True, told["size"])
    assert (told["same_with_another_ledger"], told["from_another_ledger"]) == (True, 0)
    assert told["same_when_killed"]
    assert 0 < told["before_it_was_killed"] < told["size"]
    assert told["same_answer"]
    assert told["flaws"] >= 3


def test_inside_a_transaction_nobody_else_is_asked_to_read(house: AuditWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_feed, "BESIDE_FROM_ENTRIES", 1)
    monkeypatch.setattr(entry_feed, "_from_beside", lambda *words: pytest.fail("it would not see this transaction"))
    assert verify_ledger.verify().ok


@pytest.mark.db_guarantee
def test_entries_come_as_they_stand_however_they_are_fetched(
    house: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.teams(5)
    size = checkpoints.ledger_size()
    monkeypatch.setattr(raw_entries, "BATCH", 4)
    found = [row for rows in raw_entries.batches(size) for row in rows]
    with connection.cursor() as cursor:
        cursor.execute("SELECT position, stream, stream_seq, at, entry, leaf FROM audit_entry ORDER BY position")
        plain = [(*row[:4], bytes(row[4]), bytes(row[5])) for row in cursor.fetchall()]
    assert found == plain
    assert [row[0] for rows in raw_entries.batches(size - 1, 3) for row in rows] == list(range(3, size - 1))


@pytest.mark.db_guarantee
def test_an_empty_column_is_a_flaw_and_no_crash(house: AuditWorld) -> None:
    if connection.vendor == "postgresql":
        house.teams(2)
        last = checkpoints.ledger_size() - 1
        tamper("audit_entry", "ALTER TABLE audit_entry ALTER stream DROP NOT NULL, ALTER leaf DROP NOT NULL")
        tamper("audit_entry", "UPDATE audit_entry SET stream = NULL, leaf = NULL WHERE position = %s", [last])
        report = verify_ledger.verify()
        assert {(flaw.code, flaw.position) for flaw in report.flaws} == {("leaf", last), ("columns", last)}


def test_what_is_no_binary_copy_is_refused() -> None:
    good = raw_entries._COPY_BEGINS + raw_entries._COPY_ENDS
    assert raw_entries._rows_of(good) == []
    for bad in (b"", good[:5], raw_entries._COPY_BEGINS + b"\x00\x05" + b"\x00" * 40, raw_entries._COPY_BEGINS):
        with pytest.raises((ValueError, struct.error)):
            raw_entries._rows_of(bad)
