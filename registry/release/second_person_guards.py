"""What needs a second person needs one in the database too, whatever door is tried (raw SQL and shell included).

Rules:
- a policy, tier table, ruling on a licence or rule of an alias is in force, and a purge is confirmed, only with the name of who
  approved it beside it: a person with an account in force, who holds a role for that act at that moment, where the act counts;
- who that is did not write or ask for it, and stands behind no service account that did (that they are two rows of people, a
  constraint of each table says as well);
- a purge is not confirmed while a legal hold stands on the record or on the model or dataset that it belongs to, and nothing is
  recorded as purged without a confirmed purge.
What was in force stays on record when its approver leaves: only the step from not in force to in force is looked at.
"""

# ruff: noqa: S608  statements are built from our own tables, never from input

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from registry.access.guards import hands
from registry.access.permissions import PERMISSIONS
from registry.guards import Condition


@dataclass(frozen=True)
class _Step:
    """A row of `table`, written by whom `first` names, counts once `at` is set, by whom `by` names, under a role for `action`."""

    table: str
    first: str
    at: str
    by: str
    action: str
    team: str = ""
    """SQL of the team whose role is enough; a role for the whole instance always is."""


_STEPS = (
    _Step("release_policy", "author_id", "in_force_at", "approved_by_id", "policy.approve"),
    _Step("oversight_tier_table", "author_id", "in_force_at", "approved_by_id", "tier_table.approve"),
    _Step("provenance_ruling", "authored_by_id", "in_force_at", "approved_by_id", "ruling.approve"),
    _Step("release_alias_rule", "author_id", "in_force_at", "approved_by_id", "alias_rule.approve", "NEW.team_id"),
    _Step(
        "release_purge",
        "requested_by_id",
        "confirmed_at",
        "confirmed_by_id",
        "purge.confirm",
        "(SELECT COALESCE("
        "(SELECT c.team_id FROM catalog_version v JOIN catalog_model c ON c.id = v.model_id WHERE v.id = NEW.about), "
        "(SELECT s.team_id FROM provenance_dataset_version w JOIN provenance_dataset s ON s.id = w.dataset_id "
        "WHERE w.id = NEW.about)))",
    ),
)


_HELD = (
    "EXISTS (SELECT 1 FROM oversight_hold h WHERE h.ended_at IS NULL AND (h.about = NEW.about "
    "OR h.about IN (SELECT v.model_id FROM catalog_version v WHERE v.id = NEW.about) "
    "OR h.about IN (SELECT w.dataset_id FROM provenance_dataset_version w WHERE w.id = NEW.about)))"
)
_PURGE = "(SELECT 1 FROM release_purge g WHERE g.about = NEW.id AND g.confirmed_at IS NOT NULL)"


def _conditions() -> Iterator[Condition]:
    for step in _STEPS:
        told = "what needs a second person counts once a person with a role for it approved it"
        unheld = f"NEW.{step.at} IS NOT NULL AND NOT {_held(step)}"
        yield Condition(f"{step.table}_second", step.table, unheld, told)
        yield Condition(
            f"{step.table}_second_later", step.table, f"OLD.{step.at} IS NULL AND {unheld}", told, on="UPDATE"
        )
        own = f"NEW.{step.at} IS NOT NULL AND NEW.{step.first} IN {hands(f'NEW.{step.by}')}"
        told = "who stands behind the service account that began it is no second person"
        yield Condition(f"{step.table}_own", step.table, own, told)
        yield Condition(f"{step.table}_own_later", step.table, f"OLD.{step.at} IS NULL AND {own}", told, on="UPDATE")
    confirmed = "OLD.confirmed_at IS NULL AND NEW.confirmed_at IS NOT NULL"
    yield Condition(
        "release_purge_held",
        "release_purge",
        f"{confirmed} AND {_HELD}",
        "what a hold names is not purged",
        on="UPDATE",
    )
    for table in ("catalog_version", "provenance_dataset_version"):
        gone = "OLD.purged_at IS NULL AND NEW.purged_at IS NOT NULL"
        told = "nothing is purged without two people"
        yield Condition(f"{table}_purged", table, f"{gone} AND NOT EXISTS {_PURGE}", told, on="UPDATE")


def _held(step: _Step) -> str:
    roles = ", ".join(f"'{role.value}'" for role in sorted(PERMISSIONS[step.action]))
    team = f" OR m.team_id = {step.team}" if step.team else ""
    return (
        "EXISTS (SELECT 1 FROM access_membership m JOIN access_actor p ON p.id = m.actor_id "
        f"WHERE m.actor_id = NEW.{step.by} AND m.role IN ({roles}) AND p.kind = 'person' AND p.ended_at IS NULL "
        f"AND m.ended_at IS NULL AND (m.team_id IS NULL{team}) "
        f"AND (m.expires_at IS NULL OR (m.expires_at > NEW.{step.at} AND m.expires_at > CURRENT_TIMESTAMP)))"
    )


CONDITIONS = list(_conditions())
