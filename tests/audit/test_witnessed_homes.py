"""Real installations with a real witness: started, killed, copied, restored whole; what nothing on the machine notices, it does."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import notes
from audit.witnessing.cosignatures import open_cosignature
from tests.audit.homes import Home, born, copy_of
from tests.audit.witnessing import WitnessProcess

AN_HOUR_OLD = """
import datetime, django
django.setup()
from audit.models import Witness
for row in Witness.objects.all():
    Witness.objects.filter(name=row.name).update(cosigned_at=row.cosigned_at - datetime.timedelta(hours=1))
"""

pytestmark = [pytest.mark.db_guarantee, pytest.mark.slow]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return born(tmp_path_factory.mktemp("born") / "home")


@pytest.fixture
def home(template: Home, tmp_path: Path) -> Iterator[Home]:
    with copy_of(template, tmp_path / "home") as made:
        yield made


@pytest.fixture
def witness(home: Home, tmp_path: Path) -> Iterator[WitnessProcess]:
    process = WitnessProcess(tmp_path / "witness", "witness.test")
    key = process.init()
    process.start(*log_lines(home))
    (home.home / "witnesses").write_text(f"{key.key_line} {process.url}\n")
    yield process
    process.kill()


def log_lines(home: Home) -> list[str]:
    """The log key lines, as `pressmark keys` prints them."""
    words = home.pressmark("keys").stdout.split()
    return [word for word in words if word.count("+") >= 2 and "/issuer+" not in word]


def latest(home: Home) -> bytes:
    return (home.home / "checkpoints" / "latest.note").read_bytes()


def cosigned(home: Home, witness: WitnessProcess) -> bool:
    try:
        assert witness.key is not None
        open_cosignature(latest(home), witness.key)
    except notes.NoteError:
        return False
    return True


def wait_until(what: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_a_running_keeper_is_cosigned_and_a_witness_that_was_away_joins_again(
    home: Home, witness: WitnessProcess
) -> None:
    keeper = home.keeper()
    wait_until(lambda: (home.home / "checkpoints" / "latest.note").is_file() and cosigned(home, witness))
    said = home.pressmark("check").stdout
    assert "witness: witness.test cosigned" in said
    witness.kill()
    (act,) = home.acts("act")
    wait_until(lambda: f"\n{act['position'] + 1}\n".encode() in latest(home))
    assert not cosigned(home, witness)
    witness.start(*log_lines(home))
    wait_until(lambda: cosigned(home, witness))
    home.kill(keeper)


@pytest.mark.long
def test_a_copy_whose_operator_says_that_it_was_moved_is_found_out_by_the_witness(
    home: Home, witness: WitnessProcess, tmp_path: Path
) -> None:
    assert home.acts("act", "sign")[-1]["size"]
    copy = home.copy_to(tmp_path / "copy")
    moved = copy.pressmark("confirm-move", *copy.administrator()[:4])
    assert moved.returncode == 0, moved.stderr
    home.acts("act", "sign")
    signed = latest(copy)
    refused = copy.acts("act", "act", "sign")[-1]
    assert "A witness holds a checkpoint over" in refused["refused"]
    assert latest(copy) == signed, "it was noticed before anything was signed"
    told = copy.pressmark("check", "--quiet")
    assert told.returncode == 1
    assert "A witness holds a checkpoint over" in told.stderr
    reopened = copy.pressmark("reopen-ledger", "--copied", *copy.administrator())
    assert reopened.returncode == 0, reopened.stderr
    assert copy.acts("act", "sign")[-1]["size"], "under an origin of its own"
    assert home.acts("act", "sign")[-1]["size"], "the original was never held up"


def test_a_home_that_was_restored_whole_is_refused_and_goes_on_with_what_the_witness_holds(
    home: Home, witness: WitnessProcess, tmp_path: Path
) -> None:
    home.acts("act", "sign")
    backup = tmp_path / "backup"
    shutil.copytree(home.home, backup)
    database = home.back_up()
    lost = home.acts("act", "act", "sign")[-1]["size"]
    for name in ("checkpoints", "store", "keys"):
        shutil.rmtree(home.home / name)
        shutil.copytree(backup / name, home.home / name)
    home.restore(database)
    refused = home.acts("act", "sign")[-1]
    assert f"A witness holds a checkpoint over {lost} entries" in refused["refused"]
    (evidence,) = (home.home / "checkpoints").glob("other-history-*.note")
    assert f"--checkpoint {evidence}" in refused["hint"]
    assert cosigned_by(evidence.read_bytes(), witness)
    done = home.pressmark("reopen-ledger", "--restored", "--checkpoint", str(evidence), *home.administrator())
    assert done.returncode == 0, done.stderr
    assert f"was over {lost} entries" in done.stdout
    assert home.acts("act", "sign")[-1]["origin"].endswith("/2")
    witness.kill()
    witness.start(*log_lines(home))
    home.acts("act", "sign")
    assert cosigned(home, witness)
    assert json.dumps(witness.status()[1]).count("entries, cosigned") == 2, "both origins are remembered"


def rotated_after_a_backup(home: Home, witness: WitnessProcess, tmp_path: Path) -> tuple[Path, str]:
    """A copy of the home and of its database from before the keys were rotated; the witness knows the new ones."""
    home.acts("act", "sign")
    backup = tmp_path / "backup"
    shutil.copytree(home.home, backup)
    database = home.back_up()
    home.acts("rotate")
    witness.kill()
    witness.start(*log_lines(home))
    return backup, database


@pytest.mark.long
def test_a_backup_of_before_a_rotation_is_refused_where_the_newer_keys_still_lie(
    home: Home, witness: WitnessProcess, tmp_path: Path
) -> None:
    """Database, store and checkpoints were restored, keys/ was not: what the witness holds is signed by a key that no row names."""
    backup, database = rotated_after_a_backup(home, witness, tmp_path)
    lost = home.acts("act", "act", "sign")[-1]["size"]
    for name in ("checkpoints", "store"):
        shutil.rmtree(home.home / name)
        shutil.copytree(backup / name, home.home / name)
    home.restore(database)
    signed = latest(home)
    refused = home.acts("act", "sign")[-1]
    assert f"A witness holds a checkpoint over {lost} entries" in refused["refused"]
    assert latest(home) == signed
    (evidence,) = (home.home / "checkpoints").glob("other-history-*.note")
    done = home.pressmark("reopen-ledger", "--restored", "--checkpoint", str(evidence), *home.administrator())
    assert done.returncode == 0, done.stderr
    assert f"was over {lost} entries" in done.stdout
    assert home.acts("act", "sign")[-1]["origin"].endswith("/2")


@pytest.mark.long
def test_a_home_restored_whole_from_before_a_rotation_is_told_at_once_that_it_may_sign_a_second_history(
    home: Home, witness: WitnessProcess, tmp_path: Path
) -> None:
    """Nothing here knows the newer key, so the witness proves nothing; it must be told all the same, by health and check."""
    backup, database = rotated_after_a_backup(home, witness, tmp_path)
    home.acts("act", "act", "sign")
    for name in ("checkpoints", "store", "keys"):
        shutil.rmtree(home.home / name)
        shutil.copytree(backup / name, home.home / name)
    home.restore(database)
    home.call("-c", AN_HOUR_OLD)
    home.acts("act", "sign")
    told = home.pressmark("check", "--quiet")
    assert told.returncode == 1, told.stdout
    assert "If this installation was restored from a backup" in told.stderr


def cosigned_by(note: bytes, witness: WitnessProcess) -> bool:
    assert witness.key is not None
    return open_cosignature(note, witness.key) > 0
