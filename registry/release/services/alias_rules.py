"""Rules of who may do what with an alias are written by one person and put in force by another; ending one widens rights again."""

from __future__ import annotations

from registry.access import permissions
from registry.access.models import Role, Team
from registry.access.permissions import PERMISSIONS
from registry.access.queries_responsibility import is_own
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit
from registry.release.alias_rules import ACTS
from registry.release.services.gate import check_alias
from registry.release.serving_models import AliasRule


def author_alias_rule(*, actor: Caller, team: Team, alias: str, action: str, role: str) -> AliasRule:
    """Keep an act on an alias of a team for one role. It counts once somebody else approved it."""
    by = permissions.require(actor, "alias_rule.author", team.pk)
    check_alias(alias)
    if action not in ACTS:
        raise Invalid(f"There is no act {action[:40]!r} on an alias.", hint=f"Acts are: {', '.join(ACTS)}.")
    allowed = PERMISSIONS[ACTS[action]]
    if role not in {r.value for r in allowed}:
        raise Invalid(
            f"The role {role[:40]!r} may not do '{action}' anyhow; a rule only takes rights away.",
            hint=f"Name one of: {', '.join(r.value for r in Role if r in allowed)}.",
        )
    with unit(actor, role=by) as opened:
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        same = AliasRule.objects.filter(team=team, alias=alias, action=action, role=role, ended_at=None).first()
        if same is not None:
            if same.in_force_at is not None:
                raise Conflict("There is such a rule already, and it is in force.", hint="It narrows the act as it is.")
            raise Conflict(
                "There is such a rule already; it waits.",
                hint=f"Somebody other than its author approves it: `pressmark approve-alias-rule {same.pk}`.",
            )
        row = AliasRule.objects.create(
            team=team, alias=alias, action=action, role=role, author_id=actor.actor_id, created_at=opened.now
        )
        emit("alias_rule.authored", row, team=team.pk)
        return row


def approve_alias_rule(*, actor: Caller, rule: AliasRule) -> AliasRule:
    """Put a rule of somebody else in force."""
    by = permissions.require(actor, "alias_rule.approve", rule.team_id)
    with unit(actor, role=by) as opened:
        row = AliasRule.objects.select_for_update(no_key=True).get(pk=rule.pk)
        if is_own(actor.actor_id, row.author_id):
            raise Forbidden(
                "You wrote this rule; somebody else has to approve it.",
                hint="Ask a compliance officer, approver or administrator.",
                code="own-alias-rule",
            )
        if row.in_force_at is not None or row.ended_at is not None:
            raise Conflict(f"The rule {'was ended' if row.ended_at else 'is in force'} already.")
        row.approved_by_id, row.in_force_at = actor.actor_id, opened.now
        row.save(update_fields=["approved_by", "in_force_at"])
        emit("alias_rule.approved", row, team=row.team_id)
        return row


def end_alias_rule(*, actor: Caller, rule: AliasRule) -> AliasRule:
    """Take a rule back. One in force widens rights by its end, so somebody other than its author ends it."""
    in_force = AliasRule.objects.filter(pk=rule.pk, in_force_at__isnull=False).exists()
    by = permissions.require(actor, "alias_rule.approve" if in_force else "alias_rule.author", rule.team_id)
    with unit(actor, role=by) as opened:
        row = AliasRule.objects.select_for_update(no_key=True).get(pk=rule.pk)
        if row.ended_at is not None:
            raise Conflict("The rule was ended already.")
        if row.in_force_at is not None and is_own(actor.actor_id, row.author_id):
            raise Forbidden("You wrote this rule; somebody else has to end it.", code="own-alias-rule")
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        emit("alias_rule.ended", row, team=row.team_id)
        return row
