"""Tier tables come into force by approval of somebody other than their author; a use case gets its tier by answering one.

Rules:
- one table is in force at a time for the whole instance; approving the next one supersedes it in the same unit;
- a use case keeps answers and the table that they were given to; a new table changes no tier by itself, it asks to answer again;
- whoever may register a use case may answer so that more care follows; where less follows, a compliance officer answers;
- a tier by hand beside the answers is higher than what they give;
- approvals given under another tier are stale from then on.
Keyword-only, the actor first; every act is emitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry import storage
from registry.access import permissions
from registry.access.queries_responsibility import is_own
from registry.access.services import check_all_shows, new_text
from registry.digests import canonical
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, emit, unit
from registry.oversight import queries_tiers as queries
from registry.oversight import tiers
from registry.oversight.models import TierTable, UseCase
from registry.oversight.same_rules import find_same


def author_tier_table(*, actor: Caller, document: Mapping[str, Any]) -> TierTable:
    """The next questionnaire. It gives no tier until somebody else approves it."""
    role = permissions.require(actor, "tier_table.author", None)
    try:
        tiers.parse(document)
    except tiers.TierTableError as error:
        raise Invalid(
            f"The tier table cannot be used: {error}.",
            hint="Compare it with the one that ships (GET tier-tables/ready-made) or with the schema pressmark/tier_table/1.",
            code="tier-table",
        ) from None
    check_all_shows(document)
    stored = storage.store_bytes(canonical(document))
    with unit(actor, role=role) as opened:
        rows = list(TierTable.objects.order_by("-number"))
        newest = rows[0] if rows else None
        _refuse_same(rows, stored.digest)
        row = TierTable.objects.create(
            number=newest.number + 1 if newest else 1, digest=stored.digest, size_bytes=stored.size_bytes,
            author_id=actor.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("tier_table.authored", row, team=None, refs=[Ref("tier_table", stored.digest, stored.size_bytes)])
        return row


def _refuse_same(rows: Sequence[TierTable], digest: str) -> None:
    found = find_same(rows, digest)
    if found is None:
        return
    row, judges = found
    if judges:
        raise Conflict(f"The {row} has exactly this content and is in force.", hint="Change something.")
    raise Conflict(
        f"The {row} has exactly this content and waits.",
        hint=f"Somebody other than its author approves it: `pressmark approve-tier-table {row.number}`.",
    )


def approve_tier_table(*, actor: Caller, table: TierTable) -> TierTable:
    """Put a table of somebody else in force; the one before it is superseded in the same unit."""
    role = permissions.require(actor, "tier_table.approve", None)
    with unit(actor, role=role) as opened:
        # read again once the lock is ours: one that was written and approved meanwhile does not stand in the first answer
        every = TierTable.objects.select_for_update(no_key=True).order_by("pk")
        list(every.values_list("pk"))
        rows = {row.pk: row for row in every.all()}
        row = rows[table.pk]
        if is_own(actor.actor_id, row.author_id):
            raise Forbidden(
                "You wrote this tier table; somebody else has to approve it.",
                hint="Ask a compliance officer, approver or administrator of the instance.",
                code="own-tier-table",
            )
        if row.in_force_at is not None:
            raise Conflict(f"The {row} was approved already.")
        for other in rows.values():
            if other.in_force_at is None or other.ended_at is not None:
                continue
            if other.number > row.number:
                raise Conflict(f"The {other} is newer and in force.", hint="Author the content again as a new number.")
            other.ended_at = opened.now
            other.save(update_fields=["ended_at"])
            emit("tier_table.superseded", other, team=None)
        row.approved_by_id, row.in_force_at = actor.actor_id, opened.now
        row.save(update_fields=["approved_by", "in_force_at"])
        emit("tier_table.approved", row, team=None, refs=[Ref("tier_table", row.digest, row.size_bytes)])
        return row


def answer_tier_table(
    *, actor: Caller, use_case: UseCase, answers: Sequence[Mapping[str, str]], reason: str, tier: str = ""
) -> UseCase:
    """Answer the questions of the table in force; the use case has the tier that follows, or the higher `tier` by hand."""
    role = permissions.require(actor, "use_case.register", use_case.team_id)
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say in a sentence on what the answers rest.")
    with unit(actor, role=role) as opened:
        row = UseCase.objects.select_for_update(no_key=True).get(pk=use_case.pk)
        if row.ended_at is not None:
            raise Conflict("This use case has ended.")
        table = queries.tier_table_in_force()
        if table is None:
            raise Conflict(
                "No tier table is in force.", hint="Two people author and approve one; a ready-made one ships."
            )
        by_answers = tier_by_answers(table, answers)
        found = not_below(tier, by_answers) if tier else by_answers
        if tiers.ORDER.index(found) < tiers.ORDER.index(row.tier):
            opened.role = permissions.require(actor, "use_case.lower_tier", row.team_id)
        before = (row.tier, row.tier_table_id, row.answers)
        row.tier, row.tier_table, row.answers = found, table, kept_answers(answers)
        if before == (row.tier, table.pk, row.answers):
            raise Conflict("The use case has these answers already.")
        row.save(update_fields=["tier", "tier_table", "answers"])
        text = new_text(stream=f"use_case:{row.pk}", purpose="reason", value=reason, now=opened.now)
        refs = [Ref("tier_table", table.digest, table.size_bytes)]
        if before[0] == row.tier:
            emit("use_case.assessed", row, text, team=row.team_id, refs=refs)
        else:
            emit("use_case.tier_changed", row, text, team=row.team_id, refs=refs)
        return row


def kept_answers(answers: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Answers as they are sealed: by question."""
    kept = [{"answer": a["answer"], "question": a["question"]} for a in answers]
    return sorted(kept, key=lambda a: a["question"])


def not_below(tier: str, by_answers: str) -> str:
    """The tier that somebody set by hand, unless it asks for less than the answers."""
    if tier not in tiers.ORDER:
        raise Invalid(f"There is no tier {tier[:40]!r}.", hint=f"Tiers are: {', '.join(tiers.ORDER)}.")
    if tiers.ORDER.index(tier) < tiers.ORDER.index(by_answers):
        raise Invalid(
            f"The answers give the tier {by_answers}; a tier by hand may only be higher than that.",
            hint="Leave the tier out, or answer the questions again if an answer is wrong.",
            code="tier-below-answers",
        )
    return tier


def tier_by_answers(table: TierTable, answers: Sequence[Mapping[str, str]]) -> str:
    """The tier that follows from answers to a table; Invalid says which is missing or unknown."""
    try:
        return tiers.judge(queries.questionnaire(table), answers).tier
    except tiers.TierTableError as error:
        raise Invalid(
            f"No tier follows from these answers: {error}.",
            hint=f"Every question: `pressmark answer-tier-table TEAM/USE_CASE`, or GET tier-tables/{table.number}.",
            code="answers",
        ) from None
