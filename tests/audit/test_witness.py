"""The witness cosigns what continues all that it saw, and nothing else, whatever it is sent and whatever happens to its disk."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from audit import merkle, notes
from audit.signing import Signer
from audit.witnessing import witness
from audit.witnessing.cosignatures import cosigner_of, open_cosignature
from audit.witnessing.witness import SIZE_TYPE, Answer, StateError, Witness
from tests.audit.witnessing import ORIGIN, Log, WitnessProcess, request_body
from tests.battery import witnesses


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Signer.from_seed("witness.test", b"\x09" * 32).save(tmp_path / witness.KEY_FILE)
    return tmp_path


@pytest.fixture
def log() -> Log:
    return Log().grow(5)


@pytest.fixture
def watching(folder: Path, log: Log) -> Witness:
    return Witness(folder, [log.signer.public])


def file_of(folder: Path, ending: str = ".note") -> Path:
    return next((folder / witness.LOGS).glob(f"*{ending}"))


# --- what is cosigned


def test_the_first_checkpoint_of_a_known_log_is_cosigned_and_then_what_continues_it(
    watching: Witness, log: Log
) -> None:
    sizes = [1, 2, 3, 5]
    for old, new in zip([0, *sizes], sizes, strict=False):
        answer = watching.add_checkpoint(log.request(old, new))
        assert answer.status == 200, answer.body
        assert open_cosignature(log.note(new) + answer.body.encode(), watching.key) > 1_700_000_000
    assert watching.add_checkpoint(log.request(5, 5)).status == 200, "the same checkpoint again is cosigned again"


def test_the_newest_checkpoint_is_shown_with_the_logs_signature_and_ours_alone(watching: Witness, log: Log) -> None:
    stranger = Signer.from_seed("stranger.test", b"\x0a" * 32)
    note = notes.sign_note(notes.parse_note(log.note()).text, log.signer, stranger)
    assert watching.newest(witness.origin_hash(ORIGIN)) == Answer(404, "Nothing was cosigned of such a log.\n")
    assert watching.add_checkpoint(request_body(0, [], note)).status == 200
    shown = watching.newest(witness.origin_hash(ORIGIN)).body.encode()
    assert notes.open_checkpoint(shown, log.signer.public).size == 5
    open_cosignature(shown, watching.key)
    assert b"stranger.test" not in shown
    assert watching.newest("../witness.key").status == 404


def test_the_old_and_the_new_key_of_a_rotated_log_are_both_believed_and_a_dropped_one_no_more(
    folder: Path, watching: Witness, log: Log
) -> None:
    watching.add_checkpoint(log.request(0, 3))
    rotated = Log(Signer.from_seed(ORIGIN, b"\x03" * 32), log.leaves)
    assert watching.add_checkpoint(rotated.request(3, 4)).status == 403
    both = Witness(folder, [log.signer.public, rotated.signer.public])
    assert both.add_checkpoint(rotated.request(3, 4)).status == 200
    revoked = Witness(folder, [rotated.signer.public])
    assert revoked.add_checkpoint(log.request(4, 5)).status == 403
    assert revoked.add_checkpoint(rotated.request(4, 5)).status == 200


# --- what is not


def test_another_history_is_refused_at_every_size_and_kept_as_evidence(
    folder: Path, watching: Witness, log: Log
) -> None:
    watching.add_checkpoint(log.request(0, 5))
    fork = log.forked(2, 6)
    assert watching.add_checkpoint(fork.request(5, 8)).status == 422
    assert watching.add_checkpoint(fork.request(5, 5)).status == 422
    assert watching.add_checkpoint(fork.request(0, 8)) == Answer(409, "5\n", SIZE_TYPE)
    assert watching.add_checkpoint(fork.request(3, 4)) == Answer(409, "5\n", SIZE_TYPE)
    kept = sorted(path.name for path in (folder / witness.EVIDENCE).iterdir())
    assert [name.partition("-")[0] for name in kept] == ["fork", "unproven"]
    proof = notes.open_checkpoint((folder / witness.EVIDENCE / kept[0]).read_bytes(), log.signer.public)
    assert (proof.size, proof.root) == (5, merkle.root(fork.leaves[:5]))
    assert watching.add_checkpoint(log.request(5, 5)).status == 200, "the true one is still welcome"


def test_the_logs_own_checkpoint_with_a_wrong_proof_is_no_evidence_and_takes_no_room(
    folder: Path, watching: Witness, log: Log
) -> None:
    watching.add_checkpoint(log.request(0, 5))
    shown = watching.newest(witness.origin_hash(ORIGIN)).body.encode()  # as anybody may fetch it
    assert watching.add_checkpoint(request_body(5, [b"\0" * 32], shown)).status == 422
    assert not (folder / witness.EVIDENCE).exists()


def test_evidence_against_one_log_leaves_room_for_that_against_another(
    folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "EVIDENCE_LIMIT", 2)
    noisy = Log(Signer.from_seed(ORIGIN[:-1] + "9", b"\x05" * 32)).grow(5)
    watching = Witness(folder, [log.signer.public, noisy.signer.public])
    for each in (log, noisy):
        watching.add_checkpoint(each.request(0, 5))
    for at in (1, 2, 3):
        assert watching.add_checkpoint(noisy.forked(at, 5 - at).request(5, 5)).status == 422
    assert watching.add_checkpoint(log.forked(2, 3).request(5, 5)).status == 422
    kept = [path.name.split("-")[1] for path in (folder / witness.EVIDENCE).iterdir()]
    assert sorted(kept) == sorted(
        [witness.origin_hash(noisy.signer.name)[:16]] * 2 + [witness.origin_hash(ORIGIN)[:16]]
    )


def test_a_proof_that_is_wrong_or_too_much_is_refused(watching: Witness, log: Log) -> None:
    path = merkle.consistency_path(log.leaves.__getitem__, 3, 5)
    assert watching.add_checkpoint(request_body(0, path, log.note(3))).status == 422
    watching.add_checkpoint(log.request(0, 3))
    for wrong in ([], path[:-1], [*path, path[0]], path[::-1]):
        assert watching.add_checkpoint(request_body(3, wrong, log.note(5))).status == 422
    assert watching.add_checkpoint(request_body(3, path, log.note(3))).status == 422
    assert watching.add_checkpoint(request_body(3, path, log.note(5))).status == 200


def test_an_unknown_log_an_unknown_key_and_a_false_signature_are_told_apart(watching: Witness, log: Log) -> None:
    elsewhere = Log(Signer.from_seed("example.com/other", b"\x01" * 32)).grow(2)
    assert watching.add_checkpoint(elsewhere.request(0)).status == 404
    thief = Log(Signer.from_seed(ORIGIN, b"\x0b" * 32), log.leaves)
    assert watching.add_checkpoint(thief.request(0)).status == 403
    body, signature = log.note(4).rsplit(b"\n\n", 1)
    borrowed = body.replace(b"\n4\n", b"\n5\n") + b"\n\n" + signature
    assert watching.add_checkpoint(request_body(0, [], borrowed)).status == 403
    assert watching.newest(witness.origin_hash(ORIGIN)).status == 404


def test_what_cannot_be_read_is_a_bad_request(watching: Witness, log: Log) -> None:
    note = log.note()
    text = notes.parse_note(note).text
    hash_line = base64.b64encode(bytes(32)) + b"\n"
    for body in (
        b"",
        b"old 0",
        b"old 0\n\n",
        b"old 0\n" + note,  # no blank line before the note: it is read as proof lines
        b"old 00\n\n" + note,
        b"old -1\n\n" + note,
        b"Old 0\n\n" + note,
        b"old 99999999999999999999\n\n" + note,
        b"old 6\n\n" + note,  # larger than the checkpoint
        b"old 0\nAAAA\n\n" + note,
        b"old 0\n!!!!\n\n" + note,
        b"old 0\n" + hash_line * 64 + b"\n" + note,
        b"old 0\n\n" + note[:-1],
        b"old 0\n\n" + note.replace(b"\n5\n", b"\n05\n"),
        b"old 0\n\n" + note.replace(b"\n5\n", b"\n0\n"),
        b"old 0\n\n" + notes.sign_note(text + "an extension\n", log.signer),
        b"old 0\r\n\r\n" + note,
        b"\xff\xfe\n\n" + note,
        os.urandom(2000),
    ):
        assert watching.add_checkpoint(body).status == 400, body[:40]


# --- the disk


def test_a_cosignature_never_leaves_when_the_state_could_not_be_kept(
    watching: Witness, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching.add_checkpoint(log.request(0, 2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(StateError, match="No space left"):
            watching.add_checkpoint(log.request(2, 4))
    assert watching.add_checkpoint(log.forked(2, 2).request(2, 4)).status == 200, "nothing was promised"


def test_whatever_instant_the_power_fails_at_no_second_history_is_cosigned_after_it(
    folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every system call of the write fails in turn; the folder is then as after a cut, and another history is tried."""
    acts = ["open", "fsync", "replace", "pwrite"]
    for act in acts:
        place = folder / act
        place.mkdir()
        shutil.copy(folder / witness.KEY_FILE, place)
        watching = Witness(place, [log.signer.public])
        watching.add_checkpoint(log.request(0, 2))
        real = getattr(os, act)
        for turn in range(3):
            calls = iter(range(turn))

            def cut(*arguments: Any, real: Any = real, calls: Any = calls, **options: Any) -> Any:
                if next(calls, None) is None:
                    raise OSError(errno.EIO, "power cut")
                return real(*arguments, **options)

            with monkeypatch.context() as patch:
                patch.setattr(os, act, cut)
                try:
                    told = watching.add_checkpoint(log.request(2, 4)).status
                except (StateError, OSError):
                    told = 503
            size = Witness(place, [log.signer.public]).add_checkpoint(log.request(0, 5)).body.strip()
            assert size in {"2", "4"}, "the state can be read after every cut"
            assert told != 200 or size == "4", "what was cosigned is remembered"
            if size == "4":
                break


@pytest.mark.parametrize("ending", [".note", ".mark"])
def test_a_state_file_that_was_set_back_is_refused(folder: Path, watching: Witness, log: Log, ending: str) -> None:
    watching.add_checkpoint(log.request(0, 2))
    old = file_of(folder, ending).read_bytes()
    watching.add_checkpoint(log.request(2, 4))
    file_of(folder, ending).write_bytes(old)
    fork = log.forked(2, 3)
    if ending == ".mark":  # it may lie behind by one cut; the file is what counts
        assert watching.add_checkpoint(fork.request(4, 5)).status == 422
        return
    for asked in (watching, Witness(folder, [log.signer.public])):
        with pytest.raises(StateError, match="set back to 2 entries; 4 were cosigned"):
            asked.add_checkpoint(fork.request(2, 5))
        with pytest.raises(StateError, match="set back"):
            asked.newest(witness.origin_hash(ORIGIN))


def test_a_state_file_that_is_gone_damaged_or_not_of_this_witness_is_refused(
    folder: Path, watching: Witness, log: Log
) -> None:
    watching.add_checkpoint(log.request(0, 4))
    path = file_of(folder)
    good = path.read_bytes()
    stranger = cosigner_of(Signer.from_seed("other.test", b"\x0c" * 32))
    other_origin = Log(Signer.from_seed("example.com/other", b"\x01" * 32)).grow(4)
    elsewhere = Witness(folder, [other_origin.signer.public])
    elsewhere.add_checkpoint(other_origin.request(0))
    foreign = next(p for p in (folder / witness.LOGS).glob("*.note") if p != path).read_bytes()
    for data, reason in (
        (None, "is gone, though 4 entries were cosigned"),
        (b"", "was not written by this witness"),
        (log.note(4), "was not written by this witness"),
        (good[:-1], "was not written by this witness"),
        (good.replace(watching.key.name.encode(), stranger.name.encode()), "was not written by this witness"),
        (foreign, "is of example.com/other"),
    ):
        path.unlink() if data is None else path.write_bytes(data)
        with pytest.raises(StateError, match=reason):
            watching.add_checkpoint(log.request(4, 5))
        path.write_bytes(good)
    mark = path.with_suffix(".mark")
    mark.write_bytes(mark.read_bytes()[:40])
    with pytest.raises(StateError, match="damaged mark"):
        watching.add_checkpoint(log.request(4, 5))


def test_requests_at_the_same_time_never_get_two_histories_cosigned(watching: Witness, log: Log) -> None:
    watching.add_checkpoint(log.request(0, 2))
    histories = [log.forked(2, 3), *(Log(log.signer, log.leaves[:2]).grow(3, f"f{n}") for n in range(15))]
    barrier = threading.Barrier(len(histories))

    def ask(history: Log) -> int:
        barrier.wait()
        return watching.add_checkpoint(history.request(2)).status

    with ThreadPoolExecutor(len(histories)) as pool:
        answers = list(pool.map(ask, histories))
    assert sorted(answers) == [200, *[409] * 15]


def test_a_lock_that_nobody_gives_back_is_told_and_not_waited_for_without_end(
    watching: Witness, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "LOCK_WAIT_SECONDS", 0.05)
    with watching.state.locked(ORIGIN), pytest.raises(StateError, match="locked by another process"):
        watching.add_checkpoint(log.request(0, 2))


# --- the process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[WitnessProcess]:
    running = WitnessProcess(tmp_path / "witness")
    running.init()
    yield running
    running.kill()


def test_a_witness_that_was_killed_remembers_and_refuses_the_fork(process: WitnessProcess, log: Log) -> None:
    process.start(log.signer.key_line)
    status, _, line = process.post(log.request(0, 3))
    assert status == 200
    assert process.key is not None
    open_cosignature(log.note(3) + line.encode(), process.key)
    process.kill()
    process.start(log.signer.key_line)
    assert process.post(log.request(0, 5)) == (409, SIZE_TYPE, "3\n")
    assert process.post(log.forked(2, 3).request(3, 5))[0] == 422
    assert process.post(log.request(3, 5))[0] == 200
    status, shown = process.newest()
    assert (status, notes.open_checkpoint(shown, log.signer.public).size) == (200, 5)
    exit_status, said = process.stop()
    assert exit_status == 0
    assert "REFUSED a checkpoint under a known key" in said
    exit_status, said = process.status()
    assert exit_status == 0
    assert f"{ORIGIN}  5 entries, cosigned 20" in said
    assert "1 refused (not shown to continue)" in said


def test_two_processes_on_one_folder_never_cosign_two_histories(process: WitnessProcess, log: Log) -> None:
    process.start(log.signer.key_line)
    second = WitnessProcess(process.state).start(log.signer.key_line)
    try:
        for size in range(1, 21):
            log.grow(max(0, size - len(log.leaves)))
            fork = log.forked(size - 1, 1)
            with ThreadPoolExecutor(2) as pool:
                one = pool.submit(process.post, log.request(size - 1, size))
                two = pool.submit(second.post, fork.request(size - 1, size))
            assert sorted((one.result()[0], two.result()[0])) == [200, 409], size
            log = log if one.result()[0] == 200 else fork
    finally:
        second.kill()


def test_a_state_that_went_back_is_told_at_the_start_and_in_status(process: WitnessProcess, log: Log) -> None:
    process.start(log.signer.key_line)
    process.post(log.request(0, 2))
    old = file_of(process.state).read_bytes()
    process.post(log.request(2, 4))
    file_of(process.state).write_bytes(old)
    assert process.post(log.request(2, 5))[0] == 503
    _, said = process.stop()
    assert "REFUSES: the state file" in said
    exit_status, said = process.status()
    assert exit_status == 1
    assert "set back to 2 entries; 4 were cosigned" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_small_share_of_the_battery_of_kills_holds(tmp_path: Path) -> None:
    rows = witnesses._kills(tmp_path / "killed", 3)
    assert [(row.value, row.holds) for row in rows] == [(0, True), (0, True)]
