"""A receipt is completed: entries, proofs and keys notes that an offline verifier believes without us; or the reason why not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from audit import checkpoints, eras, keys, notes, offline_verify, receipt_proofs
from audit.models import Entry
from audit.signing import Signer
from registry.access import services as access
from registry.access.models import Role, Team
from registry.errors import Conflict, Invalid, NotFound, Unavailable
from registry.events import Caller, last_unit
from registry.monitoring import services as monitoring
from tests.audit.acts import act, lost_checkpoint, write_outside
from tests.world import World
from tests.worlds.audit import rewrite_entry, tamper
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee


def receipt_after(do: Callable[[], object]) -> bytes:
    """The receipt of what was just done."""
    do()
    unit = last_unit()
    assert unit is not None
    assert unit.receipt
    return unit.receipt.encode()


def folder_of(done: receipt_proofs.Completed, place: Path) -> Path:
    for path, data in done.files().items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
    return place


def judged(world: World, note: bytes, place: Path, key: str | None = None) -> offline_verify.Verdict:
    """The offline verifier's answer, with a key and a checkpoint from outside."""
    done = receipt_proofs.complete(world.cast.root, note)
    folder = folder_of(done, place)
    line = key or keys.log_signer().key_line
    return offline_verify.verify_receipt(folder, keys=[line], checkpoint=done.checkpoint.note.encode())


def answers(verdict: offline_verify.Verdict) -> list[str]:
    return [answer.result for answer in verdict.answers.values()]


# --- what it gives ---


def test_a_completed_receipt_of_a_unit_with_several_events_is_believed_offline(world: World, tmp_path: Path) -> None:
    _, child = world.released_pair()
    window = world.window(world.monitor(child), "week-2", [10, 20, 60, 150, 210, 150])
    note = receipt_after(
        lambda: monitoring.resolve_by_rollback(actor=world.cast.omar, incident=window.incident, reason="It moved.")
    )
    world.checkpoint()
    done = receipt_proofs.complete(world.cast.root, note)
    assert done.receipt.count == 3  # the verdict about the target, the move of the alias, the end of the incident
    assert [entry.position - done.receipt.first for entry in done.entries] == [0, 1, 2]
    assert len({proof.partition(b"\n\n")[2] for proof in done.proofs}) == 1
    verdict = judged(world, note, tmp_path / "receipt")
    assert answers(verdict) == ["yes"] * 4, offline_verify.show(verdict)
    assert verdict.notes == []


def test_completing_again_later_gives_the_same_bytes(world: World) -> None:
    note = receipt_after(lambda: world.teams(1))
    world.checkpoint()
    first = receipt_proofs.complete(world.cast.root, note).files()
    act(world, "later")
    world.checkpoint()
    assert receipt_proofs.complete(world.cast.root, note).files() == first


def test_it_is_pending_until_a_checkpoint_is_past_the_whole_unit(world: World) -> None:
    note = receipt_after(lambda: world.teams(1))
    with pytest.raises(Unavailable) as refused:
        receipt_proofs.complete(world.cast.root, note)
    assert refused.value.code == "pending"


@pytest.mark.parametrize("change", ["rotate_keys", "revoke_keys"])
def test_receipts_of_older_eras_complete_too_and_say_which_keys_followed(
    world: World, tmp_path: Path, change: str
) -> None:
    note = receipt_after(lambda: world.teams(1))
    getattr(world, change)()
    world.checkpoint()
    assert [era.first for era in receipt_proofs.complete(world.cast.root, note).eras] == [0, Entry.objects.count() - 1]
    verdict = judged(world, note, tmp_path / "receipt")
    assert answers(verdict) == ["yes"] * 4, offline_verify.show(verdict)


def test_an_era_that_began_after_the_checkpoint_is_not_in_it(world: World, tmp_path: Path) -> None:
    note = receipt_after(lambda: world.teams(1))
    old_key = keys.log_signer().key_line
    world.checkpoint()
    world.rotate_keys()
    world.checkpoint()
    assert sorted(receipt_proofs.complete(world.cast.root, note).files())[1:2] == ["keys/keys-0.note"]
    assert answers(judged(world, note, tmp_path / "receipt", old_key)) == ["yes"] * 4


def test_a_receipt_of_the_old_origin_from_before_a_reopening_completes(world: World, tmp_path: Path) -> None:
    world.checkpoint()
    note = receipt_after(lambda: world.teams(1))
    write_outside(lost_checkpoint(keys.log_signer(), 40))
    world.reopen_ledger()
    world.checkpoint()
    verdict = judged(world, note, tmp_path / "receipt")
    assert answers(verdict) == ["yes"] * 4, offline_verify.show(verdict)


# --- what the ledger contradicts ---


def contradicted(world: World, note: bytes) -> str:
    """The sentence; 409 with the hint to keep the receipt, for whoever asks."""
    for caller in (world.cast.root, world.cast.eve):
        with pytest.raises(Conflict) as refused:
            receipt_proofs.complete(caller, note)
        assert refused.value.code == "receipt-differs"
        assert "Keep the receipt" in refused.value.hint
    return refused.value.detail


def test_the_receipt_of_a_rewritten_entry_is_evidence(world: World) -> None:
    note = receipt_after(lambda: act(world, "sealed"))
    rewrite_entry(Entry.objects.count() - 1, b'"sealed"', b'"forged"', leaf=True)
    assert "other entries" in contradicted(world, note)


def test_an_entry_whose_bytes_changed_under_an_unchanged_leaf_is_noticed(world: World) -> None:
    note = receipt_after(lambda: act(world, "sealed"))
    rewrite_entry(Entry.objects.count() - 1, b'"sealed"', b'"forged"')
    assert "other entries" in contradicted(world, note)


def test_the_receipt_of_a_lost_entry_is_evidence(world: World) -> None:
    note = receipt_after(lambda: act(world, "lost"))
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [Entry.objects.count() - 1])
    assert "lacks 1 of the 1" in contradicted(world, note)


def test_the_receipt_of_what_an_old_backup_lost_is_evidence_after_the_reopening_too(world: World) -> None:
    world.checkpoint()
    lost_at = Entry.objects.count()
    signer = keys.issuer_signer()
    note = receipts_note(signer, lost_at)
    write_outside(lost_checkpoint(keys.log_signer(), 40))
    assert "lacks" in contradicted(world, note)
    world.reopen_ledger()
    world.checkpoint()
    assert "Another key signs" in contradicted(world, note)


def receipts_note(signer: Signer, position: int) -> bytes:
    """A receipt that this installation signed for an entry that it no longer has."""
    return notes.sign_receipt(signer, position, 1, b"\x05" * 32, "2026-01-02T03:04:05.000000Z")


# --- what is no receipt of ours ---


def test_what_another_key_signed_under_our_origin_is_refused(world: World) -> None:
    ours = keys.issuer_signer()
    thief = Signer.generate(ours.name)
    with pytest.raises(Invalid, match="no issuer key that this ledger knows"):
        receipt_proofs.complete(world.cast.root, receipts_note(thief, 1))


def test_a_receipt_of_another_installation_is_refused(world: World) -> None:
    other = Signer.generate("pressmark/01890a5d-ac96-774b-bcce-b302099a8099/1/issuer")
    with pytest.raises(Invalid, match="it is of pressmark/01890a5d-ac96-774b-bcce-b302099a8099/1"):
        receipt_proofs.complete(world.cast.root, receipts_note(other, 1))


def test_a_changed_receipt_is_refused(world: World) -> None:
    note = receipt_after(lambda: world.teams(1))
    with pytest.raises(Invalid):
        receipt_proofs.complete(world.cast.root, note.replace(b"\n1\n", b"\n2\n", 1))


# --- who may ---


def test_who_may_read_only_a_part_of_the_unit_gets_nothing_of_it(world: World, outsider_team: Team) -> None:
    ada = world.cast.people["ada"]
    access.grant_membership(actor=world.cast.root, person=ada, role=Role.ENGINEER, team=outsider_team)
    note = receipt_after(lambda: access.end_actor(actor=world.cast.root, person=ada))
    world.checkpoint()
    with pytest.raises(NotFound, match="may not read 1 of the 3 entries"):
        receipt_proofs.complete(world.cast.omar, note)
    with pytest.raises(NotFound, match="may not read 3 of the 3 entries"):
        receipt_proofs.complete(world.cast.eve, note)
    assert receipt_proofs.complete(world.cast.root, note).receipt.count == 3


def test_over_http_everything_comes_in_one_answer(world: World, tmp_path: Path) -> None:
    root = api("root")
    header = root.post("/api/v1/teams", {"slug": "vision"}, format="json")["Pressmark-Receipt"]
    door = "/api/v1/ledger/receipt"
    assert root.get(door, {"receipt": header}).json()["type"] == "urn:pressmark:problem:pending"
    world.checkpoint()
    answer = root.get(door, {"receipt": header}).json()
    assert sorted(answer) == ["entries", "keys", "receipt", "size"]
    assert answer["receipt"] == header
    assert [base64.b64decode(key["note"]) for key in answer["keys"]] == [era.note for era in eras.read()]
    done = receipt_proofs.complete(Caller(world.cast.root.actor_id, "api"), base64.b64decode(header))
    assert [base64.b64decode(row["entry"]) for row in answer["entries"]] == [bytes(e.entry) for e in done.entries]
    assert [row["proof"].encode() for row in answer["entries"]] == list(done.proofs)
    assert answer["size"] == checkpoints.ledger_size()
