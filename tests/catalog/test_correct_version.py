"""What was registered wrongly is said anew: the gate judges with it, the old words stay, and what is live gets a finding."""

from __future__ import annotations

import pytest

from registry.access.models import Role
from registry.access.services import grant_membership
from registry.catalog import affected, queries, services_corrections
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import Correction, ModelVersion
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller
from registry.provenance.licences import TERMS
from registry.provenance.services_licences import approve_ruling
from tests.provenance.test_author_ruling import author, own_licence
from tests.world import World


def correct(
    world: World,
    version: ModelVersion,
    licence: str | None = None,
    training_data: str | None = None,
    actor: Caller | None = None,
) -> Correction:
    return services_corrections.correct_version(
        actor=actor or world.cast.carla, version=version, licence=world.licence(licence) if licence else None,
        training_data=training_data, reason="The card of the base model says so.",
    )  # fmt: skip


def test_a_corrected_licence_decides_the_terms_of_the_version_and_of_its_descendants(world: World) -> None:
    base = world.version(world.model("base"), licence="Apache-2.0")
    child = world.derived_version(base, model=world.model("child"))
    correct(world, base, "CC-BY-NC-4.0")
    for version in (base, child):
        assert queries.effective_terms(version).answers["commercial_use"] == "forbidden"
    (proof,) = queries.effective_terms(child).because("commercial_use")
    assert (proof.source, proof.licence) == ("search/base@1", "CC-BY-NC-4.0")
    assert ModelVersion.objects.get(pk=base.pk).licence.expression == "Apache-2.0"
    nodes = {node.label: node.licence for node in queries.lineage(world.cast.ada, child).nodes}
    assert nodes["search/base@1"] == "CC-BY-NC-4.0"


def test_the_newest_correction_counts_and_keeps_what_an_earlier_one_said_of_the_rest(world: World) -> None:
    version = world.version(training_data="complete")
    correct(world, version, "MIT")
    correct(world, version, training_data="incomplete")
    known = queries.stated([version.pk])[version.pk]
    assert (known.licence_id, known.training_data, known.correction) == (world.licence("MIT").pk, "incomplete", 2)
    assert Correction.objects.get(version=version, number=2).licence_id == world.licence("MIT").pk
    assert any("incomplete" in note for note in queries.effective_terms(version).notes)


def test_what_a_run_makes_inherits_what_is_stated_and_not_what_was_registered(world: World) -> None:
    base = world.version(licence="Apache-2.0", training_data="complete")
    correct(world, base, "CC-BY-SA-4.0", "unknown")
    child = world.derived_version(base)
    assert (child.licence.expression, child.training_data) == ("CC-BY-SA-4.0", "unknown")


def test_a_correction_needs_something_to_correct_a_reason_and_the_role(world: World) -> None:
    version = world.version(licence="MIT")
    with pytest.raises(Invalid):
        correct(world, version)
    with pytest.raises(Conflict):
        correct(world, version, "MIT", "complete")
    with pytest.raises(Invalid):
        correct(world, version, training_data="perhaps")
    with pytest.raises(Forbidden):
        correct(world, version, "Apache-2.0", actor=world.cast.otto)
    assert not Correction.objects.exists()


def test_an_engineer_states_a_stricter_licence_and_it_counts_at_once(world: World) -> None:
    version = world.version(licence="Apache-2.0")
    correct(world, version, "CC-BY-NC-4.0", actor=world.cast.ada)
    assert queries.effective_terms(version).answers["commercial_use"] == "forbidden"


def test_a_milder_licence_is_for_an_officer_who_did_not_state_what_stands(world: World) -> None:
    version = world.version(licence="CC-BY-NC-4.0")
    another = world.person("olga", Role.COMPLIANCE_OFFICER)
    with pytest.raises(Forbidden, match=r"commercial use.*for a compliance officer") as refused:
        correct(world, version, "Apache-2.0", actor=world.cast.ada)
    assert refused.value.code == "milder-licence"
    # stricter in one term, milder in another: the one is not weighed against the other
    with pytest.raises(Forbidden, match="milder"):
        correct(world, version, "GPL-3.0-only", actor=world.cast.ada)
    correct(world, version, "Apache-2.0")
    assert queries.effective_terms(version).answers["commercial_use"] == "allowed"
    correct(world, version, "CC-BY-NC-4.0")
    with pytest.raises(Forbidden, match="You stated what stands") as own:
        correct(world, version, "Apache-2.0")
    assert own.value.code == "milder-licence-own"
    correct(world, version, "Apache-2.0", actor=Caller(actor_id=another.pk, via="cli"))
    assert Correction.objects.filter(version=version).count() == 3


def test_who_registered_it_frees_it_neither_as_officer(world: World) -> None:
    both = world.person("olga", Role.ENGINEER)
    grant_membership(actor=world.cast.root, person=both, role=Role.COMPLIANCE_OFFICER, team=world.team)
    caller = Caller(actor_id=both.pk, via="cli")
    version = world.version(licence="CC-BY-NC-4.0", actor=caller)
    with pytest.raises(Forbidden, match="You stated what stands"):
        correct(world, version, "MIT", actor=caller)


def test_a_ruling_decides_what_is_milder(world: World) -> None:
    """The pack does not know the text: unknown is no stricter than what the ruling found, only by the ruling."""
    licence = own_licence(world)
    version = world.version(licence=licence.expression)
    with pytest.raises(Forbidden, match="milder"):
        correct(world, version, "CC-BY-NC-4.0", actor=world.cast.ada)
    free = {term: {"answer": "allowed", "sentence": "The text sets no condition here."} for term in TERMS}
    approve_ruling(actor=world.cast.root, ruling=author(world, licence, free))
    correct(world, version, "CC-BY-NC-4.0", actor=world.cast.ada)


def test_who_is_affected_is_known_before_and_names_only_the_readers_teams(world: World) -> None:
    base = world.version(world.model("base"), licence="Apache-2.0")
    child = world.derived_version(base, model=world.model("child"))
    world.version(world.model("apart"), seed=9)
    found = affected.affected_by_correction(base, world.licence("CC-BY-NC-4.0"))
    assert [(item.version.pk, item.distance) for item in found] == [(base.pk, 0), (child.pk, 1)]
    assert ("commercial_use", "allowed", "forbidden") in [(c.term, c.before, c.after) for c in found[1].changes]
    seen, unseen = affected.reach_for(world.cast.ada, found), affected.reach_for(world.cast.eve, found)
    assert (seen.versions, seen.teams, seen.whole) == (2, 1, False)
    assert (unseen.versions, unseen.teams, unseen.terms) == (0, 0, {})
    assert affected.reach_for(world.cast.root, found).whole
    assert seen.terms["commercial_use"] == 2


def test_what_was_made_with_data_is_affected_by_it(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    fed = world.version(edges=[EdgeSpec("data", dataset_version=data)])
    assert [item.version.pk for item in affected.affected_by_data(data)] == [fed.pk]


def test_history_says_what_was_stated_then(world: World) -> None:
    from audit.history.moments import resolve as now
    from audit.history.past_state import ModelThen

    version = world.version(licence="Apache-2.0")
    before = now()
    correct(world, version, "CC-BY-NC-4.0", "unknown")
    told = [ModelThen(version.model_id, moment).versions[0] for moment in (before, now())]
    assert [(then.licence, then.training_data) for then in told] == [
        ("Apache-2.0", "complete"),
        ("CC-BY-NC-4.0", "unknown"),
    ]
