"""What was registered wrongly about data is said anew: what judges reads it, the old words stay, what is live is told."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from audit.models import Entry
from registry.catalog import queries as catalog
from registry.catalog.edges import EdgeSpec
from registry.compression.material import check_data
from registry.digests import parse_canonical
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller
from registry.oversight.models import Finding
from registry.oversight.subjects import of_licence
from registry.provenance.models import Dataset, DatasetCorrection, DatasetVersion
from registry.provenance.services_corrections import SaidAnew, correct_dataset_version
from registry.provenance.stated import stated_data, stated_in, states_under
from registry.release import inputs, recall_reach
from registry.release.services.recalls import start_recall
from registry.release.terms_queue import waiting_licences
from tests.failing import keeps_nothing_without_ledger
from tests.world import World

WHY = "The supplier's letter says so."


def correct(
    world: World, version: DatasetVersion, actor: Caller | None = None, *, widen_uses: bool = False, **said: Any
) -> DatasetCorrection:
    if isinstance(said.get("licence"), str):
        said["licence"] = world.licence(said["licence"])
    return correct_dataset_version(
        actor=actor or world.cast.carla, version=version, said=SaidAnew(**said), reason=WHY, widen_uses=widen_uses
    )


def last_event() -> dict[str, Any]:
    entry: Any = parse_canonical(bytes(Entry.objects.order_by("-position")[0].entry))
    return dict(entry["event"])


def test_a_corrected_licence_decides_the_terms_of_what_was_made_with_the_data(world: World) -> None:
    data = world.dataset_version(uses=["training"], licence="MIT")
    fed = world.version(edges=[EdgeSpec("data", dataset_version=data)])
    child = world.derived_version(fed, model=world.model("child"))
    correct(world, data, licence="CC-BY-NC-4.0")
    for version in (fed, child):
        assert catalog.effective_terms(version).answers["commercial_use"] == "forbidden"
    assert DatasetVersion.objects.get(pk=data.pk).licence.expression == "MIT"
    told = {node.label: node.licence for node in catalog.lineage(world.cast.ada, fed).nodes}
    assert told[world.reference(data)] == "CC-BY-NC-4.0"
    assert states_under({world.licence("CC-BY-NC-4.0").pk}) == {data.pk}
    assert states_under({world.licence("MIT").pk}) == set()


def test_everything_that_may_be_wrong_is_said_anew_and_stands_beside_the_old(world: World) -> None:
    data = world.dataset_version(uses=["training", "evaluation"], personal_data="no", collection="By hand.")
    day = datetime.date(2024, 5, 1)
    row = correct(
        world, data, personal_data="yes", consent="no", third_party_works="yes", opt_out_honoured="no",
        third_party_basis="None that holds.", origin="Bought.", owner="Elsewhere Ltd.", known_biases="Few women.",
        collected_from=day, collected_until=day, retain_until=day, uses=["training"], unstated=["collection"],
    )  # fmt: skip
    known = stated_data([data])[data.pk]
    assert known.answers == {
        "personal_data": "yes", "consent": "no", "third_party_works": "yes", "opt_out_honoured": "no"
    }  # fmt: skip
    assert (known.said("origin"), known.said("owner"), known.said("collection")) == ("Bought.", "Elsewhere Ltd.", "")
    assert (known.uses, known.values["retain_until"], known.correction) == (["training"], day, 1)
    kept = DatasetVersion.objects.get(pk=data.pk)
    assert (kept.personal_data, str(kept.collection), kept.uses) == ("no", "By hand.", ["evaluation", "training"])
    event = last_event()
    assert event["kind"] == "dataset_version.corrected"
    assert event["records"][0]["id"] == str(row.pk)
    correct(world, data, consent="yes", collection="By machine.")
    again = stated_in(DatasetVersion.objects.get(pk=data.pk))
    assert (again.answers["personal_data"], again.answers["consent"], again.correction) == ("yes", "yes", 2)
    assert again.said("collection") == "By machine."


def test_data_is_let_in_for_more_only_where_that_is_said(world: World) -> None:
    data = world.dataset_version(uses=["calibration"])
    with pytest.raises(Invalid, match="evaluation") as refused:
        correct(world, data, uses=["calibration", "evaluation"])
    assert refused.value.code == "uses-widened"
    with pytest.raises(Invalid):
        check_data(world.cast.ada, data, "evaluation")
    correct(world, data, uses=["evaluation"], widen_uses=True)
    check_data(world.cast.ada, data, "evaluation")
    with pytest.raises(Invalid) as gone:
        check_data(world.cast.ada, data, "calibration")
    assert gone.value.code == "use-not-registered"


def test_the_steward_is_somebody_of_the_team_and_changes_with_the_correction(world: World) -> None:
    data = world.dataset_version()
    with pytest.raises(Invalid, match="no role") as refused:
        correct(world, data, steward=world.cast.people["eve"])
    assert refused.value.code == "steward"
    correct(world, data, steward=world.cast.people["omar"])
    assert Dataset.objects.get(pk=data.dataset_id).steward == world.cast.people["omar"]
    assert "provenance.dataset/1" in [record["type"] for record in last_event()["records"]]
    with pytest.raises(Conflict, match="already"):
        correct(world, data, steward=world.cast.people["omar"])


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({}, "Nothing is corrected"),
        ({"personal_data": "perhaps"}, "personal_data"),
        ({"uses": ["amusement"]}, "uses"),
        ({"origin": " "}, "origin is empty"),
        ({"unstated": ["licence"]}, "taken back"),
        ({"unstated": ["owner"], "owner": "Me"}, "both"),
        ({"third_party_works": "no", "third_party_basis": "A contract."}, "basis"),
        ({"collected_from": datetime.date(2024, 2, 2), "collected_until": datetime.date(2024, 2, 1)}, "ends before"),
    ],
)
def test_a_correction_that_says_nothing_or_contradicts_itself_is_refused(
    world: World, said: dict[str, Any], match: str
) -> None:
    with pytest.raises(Invalid, match=match):
        correct(world, world.dataset_version(), **said)
    assert not DatasetCorrection.objects.exists()


def test_only_engineers_and_officers_correct_with_a_reason_and_only_what_differs(world: World) -> None:
    data = world.dataset_version(licence="MIT", personal_data="no")
    with pytest.raises(Forbidden, match=r"dataset_version\.correct"):
        correct(world, data, world.cast.otto, personal_data="yes")
    with pytest.raises(Conflict, match="already"):
        correct(world, data, licence="MIT", personal_data="no")
    with pytest.raises(Invalid, match="reason"):
        correct_dataset_version(
            actor=world.cast.ada, version=data, said=SaidAnew(personal_data="yes"), reason=" "
        )  # fmt: skip
    keeps_nothing_without_ledger(lambda: correct(world, data, personal_data="yes"), DatasetCorrection)


def test_what_is_live_over_corrected_data_gets_a_finding_that_names_no_data(world: World) -> None:
    data = world.dataset_version(uses=["training"], personal_data="no", slug="letters")
    parent = world.version(world.governed_model(), edges=[EdgeSpec("data", dataset_version=data)])
    world.promoted(parent)
    correct(world, data, personal_data="yes", known_biases="Few women.")
    found = Finding.objects.get(kind="terms-changed")
    assert found.owner_id == parent.model.owner_id
    assert "personal data was no, is yes" in str(found.description)
    assert "letters" not in str(found.description)


def test_words_alone_open_no_finding(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    world.promoted(world.version(world.governed_model(), edges=[EdgeSpec("data", dataset_version=data)]))
    correct(world, data, origin="Another sentence about the same place.")
    assert not Finding.objects.filter(kind="terms-changed").exists()


def test_a_gate_and_the_queue_of_unknown_licences_read_what_is_stated_now(world: World) -> None:
    data = world.dataset_version(uses=["training"], licence="LicenseRef-pressmark-unknown")
    fed = world.version(edges=[EdgeSpec("data", dataset_version=data)])
    assert [item.data for item in waiting_licences(world.cast.root)] == [1]
    correct(world, data, licence="MIT", uses=["training", "evaluation"], widen_uses=True)
    (seen,) = inputs.gather(fed, datetime.datetime.now(datetime.UTC)).datasets
    assert (seen.licence, seen.licence_known, seen.uses) == ("MIT", True, ("evaluation", "training"))
    assert waiting_licences(world.cast.root) == []


def test_a_recall_of_a_licence_reaches_what_is_stated_to_be_under_it_before_and_after(world: World) -> None:
    wrong, right = world.licence("MIT"), world.licence("CC-BY-NC-4.0")
    data = world.dataset_version(uses=["training"], licence="MIT")
    fed = world.version(edges=[EdgeSpec("data", dataset_version=data)])
    assert set(recall_reach.reached_by("licence", wrong.pk)) == {fed.pk}
    start_recall(actor=world.officer(), subject=of_licence(right), reason="Withdrawn.")
    assert recall_reach.recalls_met_by(fed) == {}
    correct(world, data, licence="CC-BY-NC-4.0")
    assert list(recall_reach.recalls_met_by(fed).values()) == [1]
    assert fed.quarantines.filter(ended_at=None).count() == 1
    assert recall_reach.reached_by("licence", wrong.pk) == {}
