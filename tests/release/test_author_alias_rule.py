"""Rules of a team keep acts on an alias for some roles; they take rights away and never give any, and two people make one."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access.models import Team
from registry.errors import Conflict, Forbidden, Invalid
from registry.release.alias_rules import require_alias
from registry.release.services.alias_rules import approve_alias_rule, author_alias_rule, end_alias_rule
from registry.release.serving_models import AliasRule
from tests.world import Cast, World


def written(world: World, action: str = "promote", role: str = "approver", alias: str = "production") -> AliasRule:
    return author_alias_rule(actor=world.cast.carla, team=world.team, alias=alias, action=action, role=role)


def test_a_rule_narrows_one_act_on_one_alias_once_somebody_else_approved_it(world: World, cast: Cast) -> None:
    rule = written(world)
    assert require_alias(cast.otto, "promote", world.team.pk, "production") == "operator"
    approve_alias_rule(actor=cast.omar, rule=rule)
    with pytest.raises(Forbidden, match="'promote' of the alias 'production' is for approver only"):
        require_alias(cast.otto, "promote", world.team.pk, "production")
    assert require_alias(cast.omar, "promote", world.team.pk, "production") == "approver"
    assert require_alias(cast.otto, "promote", world.team.pk, "staging") == "operator"
    assert require_alias(cast.otto, "suspend", world.team.pk, "production") == "operator"


def test_several_rules_for_one_act_let_several_roles_do_it(world: World, cast: Cast) -> None:
    for role in ("approver", "operator"):
        approve_alias_rule(actor=cast.omar, rule=written(world, role=role))
    assert require_alias(cast.otto, "promote", world.team.pk, "production") == "operator"
    with pytest.raises(Forbidden, match="for approver or operator only"):
        require_alias(cast.ada, "promote", world.team.pk, "production")


def test_a_rule_never_gives_what_the_permission_table_refuses(world: World, cast: Cast) -> None:
    with pytest.raises(Invalid, match="may not do 'roll-back' anyhow"):
        written(world, "roll-back", "engineer")
    approve_alias_rule(actor=cast.omar, rule=written(world, "promote", "engineer"))
    with pytest.raises(Forbidden, match=r"alias\.promote"):
        require_alias(cast.carla, "promote", world.team.pk, "production")


def test_another_team_is_not_narrowed(world: World, cast: Cast, outsider_team: Team) -> None:
    approve_alias_rule(actor=cast.omar, rule=written(world))
    other = author_alias_rule(
        actor=cast.root, team=outsider_team, alias="production", action="promote", role="operator"
    )
    assert other.in_force_at is None
    with pytest.raises(Forbidden):
        require_alias(cast.otto, "promote", outsider_team.pk, "production")


def test_who_wrote_it_neither_approves_nor_ends_it(world: World, cast: Cast) -> None:
    rule = written(world)
    with pytest.raises(Forbidden, match="You wrote"):
        approve_alias_rule(actor=cast.carla, rule=rule)
    approve_alias_rule(actor=cast.omar, rule=rule)
    with pytest.raises(Forbidden, match="You wrote"):
        end_alias_rule(actor=cast.carla, rule=rule)
    end_alias_rule(actor=cast.omar, rule=rule)
    assert require_alias(cast.otto, "promote", world.team.pk, "production") == "operator"
    with pytest.raises(Conflict, match="ended already"):
        end_alias_rule(actor=cast.omar, rule=rule)
    with pytest.raises(Conflict, match="was ended already"):
        approve_alias_rule(actor=cast.omar, rule=rule)


def test_a_draft_is_taken_back_by_whoever_may_write_one(world: World, cast: Cast) -> None:
    rule = written(world)
    assert end_alias_rule(actor=cast.carla, rule=rule).ended_at is not None


@pytest.mark.db_guarantee
def test_the_database_refuses_a_rule_approved_by_its_author(world: World) -> None:
    rule = written(world)
    with pytest.raises(IntegrityError), transaction.atomic():
        AliasRule.objects.filter(pk=rule.pk).update(approved_by=rule.author_id, in_force_at=timezone.now())


def test_an_ended_rule_is_written_anew_and_one_that_stands_says_how_it_stands(world: World, cast: Cast) -> None:
    first = written(world)
    with pytest.raises(Conflict, match="it waits") as refused:
        written(world)
    assert str(first.pk) in (refused.value.hint or "")
    approve_alias_rule(actor=cast.root, rule=first)
    with pytest.raises(Conflict, match="is in force"):
        written(world)
    end_alias_rule(actor=cast.root, rule=first)
    assert written(world).pk != first.pk


def test_the_same_rule_twice_an_unknown_act_and_a_strangers_rule_are_refused(world: World, cast: Cast) -> None:
    written(world)
    with pytest.raises(Conflict, match="such a rule already"):
        written(world)
    with pytest.raises(Invalid, match="no act 'delete'"):
        written(world, "delete")
    for caller in (cast.ada, cast.eve):
        with pytest.raises(Forbidden):
            author_alias_rule(actor=caller, team=world.team, alias="staging", action="promote", role="approver")
