"""The strictest policy that ships can be satisfied: a parent and its child go through it, mending what each rule finds missing."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.catalog.services_targets import record_target_measurement
from registry.errors import Blocked, Problem
from registry.oversight import services_proofs, tiers
from registry.oversight.models import UseCase
from registry.oversight.services_tiers import answer_tier_table
from registry.oversight.subjects import of_dataset_version, of_model, of_version
from registry.provenance import services_documents
from registry.provenance.models import DatasetVersion
from registry.release import queries, services
from registry.release.services.gate import evaluate
from tests.catalog.target_documents import measurement
from tests.oversight.test_answer_tier_table import in_force
from tests.release.test_gathered_facts import a_profile
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.release import distribution, to_figures


def blocking(version: ModelVersion) -> set[str]:
    return {result.rule.id for result in evaluate(version, "production", timezone.now()).result.blocked}


def vouch(world: World, subject: Any, kind: str) -> None:
    services_proofs.sign_review(
        actor=world.cast.omar, subject=subject, kind=kind, accepted=True, statement="Read a hundred of them."
    )


def document(world: World, subject: Any, kind: str) -> None:
    digest = world.upload(f"What counsel says: {kind}.".encode(), actor=world.cast.carla).digest
    services_documents.attach_document(actor=world.cast.carla, subject=subject, kind=kind, digest=digest)


def measured(world: World, version: ModelVersion, rows: DatasetVersion) -> None:
    """What an evaluation and the serving host measured of it."""
    world.evidence(version, "quality", [figure("accuracy", "0.93", n=833)], dataset_version=rows)
    record_target_measurement(actor=world.cast.otto, version=version, document=measurement(version))


def released(world: World, version: ModelVersion) -> None:
    """Asked for by ada, granted by an approver and by a compliance officer, promoted by otto."""
    approval = world.approval(version)
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Figures read.")
    with pytest.raises(Problem):
        services.promote(actor=world.cast.otto, model=version.model, alias="production", approval=approval)
    services.grant_approval(actor=world.cast.carla, approval=approval, reason="Terms in order.")
    approval = queries.approvals_of(version).get(pk=approval.pk)
    assert queries.approval_status(approval) == "granted"
    services.promote(actor=world.cast.otto, model=version.model, alias="production", approval=approval)


def test_a_parent_and_its_child_pass_the_highest_tier_once_all_that_it_asks_for_is_there(world: World) -> None:
    world.policy("high")
    model = world.model(use_case=world.use_case("triage", "high"))
    learned = world.dataset_version([{"text": f"learned {n}"} for n in range(5)], uses=["training"], licence="MIT")
    tested = world.dataset_version([{"text": f"tested {n}"} for n in range(5)], uses=["evaluation"], licence="MIT")
    parent = world.version(model, licence="MIT", edges=[EdgeSpec("data", (), dataset_version=learned)])
    steps: list[tuple[str, Any]] = [
        ("use-case", lambda: (in_force(world), answer(world, "triage"))),
        ("vetted", lambda: vouch(world, of_dataset_version(learned), "vetting")),
        ("looked-at", lambda: vouch(world, of_version(parent), "quality")),
        ("legal-opinion", lambda: document(world, of_model(model), "legal-opinion")),
        ("privacy-assessment", lambda: document(world, of_model(model), "privacy-assessment")),
        ("behaviour-recorded", lambda: world.evidence(parent, "distribution", to_figures(distribution()))),
        ("complete-rows", lambda: a_profile(world, learned, {"missing_share": "0"}, {})),
        ("measured-on-target", lambda: measured(world, parent, tested)),
        ("not-contaminated",
         lambda: a_profile(world, tested, {"duplicate_rows_share": "0"}, {str(learned.bound_digest): 0})),
    ]  # fmt: skip
    with pytest.raises(Blocked):
        world.approval(parent)
    for rule, mend in steps:
        assert rule in blocking(parent)
        mend()
        assert rule not in blocking(parent)
    assert blocking(parent) == set()
    released(world, parent)

    child = world.child_version(parent)
    assert blocking(child) == {"looked-at", "measured-on-target", "not-contaminated", "rows-that-differ"}
    measured(world, child, tested)
    vouch(world, of_version(child), "quality")
    assert blocking(child) == {"not-contaminated"}  # its fidelity names no rows
    close = [figure(f"cosine_{name}", "0.999", n=320, low="0.998", high="1") for name in ("mean", "min")]
    world.evidence(child, "fidelity", close, parent=parent, dataset_version=tested)
    assert blocking(child) == set()
    released(world, child)
    services.roll_back(actor=world.cast.otto, model=model, alias="production", reason="Odd answers.")
    assert queries.served(model, "production") == parent


def answer(world: World, slug: str) -> UseCase:
    use_case = UseCase.objects.get(slug=slug)
    return answer_tier_table(
        actor=world.cast.ada, use_case=use_case, answers=world.answers_for("high"), reason="So it is."
    )


def test_a_new_tier_table_asks_for_new_answers_before_a_release_but_not_on_the_way_back(world: World) -> None:
    world.policy("high")
    model = world.model(use_case=world.use_case("triage", "high"))
    version = world.version(model)
    in_force(world)
    answer(world, "triage")
    assert "use-case" not in blocking(version)
    in_force(world, tiers.ready_made() | {"title": "Another title"})
    assert "use-case" in blocking(version)
    back = evaluate(version, "production", timezone.now(), going_back=True).result
    assert "use-case" not in {result.rule.id for result in back.blocked}
