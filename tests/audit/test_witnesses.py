"""The keeper and its witnesses: real witness processes over HTTP, killed, started again, forgetful, or shown another history."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit import checkpoints, eras, keeper, keys, notes
from audit.models import Checkpoint, Entry, Tick, Witness
from audit.refusal import LedgerRefused
from audit.services_interventions import reopen_ledger, rotate_keys
from audit.signing import Signer
from audit.witnessing import cosigning, witnesses
from audit.witnessing.cosignatures import cosigner_of, open_cosignature
from audit.witnessing.cosigning import Panel
from registry.access import services as access
from tests.audit.handed_over import YES, built, issued, results, verifier
from tests.audit.witnessing import Log, WitnessProcess
from tests.world import Cast, World
from tests.worlds.audit import AuditWorld
from tests.worlds.http import api

Start = Callable[[str], WitnessProcess]


@pytest.fixture(autouse=True)
def panel(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that has just started, and a file of witnesses of its own."""
    settings.PRESSMARK_WITNESSES = tmp_path / "witnesses"
    settings.PRESSMARK_WITNESSES.write_text("# ours\n")
    restart_keeper(monkeypatch)


def restart_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosigning, "PANEL", Panel())


@pytest.fixture
def start(tmp_path: Path, settings: Any) -> Iterator[Start]:
    """Set up a witness, start it, and name it in the file."""
    running: list[WitnessProcess] = []

    def begin(name: str) -> WitnessProcess:
        process = WitnessProcess(tmp_path / name, name)
        key = process.init()
        process.start(keys.log_signer().key_line)
        running.append(process)
        with Path(settings.PRESSMARK_WITNESSES).open("a") as file:
            file.write(f"{key.key_line} {process.url}/\n")
        return process

    yield begin
    for process in running:
        process.kill()


def act(house: AuditWorld) -> None:
    """Something happens."""
    access.create_team(actor=house.cast.root, slug=f"t-{uuid.uuid4().hex}")


def key_of(process: WitnessProcess) -> Any:
    assert process.key is not None
    return process.key


def names_on(note: str | bytes) -> list[str]:
    """Who signed a note besides the log."""
    data = note.encode() if isinstance(note, str) else note
    return [signature.name for signature in notes.parse_note(data).signatures[1:]]


def newest() -> Checkpoint:
    return Checkpoint.objects.order_by("-size")[0]


def turn(name: str) -> None:
    """The keeper's loop of that name, now."""
    keeper.prepare()
    Tick.objects.filter(name=name).update(last_run_at=None)
    assert keeper.turn(next(spec for spec in keeper.TICKS if spec.name == name), uuid.uuid4())


def error_of(name: str) -> str:
    return str(Tick.objects.get(name=name).last_error)


class Copy(Log):
    """A copy of this installation as it stands, keys included, that goes on by itself."""

    def __init__(self) -> None:
        leaves = [bytes(leaf) for leaf in Entry.objects.order_by("position").values_list("leaf", flat=True)]
        super().__init__(keys.log_signer(), leaves)

    def goes_on(self, process: WitnessProcess, count: int) -> None:
        """It appends, signs and has it cosigned, as its own keeper would."""
        known = notes.parse_checkpoint_body(notes.parse_note(process.newest(self.signer.name)[1]).text).size
        self.grow(count, "copy")
        assert process.post(self.request(known))[0] == 200


# --- cosignatures in time


def test_a_stored_checkpoint_has_the_cosignature_of_every_witness(
    house: AuditWorld, start: Start, settings: Any
) -> None:
    one, two = start("one.test"), start("two.test")
    for _ in range(3):
        act(house)
        row = house.checkpoint()
        assert names_on(row.note) == ["one.test", "two.test"]
        for process in (one, two):
            assert abs(open_cosignature(row.note.encode(), key_of(process)) - time.time()) < 60
        assert eras.open_checkpoint(eras.read(), row.note.encode()).size == row.size
        assert (Path(settings.PRESSMARK_CHECKPOINTS) / checkpoints.LATEST).read_text() == row.note
        assert names_on(checkpoints.outside_notes()[-1]) == []
    assert witnesses.troubles() == []


def test_the_api_lists_the_witnesses_with_the_newest_checkpoint(house: AuditWorld, start: Start) -> None:
    process = start("one.test")
    row = house.checkpoint()
    answer = api("carla").get("/api/v1/ledger/checkpoint").json()
    assert answer["note"] == row.note
    assert answer["witnesses"] == [
        {
            "cosigned_at": answer["witnesses"][0]["cosigned_at"],
            "key_line": key_of(process).key_line,
            "name": "one.test",
            "size": row.size,
            "trouble": "",
        }
    ]


def test_a_witness_that_is_down_delays_one_checkpoint_at_most_and_its_cosignature_comes_late(
    house: AuditWorld, start: Start, settings: Any
) -> None:
    """The keeper's own turns: a witness is killed, missed, told, started again, and joins the newest checkpoint."""
    one, two = start("one.test"), start("two.test")
    turn("sign-checkpoint")
    two.kill()
    act(house)
    turn("sign-checkpoint")
    row = newest()
    assert names_on(row.note) == ["one.test"]
    began = time.monotonic()
    act(house)
    turn("sign-checkpoint")
    assert time.monotonic() - began < 1.0, "who was late is not waited for again"
    turn("collect-cosignatures")
    Witness.objects.update(cosigned_at=None)
    told = Client().get("/health/").json()["troubles"]
    assert [line for line in told if "two.test" in line] == [
        "The witness two.test does not cosign: it cannot be reached (Connection refused)."
    ]
    two.start(keys.log_signer().key_line)
    stored = newest().note
    turn("collect-cosignatures")
    turn("collect-cosignatures")
    assert newest().note == stored, "a stored checkpoint never changes"
    shown = api("carla").get("/api/v1/ledger/checkpoint").json()["note"]
    assert names_on(stored) == ["one.test"]
    assert names_on(shown) == ["one.test", "two.test"]
    assert (Path(settings.PRESSMARK_CHECKPOINTS) / checkpoints.LATEST).read_text() == shown
    open_cosignature(shown.encode(), key_of(two))
    assert witnesses.troubles() == []
    act(house)
    turn("sign-checkpoint")
    assert names_on(newest().note) == ["one.test", "two.test"], "it is waited for again"
    assert one.newest(keys.log_signer().name)[0] == 200


def test_a_witness_that_knows_an_older_checkpoint_or_none_is_led_on_from_there(house: AuditWorld, start: Start) -> None:
    for _ in range(3):
        act(house)
        house.checkpoint()
    process = start("one.test")
    act(house)
    assert names_on(house.checkpoint().note) == ["one.test"], "it never saw this ledger before"
    Witness.objects.update(size=1, line="")
    act(house)
    assert names_on(house.checkpoint().note) == ["one.test"], (
        "the row remembers nothing; the witness says what it knows"
    )
    assert process.stop()[1] == ""


def test_a_stranger_who_knows_the_witness_needs_no_checkpoint_from_outside(
    world: World, start: Start, tmp_path: Path
) -> None:
    """The offline verifier, in a process of its own, on a bundle whose checkpoint a real witness cosigned."""
    process = start("one.test")
    target = built(issued(world, world.story()[0]), tmp_path)
    key = ["--key", keys.log_signer().key_line]
    code, verdict = verifier(target, *key, "--witness", key_of(process).key_line)
    assert (code, results(verdict)) == (0, YES), verdict
    code, verdict = verifier(target, *key)
    assert (code, results(verdict)) == (3, [*YES[:3], "not checked"])
    stranger = cosigner_of(Signer.from_seed("one.test", b"\x12" * 32)).key_line
    assert verifier(target, *key, "--witness", stranger)[0] == 3


# --- another history


def test_a_copy_that_went_on_is_noticed_and_nothing_is_signed_on(
    house: AuditWorld, start: Start, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    process = start("one.test")
    house.checkpoint()
    Copy().goes_on(process, 1)
    act(house)
    with pytest.raises(LedgerRefused, match="that this ledger does not continue") as refused:
        checkpoints.sign_next()
    evidence = list(Path(settings.PRESSMARK_CHECKPOINTS).glob("other-history-*.note"))
    assert len(evidence) == 1
    assert str(evidence[0]) in refused.value.hint
    open_cosignature(evidence[0].read_bytes(), key_of(process))
    assert not Checkpoint.objects.filter(size=checkpoints.ledger_size()).exists()
    process.kill()
    restart_keeper(monkeypatch)
    signed = len(checkpoints.outside_notes())
    act(house)
    turn("sign-checkpoint")
    assert "LedgerRefused: A witness holds a checkpoint over" in error_of("sign-checkpoint")
    assert len(checkpoints.outside_notes()) == signed, "also without the witness, and after a start"
    assert any("A witness holds" in line for line in Client().get("/health/").json()["troubles"])


def test_an_old_backup_is_noticed_before_anything_is_signed(
    house: AuditWorld, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole home was restored, checkpoints included: only the witness knows that there was more."""
    process = start("one.test")
    house.checkpoint()
    Copy().goes_on(process, 5)  # what was lost
    restart_keeper(monkeypatch)
    signed = checkpoints.outside_notes()
    act(house)
    with pytest.raises(LedgerRefused, match="A witness holds a checkpoint over"):
        checkpoints.sign_next()
    assert checkpoints.outside_notes() == signed


def test_an_old_backup_without_news_is_noticed_by_the_turns_between(
    house: AuditWorld, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("one.test")
    house.checkpoint()
    Copy().goes_on(process, 5)
    restart_keeper(monkeypatch)
    turn("collect-cosignatures")
    turn("sign-checkpoint")
    assert "A witness holds" in error_of("sign-checkpoint")


def test_a_refused_ledger_goes_on_under_the_next_epoch(
    house: AuditWorld, cast: Cast, start: Start, settings: Any
) -> None:
    process = start("one.test")
    old_line = keys.log_signer().key_line
    house.checkpoint()
    Copy().goes_on(process, 2)
    act(house)
    with pytest.raises(LedgerRefused):
        checkpoints.sign_next()
    (evidence,) = Path(settings.PRESSMARK_CHECKPOINTS).glob("other-history-*.note")
    reopen_ledger(actor=cast.root, reason="An old backup.", given=[evidence.read_bytes()])
    assert names_on(house.checkpoint().note) == [], "the witness does not know the new origin yet"
    turn("collect-cosignatures")
    assert "does not know this ledger" in Witness.objects.get().error
    process.kill()
    process.start(old_line, keys.log_signer().key_line)
    turn("collect-cosignatures")
    turn("collect-cosignatures")
    assert names_on(witnesses.complete(newest())) == ["one.test"]
    act(house)
    assert names_on(house.checkpoint().note) == ["one.test"]


def test_another_keeper_of_ours_that_was_faster_is_no_other_history(
    house: AuditWorld, start: Start, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    start("one.test")
    older = house.checkpoint()
    act(house)
    house.checkpoint()
    restart_keeper(monkeypatch)
    asked = checkpoints.question(
        witnesses.bare(older.note.encode()),
        notes.parse_checkpoint_body(notes.parse_note(older.note.encode()).text),
        checkpoints.tree(older.size),
    )
    assert names_on(cosigning.PANEL.cosigned(asked)) == []
    assert not list(Path(settings.PRESSMARK_CHECKPOINTS).glob("other-history-*"))
    assert Witness.objects.get().error == ""


# --- forgetful witnesses, and keys that change


def test_a_witness_that_forgot_what_it_cosigned_gets_no_new_chance(house: AuditWorld, start: Start) -> None:
    process = start("one.test")
    house.checkpoint()
    act(house)
    row = house.checkpoint()
    process.kill()
    for path in (process.state / "logs").iterdir():
        path.unlink()  # restored from an image of before
    process.start(keys.log_signer().key_line)
    act(house)
    assert names_on(house.checkpoint().note) == []
    told = Witness.objects.get().error
    assert f"it did so up to {row.size} entries, and now knows 0" in told
    act(house)
    house.checkpoint()
    turn("collect-cosignatures")
    turn("collect-cosignatures")
    assert names_on(witnesses.complete(newest())) == []
    assert process.newest(keys.log_signer().name)[0] == 404, "it was not led on either"


def test_after_a_rotation_the_witness_cosigns_once_its_operator_has_given_it_the_new_line(
    house: AuditWorld, cast: Cast, start: Start
) -> None:
    process = start("one.test")
    old_line = keys.log_signer().key_line
    house.checkpoint()
    rotate_keys(actor=cast.root, reason="Yearly.")
    assert names_on(house.checkpoint().note) == []
    assert "does not know the log key in force" in Witness.objects.get().error
    process.kill()
    process.start(old_line, keys.log_signer().key_line)
    turn("collect-cosignatures")
    turn("collect-cosignatures")
    assert names_on(witnesses.complete(newest())) == ["one.test"]
    open_cosignature(witnesses.complete(newest()).encode(), key_of(process))


# --- the file, the rows


def test_a_line_that_cannot_be_read_is_told_and_the_others_count(
    house: AuditWorld, start: Start, settings: Any
) -> None:
    process = start("one.test")
    line = key_of(process).key_line
    other = keys.log_signer().key_line
    path = Path(settings.PRESSMARK_WITNESSES)
    path.write_text(
        f"{line} {process.url}  # the good one\n"
        f"nonsense\n{other} {process.url}\n{line} {process.url}\n{line.replace('+', '+x')} http://x\n"
        f"{line} ftp://x\n{line} http://user@x\n{line} http://x y\n{line} http://[::1\n{line} http://x:99999\n"
    )
    assert len(witnesses.unreadable()) == 9
    assert all(f"line {number}:" in said for number, said in enumerate(witnesses.unreadable(), 2))
    assert names_on(house.checkpoint().note) == ["one.test"]
    assert "line that cannot be read" in witnesses.troubles()[0]
    path.write_bytes(b"\xff\xfe")
    assert "cannot be read as text" in witnesses.unreadable()[0]
    path.unlink()
    assert "is not there" in witnesses.unreadable()[0]
    settings.PRESSMARK_WITNESSES = Path(settings.PRESSMARK_HOME) / "witnesses"
    assert (witnesses.listed(), witnesses.unreadable()) == ((), ())


def test_a_row_that_somebody_changed_brings_nothing_into_the_note(house: AuditWorld, start: Start) -> None:
    process = start("one.test")
    house.checkpoint()
    good = Witness.objects.get().line
    process.kill()
    act(house)
    row = house.checkpoint()
    for line in (good, good.replace("one.test", "two.test"), "\u2014 evil.test AAAAAAAAAA==", "x\n\ny", "", "\n"):
        Witness.objects.update(line=line, size=row.size, error="")
        assert witnesses.complete(row) == row.note
        act(house)
        assert names_on(house.checkpoint().note) == []


def test_the_tree_that_proves_is_the_one_that_was_signed(house: AuditWorld, start: Start) -> None:
    """Entries that arrive while the witness is asked do not disturb the proof."""
    start("one.test")
    first = house.checkpoint()
    act(house)
    checkpoints.grow()
    asked = checkpoints.question(
        witnesses.bare(first.note.encode()),
        notes.Checkpoint(keys.log_signer().name, first.size, bytes(first.root)),
        checkpoints.tree(first.size),
    )
    assert names_on(cosigning.PANEL.cosigned(asked)) == ["one.test"]
