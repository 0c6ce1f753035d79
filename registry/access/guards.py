"""What the database itself holds about service accounts and their tokens, and who stands behind them (raw SQL and shell included).

Rules:
- only a person with an account in force answers for an account, and only for a service account;
- a service account for which nobody answers gets neither role nor token;
- a person's token is issued by that person alone.
"""

# ruff: noqa: S608  statements are built from our own tables, never from input

from __future__ import annotations

from registry.guards import Condition


def hands(actor: str) -> str:
    """SQL of the accounts whose acts are somebody's own work, as `queries_responsibility.hands_of` has them."""
    return (
        f"(SELECT {actor} UNION ALL SELECT hr.account_id FROM access_responsibility hr WHERE hr.person_id = {actor} "
        f"UNION ALL SELECT ht.actor_id FROM access_token ht WHERE ht.issued_by_id = {actor})"
    )


_UNANSWERED = (
    "EXISTS (SELECT 1 FROM access_actor p WHERE p.id = NEW.actor_id AND p.kind = 'service') AND NOT EXISTS "
    "(SELECT 1 FROM access_responsibility y WHERE y.account_id = NEW.actor_id)"
)

CONDITIONS = [
    Condition(
        "access_responsibility_person",
        "access_responsibility",
        "NOT EXISTS (SELECT 1 FROM access_actor p WHERE p.id = NEW.person_id AND p.kind = 'person' AND p.ended_at IS NULL) "
        "OR NOT EXISTS (SELECT 1 FROM access_actor s WHERE s.id = NEW.account_id AND s.kind = 'service')",
        "a person with an account in force answers for a service account",
    ),
    Condition(
        "access_membership_answered",
        "access_membership",
        _UNANSWERED,
        "a service account has a role only while a person answers for it",
    ),
    Condition(
        "access_token_answered",
        "access_token",
        f"({_UNANSWERED}) OR (NEW.issued_by_id <> NEW.actor_id AND EXISTS "
        "(SELECT 1 FROM access_actor p WHERE p.id = NEW.actor_id AND p.kind <> 'service'))",
        "a token is of the person who issued it, or of a service account for which a person answers",
    ),
]
