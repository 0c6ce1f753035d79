"""The append among others on PostgreSQL: locked parents, timeouts, lost connections, older snapshots, dead clients, the disk.

One test for each thing that could let the ledger hang, fork, or tell somebody too early. Commits are real.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections

from audit import checkpoints, ledger, ledger_postgres, outside
from audit.models import Entry
from registry.access.models import Membership, Team
from registry.events import emit, unit
from tests.world import Cast

pytestmark = [
    pytest.mark.db_guarantee,
    pytest.mark.skipif("connection.vendor != 'postgresql'"),
    pytest.mark.usefixtures("committed_db"),
]


class Beside:
    """An act in a thread of its own, with a connection of its own."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(act,))
        self._thread.start()

    def _run(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            self.failure = error
        finally:
            connections["default"].close()

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def cast() -> Cast:
    return Cast.assemble()


@pytest.fixture
def stranger() -> Iterator[Any]:
    """A connection that Django knows nothing of."""
    found = psycopg2.connect(**connection.get_connection_params())
    yield found
    found.close()


def ask(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def wait_until_somebody_waits_for_a_lock() -> None:
    end = time.monotonic() + 10
    while not ask("SELECT COUNT(*) FROM pg_locks WHERE NOT granted"):
        assert time.monotonic() < end, "nobody waits"
        time.sleep(0.01)


def write(cast: Cast, slug: str) -> None:
    with unit(cast.root, role="administrator") as opened:
        team = Team.objects.create(slug=slug, created_at=opened.now)
        emit("team.created", team, team=team.pk)


def sound(cast: Cast) -> None:
    """The ledger is gapless, and the next act works."""
    write(cast, "sound")
    positions = list(Entry.objects.order_by("position").values_list("position", flat=True))
    assert positions == list(range(len(positions)))


def test_a_child_of_a_locked_parent_waits_before_the_queue_and_not_at_its_head(cast: Cast) -> None:
    def insert_child() -> None:
        with unit(cast.root, role="administrator") as opened:
            child = Membership.objects.create(
                actor=cast.people["eve"], role="viewer", team=cast.team, granted_by_id=cast.root.actor_id,
                created_at=opened.now,
            )  # fmt: skip
            emit("membership.granted", child, team=cast.team.pk)

    with unit(cast.root, role="administrator"):
        parent = Team.objects.select_for_update().get(pk=cast.team.pk)  # the strongest lock: its children must wait
        beside = Beside(insert_child)
        wait_until_somebody_waits_for_a_lock()
        emit("team.changed", parent, team=parent.pk)
    beside.join()
    sound(cast)


def test_whoever_gives_up_waiting_in_the_queue_leaves_nothing(cast: Cast) -> None:
    def give_up() -> None:
        with unit(cast.root, role="administrator") as opened:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '200ms'")
            emit("team.created", Team.objects.create(slug="impatient", created_at=opened.now), team=None)

    with unit(cast.root, role="administrator"):
        ledger.hold_head()
        beside = Beside(give_up)
        with pytest.raises(OperationalError, match="lock timeout"):
            beside.join()
    assert not Team.objects.filter(slug="impatient").exists()
    sound(cast)


def test_an_append_cut_off_in_the_middle_leaves_nothing(cast: Cast) -> None:
    size = Entry.objects.count()
    with pytest.raises(OperationalError, match="canceling statement"), unit(cast.root, role="administrator") as opened:
        team = Team.objects.create(slug="slow", created_at=opened.now)
        for _ in range(5000):
            emit("team.created", team, team=team.pk)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '30ms'")
    assert (Entry.objects.count(), Team.objects.filter(slug="slow").exists()) == (size, False)
    sound(cast)


def test_after_a_connection_lost_in_the_middle_of_a_unit_the_next_one_works(cast: Cast, stranger: Any) -> None:
    with pytest.raises(DatabaseError), unit(cast.root, role="administrator") as opened:
        team = Team.objects.create(slug="lost", created_at=opened.now)
        emit("team.created", team, team=team.pk)
        with stranger.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [ask("SELECT pg_backend_pid()")])
    assert not Team.objects.filter(slug="lost").exists()
    sound(cast)


def test_a_connection_lost_after_commit_is_an_error_and_the_next_unit_works(
    cast: Cast, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = ledger.AppendedUnit.settle

    def lose(appended: ledger.AppendedUnit) -> None:
        with stranger.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [ask("SELECT pg_backend_pid()")])
        settle(appended)

    monkeypatch.setattr(ledger.AppendedUnit, "settle", lose)
    with pytest.raises(DatabaseError), unit(cast.root, role="administrator") as opened:
        emit("team.created", Team.objects.create(slug="unanswered", created_at=opened.now), team=None)
    assert opened.receipt is None  # nobody was told, although the act may stand
    monkeypatch.undo()
    assert Team.objects.filter(slug="unanswered").exists()
    sound(cast)


def test_a_unit_with_an_older_snapshot_is_refused_and_forks_nothing(cast: Cast) -> None:
    with pytest.raises(IntegrityError), unit(cast.root, role="administrator") as opened:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        team = Team.objects.create(slug="older", created_at=opened.now)
        Beside(lambda: write(cast, "newer")).join()
        emit("team.created", team, team=team.pk)
    assert list(Team.objects.filter(slug__in=["older", "newer"]).values_list("slug", flat=True)) == ["newer"]
    sound(cast)


def test_a_client_that_is_gone_after_its_append_does_not_hold_up_the_others(
    cast: Cast, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_postgres, "GONE_SECONDS", 1)
    ledger_postgres.install("default")
    try:
        size = Entry.objects.count()
        with stranger.cursor() as cursor:
            cursor.execute("SELECT * FROM pressmark_append(ARRAY['instance'], ARRAY['{}'])")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '10s'")
        write(cast, "patient")  # waits until the server cuts the other one off
        with pytest.raises(psycopg2.OperationalError):
            stranger.commit()
        assert Entry.objects.count() == size + 1
    finally:
        monkeypatch.undo()
        stranger.close()
        ledger_postgres.install("default")
        connection.close()
    sound(cast)


def test_the_limit_for_clients_that_are_gone_ends_with_the_unit(cast: Cast) -> None:
    before = ask("SHOW idle_in_transaction_session_timeout")
    with unit(cast.root, role="administrator"):
        ledger.hold_head()
        assert ask("SHOW idle_in_transaction_session_timeout") == "30s"
    assert ask("SHOW idle_in_transaction_session_timeout") == before


def test_nobody_is_told_before_the_disk_has_it(cast: Cast) -> None:
    """COMMIT of an append does not wait for the disk; what follows it does, even where the database was told not to wait."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    try:
        behind = []
        for number in range(5):  # something else may write at the same moment: one of five is enough
            write(cast, f"flushed-{number}")
            behind.append(ask("SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()"))
        assert 0 in behind
    finally:
        connection.close()


def test_the_commit_of_an_append_lets_the_next_one_go_at_once(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM pressmark_append(ARRAY['instance'], ARRAY['{}'])")
        assert ask("SHOW synchronous_commit") == "off"
        cursor.execute("ROLLBACK")
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("BEGIN")
        cursor.execute("SELECT pressmark_settle()")
        assert ask("SHOW synchronous_commit") == "on"
        cursor.execute("ROLLBACK")
        cursor.execute("RESET synchronous_commit")


def test_nothing_is_signed_before_the_disk_has_it(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    write_outside = outside.append
    monkeypatch.setattr(checkpoints, "settle", lambda using: order.append("settled"))
    monkeypatch.setattr(outside, "append", lambda note: order.append("outside") or write_outside(note))
    assert checkpoints.sign_next() is not None
    assert order == ["settled", "outside"]


def test_an_operator_that_somebody_defines_does_not_get_into_what_is_sealed(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE FUNCTION evil(text, bigint) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$")
        cursor.execute("CREATE OPERATOR || (LEFTARG = text, RIGHTARG = bigint, FUNCTION = evil)")
        try:
            cursor.execute("SELECT 'a'::text || 1::bigint")
            assert cursor.fetchone() == ("evil",)
            sound(cast)
            assert b"evil" not in bytes(Entry.objects.order_by("-position")[0].entry)
        finally:
            cursor.execute("DROP OPERATOR || (text, bigint)")
            cursor.execute("DROP FUNCTION evil")
