"""What the database holds about moves by itself: forged grants, moves dated back and old approvals move no alias."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from registry.catalog.services_corrections import correct_version
from registry.errors import Blocked
from registry.events import Caller
from registry.release import queries, services
from registry.release import status as rules
from registry.release.models import AliasAssignment, Approval, Decision
from tests.release.attacks import copied, raw
from tests.world import World

pytestmark = pytest.mark.db_guarantee
REFUSED = "granted approval of exactly these bytes"


def refused(row: AliasAssignment) -> None:
    with pytest.raises(IntegrityError, match=REFUSED), transaction.atomic():
        row.save(force_insert=True)


def move_by(world: World, approval: Approval, **changes: Any) -> AliasAssignment:
    """The next move of staging, as a shell would write it."""
    last = AliasAssignment.objects.filter(alias__slug="staging").order_by("-number").first()
    assert last is not None
    fields = {"number": last.number + 1, "approval_id": approval.pk, "assigned_at": timezone.now()}
    move: AliasAssignment = copied(last, **{**fields, **changes})
    return move


def twice_granted(world: World) -> Approval:
    """The approval by omar and olga by which staging serves."""
    world.needing(2)
    version = world.parent_version()
    approval = world.approval(version, "staging")
    for who in (world.cast.omar, world.second_approver()):
        services.grant_approval(actor=who, approval=approval, reason="Fine.")
    services.promote(actor=world.cast.otto, model=version.model, alias="staging", approval=approval)
    return approval


def forged(*rows: Decision) -> None:
    """Grants written where the guards of decisions are gone."""
    on = ' ON "release_decision"' if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for guard in ("grant", "role"):
            cursor.execute(f'DROP TRIGGER "pressmark_guard_release_decision_{guard}"{on}')
    Decision.objects.bulk_create(rows)


def test_grants_that_share_a_person_move_nothing_even_where_their_own_guards_are_gone(world: World) -> None:
    served = twice_granted(world)
    approval = copied(served)
    approval.save()
    world.deputy("dora")
    olga, omar, dora = (world.cast.people[name] for name in ("olga", "omar", "dora"))
    forged(raw(approval, dora, on_behalf_of=omar), raw(approval, olga, on_behalf_of=dora))
    row = queries.approvals_of(served.version).get(pk=approval.pk)
    request, acts = queries.request_of(row)
    assert (len(acts), len(rules.counted(request, acts))) == (2, 1)
    refused(move_by(world, approval))
    move_by(world, served).save(force_insert=True)


def test_a_move_is_not_dated_back_into_the_time_of_an_approval_or_of_a_grant_that_has_ended(world: World) -> None:
    served = twice_granted(world)
    before = timezone.now()
    soon = before + datetime.timedelta(seconds=2)
    short = copied(served, expires_at=soon)
    short.save()
    limited = copied(served)
    limited.save()
    for approval, end in ((short, None), (limited, soon)):
        for who in ("omar", "olga"):
            actor = Caller(actor_id=world.cast.people[who].pk, via="cli")
            services.grant_approval(actor=actor, approval=approval, reason="Fine.", expires_at=end)
    time.sleep(
        max(0.0, (soon - timezone.now()).total_seconds()) + 1.1
    )  # the database of everyday tests counts whole seconds
    for approval in (short, limited):
        refused(move_by(world, approval, assigned_at=before))
    move_by(world, served, assigned_at=before).save(force_insert=True)


def test_what_was_corrected_after_the_grant_is_moved_to_by_no_raw_row(world: World) -> None:
    served = twice_granted(world)
    mit = world.licence("MIT")
    correct_version(actor=world.cast.carla, version=served.version, licence=mit, reason="It is under MIT.")
    refused(move_by(world, served))


def test_the_way_back_needs_the_officers_that_todays_policy_asks_for(world: World) -> None:
    parent, _ = world.released_pair()
    world.policy(change=lambda d: d.update(approvals_required=1, officers_required=1))
    with pytest.raises(Blocked, match="asks for 1 grants by a compliance officer"):
        services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="It answers worse.")
