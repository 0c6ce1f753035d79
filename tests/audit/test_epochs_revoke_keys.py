"""`revoke_keys`: the old keys were lost or stolen; two administrators, and nobody vouches for the new ones."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from audit import checkpoints, eras, keys, notes
from audit.models import Entry, Intervention, Key
from audit.services import make_keys
from audit.services_interventions import revoke_keys
from audit.verification import replay
from registry.access import services as access
from registry.access.models import Actor, Role
from registry.errors import Forbidden, Unavailable
from registry.storage import read_bytes
from tests.audit.acts import act, files, last_event, lost_checkpoint, receipt_of, rows_of, write_outside
from tests.world import World

pytestmark = pytest.mark.db_guarantee


def test_a_revocation_is_one_entry_with_both_administrators(world: World) -> None:
    size = Entry.objects.count()
    done = world.revoke_keys()
    second = world.second_administrator()
    event = last_event()
    assert event["kind"] == "key.revoked"
    sealed = rows_of(event, "audit.intervention/1")[0]
    assert (sealed["done_by_id"], sealed["agreed_by_id"]) == (str(world.cast.root.actor_id), str(second.pk))
    revoked = [row for row in rows_of(event, "audit.key/1") if row["revoked_at"] is not None]
    first = eras.read()[-1].first
    assert first > size
    assert [(row["first_position"], row["last_position"]) for row in revoked] == [(0, first - 1)] * 2
    assert done.reason.value == "The keys were stolen."
    assert replay.compare() == []


def test_nobody_vouches_for_the_new_keys(world: World) -> None:
    old = [keys.log_signer().public, keys.issuer_signer().public]
    world.revoke_keys()
    ref = next(ref for ref in last_event()["refs"] if ref["name"] == "keys")
    note = notes.parse_note(read_bytes(ref["digest"]))
    note.require(keys.log_signer().public, keys.issuer_signer().public)
    assert len(note.signatures) == 2
    assert not {signature.key_id for signature in note.signatures} & {key.key_id for key in old}
    assert eras.read()[-1].vouched is False


def test_the_old_private_keys_are_set_aside_and_sign_nothing_more(world: World) -> None:
    world.revoke_keys()
    first = eras.read()[-1].first
    assert files() == [
        f"issuer-{first}.key", "issuer.key.set-aside-1", f"log-{first}.key", "log.key.set-aside-1",
    ]  # fmt: skip
    for position in (1, first - 1):
        with pytest.raises(Unavailable, match="revoked"):
            keys.issuer_signer(position)
    receipt_of(act(world, "after"))
    notes.open_checkpoint(world.checkpoint().note.encode(), keys.log_signer().public)


def test_a_revoked_key_whose_file_was_put_back_signs_nothing(world: World) -> None:
    world.revoke_keys()
    (keys.folder() / "issuer.key.set-aside-1").rename(keys.folder() / "issuer.key")
    keys.forget()
    with pytest.raises(Unavailable, match="revoked"):
        keys.issuer_signer(1)
    keys.set_spent_aside(keys.log_signer().name.split("/")[1])
    assert "issuer.key" not in files()


def test_lost_keys_can_be_revoked_without_them(world: World) -> None:
    world.checkpoint()
    world.second_administrator()
    for name in files():
        (keys.folder() / name).unlink()
    keys.forget()
    assert act(world, "unsigned").receipt is None
    world.revoke_keys()
    receipt_of(act(world, "signed"))
    assert world.checkpoint().size == Entry.objects.count()


def test_what_lies_in_a_folder_that_was_stolen_is_not_taken_as_a_new_key(world: World) -> None:
    """A key that an interrupted rotation left may have been stolen with the rest."""
    world.second_administrator()
    position = Entry.objects.count()
    left, _ = make_keys(keys.log_signer(0).name, keys.folder(), position)
    world.revoke_keys()
    assert keys.log_signer().public != left.public
    assert f"log-{position}.key.set-aside-1" in files()


def test_an_administrator_does_not_agree_with_themselves(world: World) -> None:
    size = Entry.objects.count()
    with pytest.raises(Forbidden, match="different"):
        revoke_keys(actor=world.cast.root, agreed_by=world.cast.people["root"], reason="Stolen.")
    assert (Entry.objects.count(), files()) == (size, ["issuer.key", "log.key"])


@pytest.mark.parametrize("name", ["ada", "carla", "eve"])
def test_whoever_is_no_administrator_does_not_agree(world: World, name: str) -> None:
    with pytest.raises(Forbidden, match="no administrator"):
        revoke_keys(actor=world.cast.root, agreed_by=world.cast.people[name], reason="Stolen.")


def test_an_administrator_of_one_team_only_does_not_agree(world: World) -> None:
    person = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=person, role=Role.ADMINISTRATOR, team=world.cast.team)
    with pytest.raises(Forbidden, match="no administrator"):
        revoke_keys(actor=world.cast.root, agreed_by=person, reason="Stolen.")


def test_a_machine_is_no_second_person(world: World) -> None:
    machine = world.cast.service_account()
    access.grant_membership(actor=world.cast.root, person=machine, role=Role.ADMINISTRATOR, team=None)
    with pytest.raises(Forbidden, match="no administrator"):
        revoke_keys(actor=world.cast.root, agreed_by=machine, reason="Stolen.")


def test_somebody_whose_account_ended_does_not_agree(world: World) -> None:
    person = world.second_administrator()
    Actor.objects.filter(pk=person.pk).update(ended_at=person.created_at)
    with pytest.raises(Forbidden, match="no administrator"):
        revoke_keys(actor=world.cast.root, agreed_by=person, reason="Stolen.")


def test_the_database_itself_demands_a_second_person(world: World) -> None:
    done = world.revoke_keys()
    for agreed_by in (None, done.done_by_id):
        with pytest.raises(DatabaseError), transaction.atomic():
            Intervention.objects.create(
                kind="keys_revoked", reason=done.reason, done_by_id=done.done_by_id, agreed_by_id=agreed_by,
                done_at=done.done_at,
            )  # fmt: skip


def test_a_revoked_key_cannot_be_made_good_again(world: World) -> None:
    world.revoke_keys()
    with pytest.raises(DatabaseError), transaction.atomic():
        Key.objects.filter(first_position=0).update(revoked_at=None)


def test_keys_are_revoked_even_when_the_ledger_is_refused(world: World) -> None:
    """A machine that was lost with its keys: new ones first, then the old backup is reopened."""
    world.second_administrator()
    world.checkpoint()
    checkpoints_file = checkpoints.outside_notes()
    write_outside(lost_checkpoint(keys.log_signer(), 50))
    with pytest.raises(checkpoints.LedgerRefused):
        checkpoints.sign_next()
    world.revoke_keys()
    world.reopen_ledger()
    assert world.checkpoint().size == Entry.objects.count()
    assert len(checkpoints.outside_notes()) == len(checkpoints_file) + 2
    for note in checkpoints.outside_notes():  # the lost one is signed by the key that was revoked since
        eras.open_checkpoint(eras.read(), note)
