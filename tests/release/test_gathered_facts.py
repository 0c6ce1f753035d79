"""What a gate is told of findings, documents, reviews, profiles and recalls is what stands in the tables; no stranger is named."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry import storage
from registry.access import services as access
from registry.access.models import Role
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.catalog.services_corrections import correct_version
from registry.digests import canonical
from registry.oversight import services as oversight
from registry.oversight import services_proofs
from registry.oversight.subjects import of_dataset_version, of_version
from registry.provenance import services_documents
from registry.provenance.models import DataProfile, DatasetVersion, Upload
from registry.release import inputs, services
from registry.release.gate_facts import GateInputs, OverlapInput
from registry.release.stopping_models import Quarantine, Recall
from tests.world import World


def gathered(version: Any) -> GateInputs:
    return inputs.gather(version, timezone.now())


def trained(world: World, data: DatasetVersion) -> ModelVersion:
    """An uploaded version that was trained on the data."""
    return world.version(world.governed_model(), edges=[EdgeSpec("data", (), dataset_version=data)])


def a_profile(world: World, row: DatasetVersion, shares: dict[str, str], against: dict[str, int]) -> DataProfile:
    """A finished profile, as a worker leaves it."""
    figures = [{"metric": m, "slice": [], "value": v} for m, v in shares.items()]
    compared = [{"digest": d, "near_rows": 1, "same_rows": n} for d, n in against.items()]
    return a_document(world, row, {"against": compared, "data": {"rows": 50}, "figures": figures})


def a_document(world: World, row: DatasetVersion, document: Any) -> DataProfile:
    stored, now = storage.store_bytes(canonical(document)), timezone.now()
    return DataProfile.objects.create(
        dataset=row.dataset, dataset_version=row, settings={}, asked_by=world.cast.people["ada"], asked_at=now,
        finished_at=now, digest=stored.digest, size_bytes=stored.size_bytes, engine_version="1",
    )  # fmt: skip


def test_open_findings_of_the_model_are_told_until_they_are_closed(world: World) -> None:
    version = world.parent_version()
    row = oversight.open_finding(
        actor=world.cast.carla, stream=f"model:{version.model_id}", team_id=version.model.team_id, subject="recall",
        description="Low.", owner=world.cast.people["ada"], due_on=timezone.now().date(),
    )  # fmt: skip
    (found,) = gathered(version).findings
    assert (found.id, found.kind, found.subject, found.due_on) == (str(row.pk), "manual", "recall", row.due_on)
    oversight.close_finding(actor=world.cast.carla, finding=row, closure="Mended.")
    assert gathered(version).findings == []


def test_reviews_count_for_exactly_this_state_and_the_newest_of_a_kind_is_told(world: World) -> None:
    version = world.parent_version()
    for accepted in (True, False):
        services_proofs.sign_review(
            actor=world.cast.omar, subject=of_version(version), kind="privacy", accepted=accepted, statement="Read."
        )
    (found,) = gathered(version).reviews
    assert (found.kind, found.accepted) == ("privacy", False)
    assert gathered(world.parent_version(version.model, seed=7)).reviews == ()


def test_documents_of_version_and_dataset_are_told_apart(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    version = trained(world, data)
    services_proofs.sign_review(
        actor=world.cast.omar, subject=of_dataset_version(data), kind="vetting", accepted=True, statement="Read."
    )
    stored = storage.store_bytes(b"an opinion")
    Upload.objects.create(
        actor_id=world.cast.carla.actor_id,
        digest=stored.digest,
        size_bytes=stored.size_bytes,
        created_at=timezone.now(),
    )
    services_documents.attach_document(
        actor=world.cast.carla, subject=of_dataset_version(data), kind="legal-opinion", digest=stored.digest
    )
    found = gathered(version)
    assert found.documents == []
    (dataset,) = found.datasets
    assert [(d.kind, d.digest) for d in dataset.documents] == [("legal-opinion", stored.digest)]
    assert [(r.kind, r.accepted) for r in dataset.reviews] == [("vetting", True)]
    assert dataset.uses == ("training",)


def test_the_newest_profile_speaks_and_older_comparisons_stay(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    version = trained(world, data)
    first, second = f"sha256:{1:064x}", f"sha256:{2:064x}"
    a_profile(world, data, {"missing_share": "0.5"}, {first: 3, second: 4})
    newest = a_profile(world, data, {"missing_share": "0.1"}, {first: 9})
    profile = gathered(version).datasets[0].profile
    assert profile is not None
    assert (profile.digest, profile.rows, profile.figures["missing_share"]) == (newest.digest, 50, "0.1")
    assert {o.other_digest: (o.exact_rows, o.near_rows) for o in profile.overlaps} == {first: (9, 1), second: (4, 1)}


def test_where_the_newest_profile_is_lost_an_older_one_does_not_speak(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    version = trained(world, data)
    a_profile(world, data, {"missing_share": "0"}, {})
    newest = a_profile(world, data, {"missing_share": "0.9"}, {})
    assert gathered(version).datasets[0].profile is not None
    assert newest.digest is not None
    storage.path_of(newest.digest).unlink()
    assert gathered(version).datasets[0].profile is None


def test_files_are_told_apart_where_a_profile_does(world: World) -> None:
    data, other, file = world.dataset_version(uses=["training"]), f"sha256:{1:064x}", f"sha256:{2:064x}"
    version = trained(world, data)
    counted = {"digest": file, "near_rows": 2, "same_rows": 3}
    document = {
        "against": [{"digest": other, "near_rows": 2, "same_rows": 3, "files": [counted]}], "figures": [],
        "data": {"rows": 50, "files": [{"digest": file, "rows": 4}]},
    }  # fmt: skip
    a_document(world, data, document)
    profile = gathered(version).datasets[0].profile
    assert profile is not None
    (overlap,) = profile.overlaps
    assert (profile.files, overlap.files) == ({file: 4}, {file: OverlapInput(other, 3, 2)})


def test_a_profile_that_has_not_finished_says_nothing(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    version = trained(world, data)
    DataProfile.objects.create(
        dataset=data.dataset,
        dataset_version=data,
        settings={},
        asked_by=world.cast.people["ada"],
        asked_at=timezone.now(),
    )
    assert gathered(version).datasets[0].profile is None


@pytest.mark.parametrize("own", [True, False])
def test_a_recall_is_named_to_the_team_that_owns_what_was_recalled_and_to_no_other(world: World, own: bool) -> None:
    version = world.parent_version()
    team = world.team if own else access.create_team(actor=world.cast.root, slug="elsewhere")
    person = world.cast.people["carla"]
    text = access.new_text(stream=f"team:{team.pk}", purpose="reason", value="Withdrawn.", now=timezone.now())
    recall = Recall.objects.create(
        stream=f"team:{team.pk}", kind="dataset_version", about=text.pk, subject="secret/rows@1", reason=text, affected=1,
        recalled_by=person, role="compliance_officer", recalled_at=timezone.now(),
    )  # fmt: skip
    Quarantine.objects.create(
        model=version.model, version=version, version_digest=version.digest, recall=recall, distance=2,
        created_at=timezone.now(),
    )  # fmt: skip
    (found,) = gathered(version).recalls
    assert found.stops
    assert ("secret/rows@1" in found.subject) is own
    recall.ended_at, recall.ended_by, recall.ended_reason = timezone.now(), person, text
    recall.save(update_fields=["ended_at", "ended_by", "ended_reason"])
    assert gathered(version).recalls == []


def test_what_is_gathered_of_many_versions_is_what_is_gathered_of_each_in_as_many_questions_as_for_two(
    world: World,
) -> None:
    """Versions of two teams, with data, corrections, findings, waivers, a recall and other people's names among them."""
    versions = _a_mixed_lot(world)
    at = timezone.now()
    together = inputs.gather_many(versions, at)
    assert [together[v.pk] for v in versions] == [inputs.gather(v, at) for v in versions]
    assert len({str(together[v.pk].terms) for v in versions}) > 1
    asked = []
    for lot in (versions[1:3], versions):
        with CaptureQueriesContext(connection) as taken:
            inputs.gather_many(lot, at)
        asked.append(len(taken))
    assert asked[1] <= asked[0] + 2


def _a_mixed_lot(world: World) -> list[ModelVersion]:
    parent, child = world.released_pair()
    rows = world.dataset_version(uses=["training"], licence="CC-BY-NC-4.0")
    fed = world.derived_version(child, model=world.governed_model(slug="other"), seed=31, data=[rows])
    world.measure(fed, child)
    correct_version(actor=world.cast.carla, version=parent, licence=world.licence("CC-BY-SA-4.0"), reason="Its card.")
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    access.grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.ENGINEER, team=elsewhere)
    theirs = world.derived_version(fed, model=world.model("far", team=elsewhere), seed=32)
    alone = world.version(world.governed_model(slug="alone"), seed=33, licence="MIT")
    world.waiver(alone)
    copied = world.version(
        world.model("copied"), seed=1000 + parent.number, files={("m.onnx", "weights"): world.tiny_onnx(31, 32)}
    )
    services.start_recall(actor=world.cast.carla, subject=of_dataset_version(rows), reason="Taken back.")
    found = [parent, child, fed, theirs, alone, copied]
    return [ModelVersion.objects.select_related("model__team").get(pk=row.pk) for row in found]
