"""Reads of tier tables: which one is in force, what it asks, and what the answers of a use case say today."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import Q
from django.utils import timezone

from registry import storage
from registry.digests import parse_canonical
from registry.errors import NotFound
from registry.oversight import tiers
from registry.oversight.models import TierTable, UseCase


def tier_table_in_force(at: datetime.datetime | None = None) -> TierTable | None:
    """The table by which tiers are found at a moment (now)."""
    moment = at or timezone.now()
    rows = TierTable.objects.filter(Q(ended_at=None) | Q(ended_at__gt=moment), in_force_at__lte=moment)
    return rows.order_by("-number").first()


def get_tier_table(number: int) -> TierTable:
    """A table by number. Tables belong to the instance and are open to everybody in it."""
    row = TierTable.objects.filter(number=number).first()
    if row is None:
        raise NotFound(f"There is no tier table {number}.")
    return row


def questionnaire(table: TierTable) -> tiers.Questionnaire:
    """What a table asks, read from its document."""
    return _parsed(table.digest)


@lru_cache(maxsize=16)
def _parsed(digest: str) -> tiers.Questionnaire:
    return tiers.parse(parse_canonical(storage.read_bytes(digest)))


@dataclass(frozen=True)
class Standing:
    """How the tier of a use case came about: `result` by its answers (None without any), and whether they are up to date."""

    table: TierTable | None
    result: tiers.TierResult | None
    in_force: bool
    """Whether the answers were given to the table that is in force."""
    follows: bool
    """Whether the tier asks for at least as much care as the answers do."""


def standing(use_case: UseCase) -> Standing:
    """What the answers of a use case say, beside the tier that it has."""
    if use_case.tier_table is None or use_case.answers is None:
        return Standing(None, None, False, False)
    table = use_case.tier_table
    result = tiers.judge(questionnaire(table), use_case.answers)
    in_force = table.in_force_at is not None and table.ended_at is None
    follows = tiers.ORDER.index(use_case.tier) >= tiers.ORDER.index(result.tier)
    return Standing(table, result, in_force, follows)
