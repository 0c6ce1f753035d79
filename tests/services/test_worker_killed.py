"""`kill -9` of the whole worker in the middle of a run: the run finishes once, as attempt 2, whatever carries the messages.

Real processes throughout: Celery's own worker, the product's keeper, the engine on a net that is large enough to be caught at it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.services.installation import Installation, engine_processes

pytestmark = pytest.mark.slow
HIDDEN, ROWS = 40_000, 6000


def caught_in_the_middle(home: Installation, run_id: str) -> list[int]:
    """Wait until the engine measures; its processes."""
    home.wait_for(lambda: home.run_row()["progress"].get("stage") in {"fidelity", "latency", "memory"}, seconds=90)
    row = home.run_row()
    assert (row["state"], row["attempt"]) == ("running", 1)
    engines = engine_processes(run_id)
    assert engines
    return engines


def finished_once_as_attempt_two(home: Installation) -> None:
    home.wait_for(lambda: home.run_row()["state"] in {"succeeded", "failed"}, seconds=120)
    row = home.run_row()
    assert (row["state"], row["attempt"], row["failure_code"]) == ("succeeded", 2, None), home.said("worker")
    kinds = [kind for kind in home.event_kinds() if kind.startswith("run.")]
    assert kinds == ["run.requested", "run.started", "run.requeued", "run.started", "run.succeeded"]
    assert home.rows("SELECT COUNT(*) FROM catalog_version") == [(2,)]
    home.wait_for(lambda: list((home.home / "runs").iterdir()) == [], seconds=10)


@pytest.mark.long  # every day: tests/compression/test_claim_run.py and test_reap_runs.py, without processes
def test_a_run_whose_worker_was_killed_finishes_once_as_attempt_two(tmp_path: Path) -> None:
    with Installation(tmp_path / "home") as home:
        run_id = home.set_up(hidden=HIDDEN, rows=ROWS)["run"]
        home.keeper()
        worker = home.worker()
        caught_in_the_middle(home, run_id)
        home.kill(worker)
        home.wait_for(lambda: engine_processes(run_id) == [], seconds=10)  # the engine died with its worker
        home.worker()
        finished_once_as_attempt_two(home)


@pytest.mark.long
def test_on_postgresql_and_valkey_too(tmp_path: Path, postgres_url: str, valkey_url: str) -> None:
    with Installation(tmp_path / "home", broker_url=valkey_url, database_url=postgres_url) as home:
        run_id = home.set_up(hidden=HIDDEN, rows=ROWS)["run"]
        home.keeper()
        worker = home.worker()
        caught_in_the_middle(home, run_id)
        home.kill(worker)
        home.worker()
        finished_once_as_attempt_two(home)


@pytest.mark.long
def test_without_a_keeper_a_worker_takes_up_what_is_left_when_it_starts(tmp_path: Path) -> None:
    with Installation(tmp_path / "home", lease_seconds=2) as home:
        run_id = home.set_up(hidden=HIDDEN, rows=ROWS)["run"]
        worker = home.worker()
        caught_in_the_middle(home, run_id)
        home.kill(worker)
        home.wait_for(lambda: home.rows(
            "SELECT 1 FROM compression_run WHERE lease_until < strftime('%Y-%m-%d %H:%M:%f', 'now')"
        ), seconds=10)  # fmt: skip
        home.worker()
        finished_once_as_attempt_two(home)


def test_a_worker_does_not_start_on_a_database_without_its_guards(tmp_path: Path) -> None:
    with Installation(tmp_path / "home") as home:
        home.set_up(hidden=64, rows=8)
        connection = sqlite3.connect(home.home / "pressmark.sqlite3", timeout=30)
        connection.execute("DROP TRIGGER pressmark_guard_compression_run_update")
        connection.commit()
        connection.close()
        worker = home.worker()
        assert worker.wait(timeout=60) != 0
        assert "the worker does not start. 1 guards of the database are missing" in home.said("worker")
        assert home.run_row()["state"] == "queued"
