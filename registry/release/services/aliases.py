"""Aliases move by appending: promote and suspend. The way back stands in `rollbacks`, a move in an emergency in `emergencies`.

Rules:
- each move is checked again at the moment of the move, under the model's lock: who may move this alias, the bytes, what stops it;
- promote: the approval is granted now (not stale, expired, returned or revoked), and the gate passes under the policy in force now;
- promote: what was corrected about the version (licence, knowledge of its training data) after the last grant was seen by nobody
  who granted; what is live stays so, but the version is not moved anywhere by that approval;
- suspend: an alias serves nothing, at once and without a replacement, until somebody promotes or rolls back.
"""

from __future__ import annotations

from registry.catalog.models import RegisteredModel
from registry.errors import Conflict
from registry.events import Caller, unit
from registry.release import queries
from registry.release import status as rules
from registry.release.alias_rules import require_alias
from registry.release.models import AliasAssignment, Approval, MoveKind
from registry.release.quarantines import refuse_quarantined
from registry.release.services.gate import (
    check_alias,
    check_reason,
    evaluate,
    lock_model,
    refuse_blocked,
    write_verdict,
)
from registry.release.services.moves import (
    CheckedBytes,
    append_move,
    corrected_since,
    demand_fresh,
    ensure_checked,
    history_of,
)


def require_promote(*, actor: Caller, model: RegisteredModel, alias: str) -> str:
    """The role that lets the caller promote; asked before bytes are read for a long time."""
    return require_alias(actor, "promote", model.team_id, alias)


def promote(
    *, actor: Caller, model: RegisteredModel, alias: str, approval: Approval, checked: CheckedBytes | None = None
) -> AliasAssignment:
    """Let the alias serve the approved version. The first promotion creates the alias."""
    role = require_promote(actor=actor, model=model, alias=alias)
    check_alias(alias)
    if approval.model_id != model.pk or approval.alias != alias:
        raise Conflict(
            f"The approval is for '{approval.alias}' of {approval.version}.", hint="Ask for one for this alias."
        )
    _demand_granted(approval)
    refuse_quarantined(approval.version)
    checked = ensure_checked(approval.version, checked)
    with unit(actor, role=role) as opened:
        locked = lock_model(model)
        require_promote(actor=actor, model=locked, alias=alias)  # bytes are read for minutes: the role may have ended
        row = queries.approvals_to_judge(approval.version).get(pk=approval.pk)
        _demand_granted(row)
        version = row.version
        version.model = locked
        _refuse_corrected(row)
        demand_fresh(version, checked)
        refuse_quarantined(version)
        now = queries.incumbent(locked, alias)
        if now is not None and now.version_id == version.pk and now.approval_id == row.pk:
            raise Conflict(f"'{alias}' serves {version} already.", code="serves-already")
        gate = evaluate(version, alias, opened.now)
        refuse_blocked(gate, f"The promotion of {version} to '{alias}'")
        write_verdict(opened, version, gate)
        return append_move(opened, locked, alias, MoveKind.PROMOTED, approval=row)


def _demand_granted(approval: Approval) -> None:
    now = queries.status_of(approval)
    if now.word != rules.GRANTED:
        raise Conflict(
            " ".join([f"The approval is {now.word}, not granted.", *now.reasons]),
            hint="Promotion needs an approval that is granted and still fits the present state; ask for a new one.",
            code="not-granted",
            status_now=now.word,
        )


def _refuse_corrected(approval: Approval) -> None:
    """Who built a version may correct it alone, so a milder word needs the eyes of those who grant before it moves anything."""
    if queries.corrected_since_grant(approval):
        raise Conflict(
            corrected_since(approval.version),
            hint="Ask for a new approval: whoever grants it then sees what is stated now.",
            code="corrected-since",
        )


def suspend(*, actor: Caller, model: RegisteredModel, alias: str, reason: str) -> AliasAssignment:
    """Let the alias serve nothing until somebody promotes or rolls back."""
    role = require_alias(actor, "suspend", model.team_id, alias)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        locked = lock_model(model)
        if history_of(locked, alias)[0].version_id is None:
            raise Conflict(f"'{alias}' is suspended already.")
        return append_move(opened, locked, alias, MoveKind.SUSPENDED, reason=reason)
