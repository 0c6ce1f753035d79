"""An alias moves without an approval, in an emergency: a record of its own, as loud as it can be, that ends by itself.

Rules:
- operators, approvers and administrators break the glass, in person; never who brought or made the version, under any name of the
  same weights, or asked for an approval of it;
- never for what is in quarantine, purged, or was not checked by its structure; the bytes are read again before;
- never again for an alias until the finding about the last time is closed, so an emergency is not renewed without end; who is
  refused is told which finding that is, and what is open meanwhile: a roll-back and a suspension;
- what the gate of the policy in force says is kept with the record, whether it blocks or not, and the policy says how long this
  lasts; an emergency does not wait for a policy: where none is in force the record says so, and it lasts the ordinary hours;
- at once a finding is open for the model's owner, due when it ends: somebody else reviews what was done, and an approval is asked
  for or the alias is moved back; without a review by somebody else the finding is not closed;
- nothing else is excused by it: an approval, a roll-back to the version, an admission after its end need what they always need.
The database holds the same through `release/move_guards.py`.
"""

from __future__ import annotations

import datetime

from registry.access import permissions
from registry.access.models import Actor, ActorKind
from registry.access.queries_responsibility import hands_of
from registry.access.services import new_text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Blocked, Conflict, Forbidden
from registry.events import Caller, Unit, emit, unit
from registry.oversight.models import Finding
from registry.release import queries
from registry.release.drilled import review_after
from registry.release.models import AliasAssignment, MoveKind
from registry.release.policy_language import BREAK_GLASS_HOURS
from registry.release.quarantines import refuse_quarantined
from registry.release.services.gate import Gate, check_alias, check_reason, evaluate, lock_model, write_verdict
from registry.release.services.moves import CheckedBytes, append_move, demand_fresh, ensure_checked
from registry.release.serving_models import BrokenGlass

FINDING = "broken-glass"


def require_break_glass(*, actor: Caller, version: ModelVersion) -> str:
    """The role under which the caller may break the glass for a version; Forbidden says why not."""
    role = permissions.require(actor, "alias.break_glass", version.model.team_id)
    if Actor.objects.get(pk=actor.actor_id).kind != ActorKind.PERSON:
        raise Forbidden("The glass is broken by a person.", hint="Log in under your own name.", code="not-a-person")
    own = queries.own_work(actor.actor_id, version)
    if own is None and version.approvals.filter(requested_by_id__in=hands_of(actor.actor_id)).exists():
        own = "You requested an approval of this version; somebody else has to decide on it."
    if own is not None:
        raise Forbidden(own, hint="Ask an operator or approver who did not work on it.", code="own-work")
    return role


def break_glass(
    *, actor: Caller, version: ModelVersion, alias: str, reason: str, checked: CheckedBytes | None = None
) -> AliasAssignment:
    """Let the alias serve a version that nobody approved, for as long as the policy (else the default) allows in an emergency."""
    role = require_break_glass(actor=actor, version=version)
    check_alias(alias)
    check_reason(reason)
    _refuse_unfit(version)
    checked = ensure_checked(version, checked)
    with unit(actor, role=role) as opened:
        model = lock_model(version.model)
        version = ModelVersion.objects.select_related("model__team").get(pk=version.pk)
        require_break_glass(actor=actor, version=version)
        demand_fresh(version, checked)
        _refuse_unfit(version)
        now = queries.incumbent(model, alias)
        if now is not None and now.version_id == version.pk:
            raise Conflict(f"'{alias}' serves {version} already.", code="serves-already")
        _refuse_renewed(model, alias)
        glass = _record(opened, version, alias, role, reason)
        move = append_move(opened, model, alias, MoveKind.BROKEN_GLASS, glass=glass)
        _open_finding(opened, model, glass)
        return move


def require_review(finding: Finding, actor: Caller) -> None:
    """Asked where a finding about an emergency is closed: somebody else has looked at what was served, and signed that."""
    glass = (
        BrokenGlass.objects.select_related("version__model__team").filter(pk=finding.about).first()
        if finding.about
        else None
    )
    if glass is None or review_after(glass) is not None:
        return
    raise Conflict(
        f"Nobody has signed a review of {glass.version} since the glass was broken for it.",
        hint="An approver or compliance officer other than who broke it signs one first: on the version's page, or POST reviews.",
        code="unreviewed",
    )


def _refuse_unfit(version: ModelVersion) -> None:
    refuse_quarantined(version)
    if version.purged_at is not None:
        raise Conflict(f"The bytes of {version} were purged.", hint="Serve another version.", code="purged")
    if not version.evidence.filter(kind="structure", source="measured", version_digest=version.digest).exists():
        raise Conflict(
            f"Nobody checked the structure of the files of {version}.",
            hint="Register the files here; files that nothing looked into are served by no emergency.",
            code="unchecked",
        )


def _refuse_renewed(model: RegisteredModel, alias: str) -> None:
    looked_at = Finding.objects.filter(kind=FINDING, closed_at__isnull=False, about__isnull=False).values("about")
    rows = BrokenGlass.objects.select_related("version__model__team").filter(model=model, alias=alias)
    last = rows.exclude(pk__in=looked_at).order_by("pk").first()
    if last is None:
        return
    finding = Finding.objects.filter(kind=FINDING, about=last.pk).values_list("pk", flat=True).first()
    raise Conflict(
        f"The glass was broken for '{alias}' on {last.broken_at:%Y-%m-%d}, and the finding about it is open.",
        hint=f"An approver or compliance officer who had no part in it signs a review of {last.version} and closes the finding "
        f"(`pressmark close-finding {finding}`); then it can be broken again. Rolling back and suspending are open meanwhile.",
        code="not-reviewed",
        finding=str(finding),
    )


def _record(opened: Unit, version: ModelVersion, alias: str, role: str, reason: str) -> BrokenGlass:
    gate = _judged(version, alias, opened.now)
    verdict = write_verdict(opened, version, gate) if gate else None
    hours = queries.policy_rules(gate.policy).break_glass_hours if gate else BREAK_GLASS_HOURS
    text = new_text(stream=f"model:{version.model_id}", purpose="reason", value=reason, now=opened.now)
    return BrokenGlass.objects.create(
        model_id=version.model_id, version=version, version_digest=version.digest, alias=alias,
        policy=gate.policy if gate else None, verdict=verdict, reason=text, role=role,
        broken_by_id=opened.caller.actor_id, broken_at=opened.now,
        expires_at=opened.now + datetime.timedelta(hours=hours),
    )  # fmt: skip


def _judged(version: ModelVersion, alias: str, at: datetime.datetime) -> Gate | None:
    """What the gate says; None where no policy is in force that could judge it."""
    try:
        return evaluate(version, alias, at)
    except Blocked:
        return None


def _open_finding(opened: Unit, model: RegisteredModel, glass: BrokenGlass) -> None:
    stream = f"model:{model.pk}"
    ends = glass.expires_at.strftime("%Y-%m-%d %H:%M UTC")
    said = (
        f"the gate said {glass.verdict.outcome}"
        if glass.verdict
        else "no policy was in force that could have judged it"
    )
    text = new_text(
        stream=stream, purpose="description", now=opened.now,
        value=f"{glass.alias} was moved to {glass.version} without an approval; {said}. This ends on {ends}. Until then ask for "
        "an approval, or move the alias; and have somebody who had no part in it sign a review of the version that says whether "
        "the emergency was one.",
    )  # fmt: skip
    row = Finding.objects.create(
        stream=stream, kind=FINDING, about=glass.pk, subject=f"{glass.alias} of {model.slug}"[:120],
        state=Finding.State.OPEN, description=text, owner=model.owner, due_on=glass.expires_at.date(),
        created_by_id=opened.caller.actor_id, created_at=opened.now,
    )  # fmt: skip
    emit("finding.opened", row, text, team=model.team_id)
