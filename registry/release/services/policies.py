"""Policies come into force by approval of somebody other than their author, and stay on record when they are superseded."""

from __future__ import annotations

from typing import Any

from registry import storage
from registry.access import permissions
from registry.access.queries_responsibility import is_own
from registry.access.services import check_all_shows, check_slug
from registry.digests import canonical
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, emit, unit
from registry.oversight.same_rules import find_same
from registry.release import queries
from registry.release.models import Policy
from registry.release.policy_language import PolicyError, PolicyRules, parse


def author_policy(*, actor: Caller, slug: str, document: dict[str, Any]) -> Policy:
    """The next policy under a name. It judges nothing until somebody else approves it."""
    role = permissions.require(actor, "policy.author", None)
    check_slug(slug, "policy")
    try:
        parse(document)
    except PolicyError as error:
        raise Invalid(
            f"The policy cannot be evaluated: {error}.",
            hint="Compare it with one that ships (GET policies/ready-made) or with the schema pressmark/policy/1.",
            code="policy",
        ) from None
    check_all_shows(document)
    stored = storage.store_bytes(canonical(document))
    with unit(actor, role=role) as opened:
        rows = list(Policy.objects.filter(slug=slug).order_by("-number"))
        newest = rows[0] if rows else None
        _refuse_same(rows, stored.digest)
        policy = Policy.objects.create(
            slug=slug, number=newest.number + 1 if newest else 1, digest=stored.digest, size_bytes=stored.size_bytes,
            author_id=actor.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("policy.authored", policy, team=None, refs=[Ref("policy", stored.digest, stored.size_bytes)])
        return policy


def approve_policy(*, actor: Caller, policy: Policy) -> Policy:
    """Put a policy in force; the one before it under the same name is superseded in the same unit."""
    role = permissions.require(actor, "policy.approve", None)
    with unit(actor, role=role) as opened:
        # all rows of the table: two policies for the same tier must not come into force side by side. They are read again once
        # the lock is ours: one that was written and approved while we waited for it does not stand in the first answer
        every = Policy.objects.select_for_update(no_key=True).order_by("pk")
        list(every.values_list("pk"))
        rows = {row.pk: row for row in every.all()}
        row = rows[policy.pk]
        if is_own(actor.actor_id, row.author_id):
            raise Forbidden(
                "You wrote this policy; somebody else has to approve it.",
                hint="Ask a compliance officer, approver or administrator of the instance.",
                code="own-policy",
            )
        if row.in_force_at is not None:
            raise Conflict(f"{row} was approved already.")
        in_force = [other for other in rows.values() if other.in_force_at is not None and other.ended_at is None]
        _refuse_overlap(row, in_force)
        predecessor = next((other for other in in_force if other.slug == row.slug), None)
        if predecessor is not None:
            if predecessor.number > row.number:
                raise Conflict(
                    f"{predecessor} is newer and in force.", hint="Author the content again as a new number."
                )
            predecessor.ended_at = opened.now
            predecessor.save(update_fields=["ended_at"])
            emit("policy.superseded", predecessor, team=None)
        row.approved_by_id, row.in_force_at = actor.actor_id, opened.now
        row.save(update_fields=["approved_by", "in_force_at"])
        emit("policy.approved", row, team=None, refs=[Ref("policy", row.digest, row.size_bytes)])
        return row


def _refuse_same(rows: list[Policy], digest: str) -> None:
    found = find_same(rows, digest)
    if found is None:
        return
    row, judges = found
    if judges:
        raise Conflict(f"{row} has exactly this content and is in force.", hint="Change something, or leave it so.")
    raise Conflict(
        f"{row} has exactly this content and waits.",
        hint=f"Somebody other than its author approves it: `pressmark approve-policy {row}`.",
    )


def end_policy(*, actor: Caller, policy: Policy) -> Policy:
    """Take a policy out of force. Releases of its tiers are blocked until another one, or the same one anew, is approved."""
    role = permissions.require(actor, "policy.approve", None)
    with unit(actor, role=role) as opened:
        row = Policy.objects.select_for_update(no_key=True).get(pk=policy.pk)
        if is_own(actor.actor_id, row.author_id):
            raise Forbidden("You wrote this policy; somebody else has to end it.", code="own-policy")
        if row.in_force_at is None or row.ended_at is not None:
            raise Conflict(f"{row} is not in force.")
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        emit("policy.ended", row, team=None)
        return row


def _refuse_overlap(policy: Policy, in_force: list[Policy]) -> None:
    mine = queries.policy_rules(policy)
    for other in in_force:
        shared = mine.overlaps(queries.policy_rules(other)) if other.slug != policy.slug else set()
        if shared:
            raise Conflict(
                f"{other} judges releases of tier {', '.join(sorted(shared))}{_to(mine, queries.policy_rules(other))} already; "
                "two policies at once would contradict.",
                hint=f"Author this one as the next number of '{other.slug}', end {other} first, or let each name the aliases that "
                "it alone judges.",
                code="policy-overlap",
            )


def _to(mine: PolicyRules, other: PolicyRules) -> str:
    """To which aliases both judge, in words."""
    if not mine.aliases and not other.aliases:
        return ""
    shared = (
        set(mine.aliases) & set(other.aliases) if mine.aliases and other.aliases else {*mine.aliases, *other.aliases}
    )
    return f" to {', '.join(sorted(shared))}"
