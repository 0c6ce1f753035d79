"""Acts on the ledger itself: new keys, lost keys, a ledger that goes on under a new origin, a clock set right (FORMATS, section 6).

Rules:
- administrators of the whole instance act, with a reason; what weakens the proof (a revocation, a clock set back) takes two people;
- each act is one unit in the stream `instance`: the intervention, its reason, the old keys with their last position, the new ones;
- a keys note names its own position, so the head of the ledger is held while it is made;
- key files and note are written before COMMIT; a file that no committed row names signs nothing, and the next act sets it aside;
- a rotation is signed by old and new keys, and so is a restored ledger that is reopened; a revocation and a copy by the new alone;
- private keys that are revoked, or belong to the instance that this one was copied from, are set aside once the act is committed;
- what a kill after COMMIT leaves undone is finished by the keeper, or by the same verb again; it is never done a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit import checkpoints, eras, keys, ledger, notes, past, seat
from audit.models import Intervention, Key, Ledger
from audit.past import Past
from audit.refusal import LedgerRefused
from audit.seat import Seat
from audit.services import make_keys, origin_of
from audit.signing import Signer
from registry import storage
from registry.access import permissions
from registry.access.models import Actor, ActorKind, Text
from registry.access.services import new_text
from registry.digests import parse_time
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, Unit, emit, unit
from registry.ids import uuid7

Kind = Intervention.Kind
_STREAM = "instance"


def rotate_keys(*, actor: Caller, reason: str) -> Intervention:
    """New keys from the next position on, vouched for by the old ones: whoever knows the old knows the new."""
    role = permissions.require(actor, "key.rotate", None)
    checkpoints.demand_continuity()
    with unit(actor, role=role) as opened:
        act, text = _intervene(opened, Kind.KEYS_ROTATED, reason)
        first = _hold(opened)
        row = _ledger()
        key_rows, ref = _begin_era(opened, first, row.origin, _signers_before(first))
        emit("key.rotated", act, text, *key_rows, team=None, refs=[ref])
        return act


def revoke_keys(*, actor: Caller, agreed_by: Actor, reason: str) -> Intervention:
    """New keys because the old ones were lost or stolen. Nobody knows the new ones until they are told, from outside."""
    role = permissions.require(actor, "key.revoke", None)
    _require_second(actor, agreed_by, "key.revoke")
    with unit(actor, role=role) as opened:
        act, text = _intervene(opened, Kind.KEYS_REVOKED, reason, agreed_by)
        first = _hold(opened)
        row = _ledger()
        key_rows, ref = _begin_era(opened, first, row.origin, (), revoked=True)
        emit("key.revoked", act, text, *key_rows, team=None, refs=[ref])
        opened.after_commit.append(lambda: keys.set_spent_aside(str(row.instance)))
        return act


def reopen_ledger(
    *, actor: Caller, reason: str, copied: bool = False, given: Sequence[bytes] = ()
) -> Intervention:  # fmt: skip
    """Go on under a new origin: after an old backup was restored, or (`copied`) as another instance than the one copied from.

    `given`: checkpoints of the old origin that somebody kept elsewhere, where the file of checkpoints does not have them.
    """
    role = permissions.require(actor, "ledger.reopen", None)
    old = _ledger()
    before = past.read(old, given)
    instance = uuid7() if copied else old.instance
    origin = origin_of(instance, before.epoch + 1)
    stored = [storage.store_bytes(note) for note in before.documents]
    refs = [Ref("checkpoint", document.digest, document.size_bytes) for document in stored]
    with unit(actor, role=role) as opened:
        kind = Kind.LEDGER_COPIED if copied else Kind.LEDGER_RESTORED
        act, text = _intervene(opened, kind, reason, **_end_of(before))
        first = _hold(opened)
        old = Ledger.objects.select_for_update(no_key=True).get(pk=old.pk)
        if old.ended_at is not None:
            raise Conflict("The ledger was reopened a moment ago by somebody else.", hint="See `pressmark keys`.")
        old.ended_at = opened.now
        old.save(update_fields=["ended_at"])
        new = Ledger.objects.create(instance=instance, epoch=before.epoch + 1, origin=origin, created_at=opened.now)
        key_rows, ref = _begin_era(opened, first, origin, () if copied else _signers_before(first))
        emit("ledger.reopened", act, text, old, new, *key_rows, team=None, refs=[ref, *refs])
        opened.after_commit += [lambda: seat.take(origin), lambda: keys.set_spent_aside(str(instance))]
        return act


def finish_reopening(*, actor: Caller, copied: bool) -> Intervention | None:
    """What an attempt left undone that was killed after its COMMIT: the seat, the old keys set aside. None when nothing is open.

    Whoever signs first under a new origin takes its seat; so while the seat is still of an origin before, nothing was signed.
    """
    permissions.require(actor, "ledger.reopen", None)
    origins, taken = list(dict.fromkeys(era.origin for era in eras.read())), seat.taken_or_none()
    act = Intervention.objects.filter(kind__in=[Kind.LEDGER_COPIED, Kind.LEDGER_RESTORED]).order_by("-id").first()
    if act is None or taken is None or taken.origin not in origins[:-1] or copied != (act.kind == Kind.LEDGER_COPIED):
        return None
    seat.take(origins[-1])
    keys.set_spent_aside(str(_ledger().instance))
    return act


def correct_clock(*, actor: Caller, agreed_by: Actor, reason: str) -> Intervention:
    """Let the ledger's time go back to what the clock says now: it was wrong once, and entries are stuck in the future since."""
    role = permissions.require(actor, "ledger.correct_clock", None)
    _require_second(actor, agreed_by, "ledger.correct_clock")
    checkpoints.demand_continuity()
    with unit(actor, role=role) as opened:
        _hold(opened)
        last, now = ledger.clocks()
        if last <= now:
            raise Conflict(
                f"The last entry is of {last}, and the clock says {now}: there is nothing to set right.",
                hint="If the clock is wrong now, set the clock of the machine (of the database server) right first.",
            )
        act, text = _intervene(
            opened, Kind.CLOCK_CORRECTED, reason, agreed_by, old_at=parse_time(last), new_at=parse_time(now)
        )
        emit("ledger.clock_corrected", act, text, team=None)
        return act


def confirm_move(*, actor: Caller) -> tuple[Seat | None, Seat]:
    """The installation stands here now, and the old place is no more. A note on this host, no entry: the origin stays."""
    permissions.require(actor, "ledger.confirm_move", None)
    old, origin = seat.taken_or_none(), _ledger().origin
    seat.take(origin)
    try:
        checkpoints.demand_continuity()
    except LedgerRefused as refused:
        raise LedgerRefused("It stands here now, but is not signed yet. " + refused.detail, hint=refused.hint) from None
    return old, seat.here(origin)


# --- what they share ---


def _require_second(actor: Caller, second: Actor, action: str) -> None:
    if second.pk == actor.actor_id:
        raise Forbidden("Two different administrators must agree to this.", hint="Ask another administrator.")
    if second.kind != ActorKind.PERSON or not permissions.may(second.pk, action, None):
        raise Forbidden(
            f"{second.username} is no administrator of the whole instance.", hint="Ask an administrator to agree."
        )


def _intervene(
    opened: Unit, kind: str, reason: str, agreed_by: Actor | None = None, **facts: Any
) -> tuple[Intervention, Text]:
    if not reason.strip():
        raise Invalid("The reason is missing.", hint="Say in a sentence why: it is sealed with the act.")
    text = new_text(stream=_STREAM, purpose="reason", value=reason.strip(), now=opened.now)
    act = Intervention.objects.create(
        kind=kind, reason=text, done_by_id=opened.caller.actor_id, agreed_by=agreed_by, done_at=opened.now, **facts
    )
    return act, text


def _end_of(before: Past) -> dict[str, Any]:
    last = before.last
    if last is None:
        return {}
    root = "sha256:" + last.root.hex()
    return {"old_origin": last.origin, "old_size": last.size, "old_root": root, "agreed_size": before.agreed_size}


def _ledger() -> Ledger:
    row = Ledger.objects.filter(ended_at=None).first()
    if row is None:
        raise Conflict("There is no ledger yet.", hint="Run `pressmark init`.")
    return row


def _hold(opened: Unit) -> int:
    """The position that the unit's entry will have: nobody appends until it ends."""
    opened.must_begin_at = ledger.hold_head()
    return opened.must_begin_at


def _signers_before(first: int) -> tuple[Signer, Signer]:
    return keys.log_signer(first - 1), keys.issuer_signer(first - 1)


def _begin_era(
    opened: Unit, first: int, origin: str, before: Sequence[Signer], *, revoked: bool = False
) -> tuple[list[Key], Ref]:
    """New key files, the keys note in the store, the old rows ended, the new ones written."""
    keys.set_leftovers_aside()
    log, issuer = make_keys(origin, keys.folder(), first)
    note = notes.sign_keys(notes.KeysNote(origin, first, log.public, issuer.public), *before, log, issuer)
    stored = storage.store_bytes(note)
    rows = list(Key.objects.select_for_update(no_key=True).filter(last_position=None).order_by("use"))
    for row in rows:
        row.last_position = first - 1
        row.revoked_at = opened.now if revoked else None
        row.save(update_fields=["last_position", "revoked_at"])
    rows += [
        Key.objects.create(use=use, key_line=signer.key_line, first_position=first, created_at=opened.now)
        for use, signer in ((Key.Use.LOG, log), (Key.Use.ISSUER, issuer))
    ]
    return rows, Ref("keys", stored.digest, stored.size_bytes)
