"""The append: entries are canonical, gapless and unforked, whoever writes at once, on both databases."""

from __future__ import annotations

import hashlib
import threading

import pytest
from django.db import DatabaseError, connection, connections, transaction

from audit import checkpoints, keys, merkle, notes
from audit.models import Entry
from registry import guards
from registry.access.models import Team
from registry.digests import canonical, parse_canonical
from registry.events import Caller, UnitError, emit, unit
from tests.world import Cast

pytestmark = pytest.mark.db_guarantee
WRITERS, UNITS = 8, 12


def write_teams(caller: Caller, writer: int, failures: list[BaseException]) -> None:
    try:
        for number in range(UNITS):
            with unit(caller, role="administrator") as opened:
                shared = Team.objects.select_for_update(no_key=True).get(slug="search")
                team = Team.objects.create(slug=f"w{writer}-{number}", created_at=opened.now)
                emit("team.created", team, team=team.pk)
                emit("team.changed", shared, team=shared.pk)
    except BaseException as error:
        failures.append(error)
    finally:
        connections["default"].close()


@pytest.mark.usefixtures("committed_db")
def test_eight_writers_leave_no_gap_no_fork_and_lose_nothing() -> None:
    cast = Cast.assemble()
    failures: list[BaseException] = []
    threads = [threading.Thread(target=write_teams, args=(cast.root, w, failures)) for w in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    rows = list(Entry.objects.order_by("position"))
    assert [r.position for r in rows] == list(range(len(rows)))
    numbers: dict[str, int] = {}
    last_at = ""
    for row in rows:
        numbers[row.stream] = numbers.get(row.stream, 0) + 1
        assert row.stream_seq == numbers[row.stream]
        assert row.at >= last_at
        last_at = row.at
        entry = parse_canonical(bytes(row.entry))
        assert canonical(entry) == bytes(row.entry)
        assert hashlib.sha256(b"\x00" + bytes(row.entry)).digest() == bytes(row.leaf)
    assert Team.objects.filter(slug__startswith="w").count() == WRITERS * UNITS
    assert numbers[f"team:{cast.team.pk}"] >= WRITERS * UNITS


@pytest.mark.usefixtures("committed_db")
def test_a_unit_on_an_empty_ledger_is_refused() -> None:
    cast = Cast.assemble()
    guards.drop()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry")
    with pytest.raises(UnitError, match="init"), unit(cast.root, role="administrator") as opened:
        emit("team.created", Team.objects.create(slug="first", created_at=opened.now), team=None)
    assert Entry.objects.count() == 0


def test_the_role_of_the_application_cannot_write_the_ledger_by_itself(cast: Cast, settings) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no roles; its guards hold against UPDATE and DELETE")
    from audit import ledger_postgres

    settings.PRESSMARK_DATABASE_APP_ROLE = "pressmark_app_test"
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE pressmark_app_test")
        ledger_postgres.install("default")
        cursor.execute("SET ROLE pressmark_app_test")
        for statement in ("INSERT INTO audit_entry SELECT * FROM audit_entry", "UPDATE audit_entry SET at = ''"):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                cursor.execute(statement)
    with unit(cast.root, role="administrator") as opened:
        team = Team.objects.create(slug="by-role", created_at=opened.now)
        emit("team.created", team, team=team.pk)
    assert opened.receipt is not None


def test_the_keeper_signs_the_tree_and_a_receipt_fits_it(cast: Cast) -> None:
    with unit(cast.root, role="administrator") as opened:
        team = Team.objects.create(slug="signed", created_at=opened.now)
        emit("team.created", team, team=team.pk)
    signed = checkpoints.sign_next()
    assert signed is not None
    checkpoint = notes.open_checkpoint(signed.note.encode(), keys.log_signer().public)
    leaves = [bytes(leaf) for leaf in Entry.objects.order_by("position").values_list("leaf", flat=True)]
    assert checkpoint.root == merkle.root(leaves)
    position = opened.positions[0]
    path = checkpoints.tree().inclusion_path(position)
    assert merkle.verify_inclusion(leaves[position], position, checkpoint.size, path, checkpoint.root)
    assert checkpoints.sign_next() is None


def test_a_shorter_ledger_is_not_signed_on(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.sign_next()
    monkeypatch.setattr(checkpoints, "ledger_size", lambda: 2)
    with pytest.raises(checkpoints.LedgerRefused, match="a checkpoint over"):
        checkpoints.sign_next()


def test_a_ledger_with_another_history_is_not_signed_on(cast: Cast) -> None:
    from audit.models import Tile

    checkpoints.sign_next()
    tile = Tile.objects.get(level=0, index=0)
    tile.hashes = b"\x00" * 32 + bytes(tile.hashes)[32:]
    tile.save()
    with pytest.raises(checkpoints.LedgerRefused, match="another root"):
        checkpoints.sign_next()


def test_a_lost_file_of_checkpoints_is_noticed(cast: Cast, settings, tmp_path) -> None:
    checkpoints.sign_next()
    settings.PRESSMARK_CHECKPOINTS = tmp_path / "empty"
    with pytest.raises(checkpoints.LedgerRefused, match="gone"):
        checkpoints.sign_next()
