"""What was measured on a serving host: bound to version, host and settings, never our own measurement, stale when they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from registry.access.models import Role
from registry.access.services import grant_membership
from registry.catalog import queries, services
from registry.catalog.models import Evidence, ModelVersion
from registry.catalog.services_targets import record_target_measurement
from registry.errors import Conflict, Forbidden, Invalid
from registry.release.queries import verdict_document
from registry.release.services import evaluate_gate
from tests.catalog.target_documents import measurement, named, weights_of
from tests.compression.situations import events
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.http import api


def push(world: World, version: ModelVersion, document: Any = None) -> Evidence:
    body = measurement(version) if document is None else document
    return record_target_measurement(actor=world.cast.otto, version=version, document=body)


def test_it_becomes_declared_evidence_of_kind_target_about_exactly_this_version(world: World) -> None:
    version = world.version()
    row = push(world, version)
    assert (row.kind, row.source, row.version_digest) == ("target", "declared", version.digest)
    document = queries.evidence_body(row)
    assert {(s["role"], s["digest"]) for s in document["subjects"]} == {
        ("version", version.digest), ("dataset", "sha256:" + "d" * 64),
    }  # fmt: skip
    facts = {fact["name"]: fact["value"] for fact in document["environment"]}
    assert facts["host_cpu_model"] == "Edge 3000"
    assert facts["serving_setting_replicas"] == "3"
    assert facts["onnxruntime"] == "1.22"
    assert facts["settings_digest"] == measurement(version)["settings_digest"]
    told = events()[-1]
    assert (told["kind"], told["actor"]["role"]) == ("evidence.attached", "operator")


def test_files_without_a_manifest_are_known_by_their_weights(world: World) -> None:
    version = world.version()
    assert push(world, version, measurement(version, version_digest=None)).version == version


@pytest.mark.parametrize(
    "change",
    [
        lambda d, other: d.update(version_digest=other.digest),
        lambda d, other: d.update(weights=weights_of(other)),
        lambda d, other: d.update(weights=weights_of(other), version_digest=None),
    ],
)
def test_a_measurement_of_other_files_is_refused(world: World, change: Callable[[Any, ModelVersion], Any]) -> None:
    version, other = world.version(seed=1), world.version(seed=2)
    document = measurement(version)
    change(document, other)
    with pytest.raises(Invalid, match="Other files were measured"):
        push(world, version, document)
    assert not Evidence.objects.filter(kind="target").exists()


def test_it_may_be_measured_beside_an_ancestor_and_beside_nothing_else(world: World) -> None:
    parent = world.version()
    child, stranger = world.derived_version(parent), world.version(seed=3)
    beside = {"version_digest": None, "weights": weights_of(parent)}
    row = push(world, child, measurement(child, parent=beside))
    assert row.parent == parent
    assert {"digest": parent.digest, "role": "parent"} in queries.evidence_body(row)["subjects"]
    for wrong in (
        {"version_digest": None, "weights": weights_of(stranger)},
        {**beside, "version_digest": child.digest},
    ):
        with pytest.raises(Invalid, match="not derived from"):
            push(world, child, measurement(child, parent=wrong))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("host"),
        lambda d: d.update(more=1),
        lambda d: d.update(seed=0.5),
        lambda d: d.update(type="pressmark/target_measurement/2"),
        lambda d: d["host"].append({"name": "cores", "value": "64"}),
        lambda d: d["settings"][0].update(value="1"),
        lambda d: d.update(plan={"type": "pressmark/evaluation_plan/1"}),
        lambda d: d.update(plan_digest="sha256:" + "a" * 64),
        lambda d: d["evidence"][0]["document"].update(kind="timing"),
        lambda d: d["evidence"][0]["document"]["environment"].append({"name": "plan", "value": "sha256:" + "a" * 64}),
        lambda d: d["evidence"][0]["document"]["figures"].append(figure("latency_p95_ms", "0.1", "millisecond", n=60)),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(low="15"),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(value="9" * 5000),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(spread="0." + "9" * 5000),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(value="1e3"),
        lambda d: d["evidence"][0]["document"]["environment"].append({"name": "host_digest", "value": "x"}),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(value="-1", low="-2"),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(low="-0.001"),
        lambda d: d["evidence"][0]["document"]["figures"].append(figure("size_bytes", "7", "byte", n=1)),
        lambda d: d["evidence"][0]["document"]["figures"].append(figure("peak_memory_bytes", "-7", "byte", n=1)),
        lambda d: d["evidence"][0]["document"]["figures"].append(figure("top1_agreement", "1.01", "share", n=1)),
    ],
)
def test_a_document_that_is_none_or_that_its_digests_do_not_name_is_refused_with_a_remedy(
    world: World, change: Callable[[dict[str, Any]], Any]
) -> None:
    version = world.version()
    document = measurement(version)
    change(document)
    with pytest.raises(Invalid) as refused:
        push(world, version, document)
    assert refused.value.hint
    assert not Evidence.objects.filter(kind="target").exists()


@pytest.mark.parametrize("body", [[], "x", 7, None, {}])
def test_a_body_of_another_shape_is_refused(world: World, body: Any) -> None:
    version = world.version()
    with pytest.raises(Invalid, match="is no pressmark/target_measurement/1"):
        record_target_measurement(actor=world.cast.otto, version=version, document=body)


@pytest.mark.parametrize("who", ["ada", "omar", "carla", "eve"])
def test_only_operators_and_service_accounts_push(world: World, who: str) -> None:
    version = world.version()
    with pytest.raises(Forbidden):
        record_target_measurement(actor=getattr(world.cast, who), version=version, document=measurement(version))


def test_the_same_measurement_twice_is_one(world: World) -> None:
    version = world.version()
    push(world, version)
    with pytest.raises(Conflict, match="kept already"):
        push(world, version)


def test_nobody_writes_it_by_hand(world: World) -> None:
    version = world.version()
    document = queries.evidence_body(push(world, version))
    with pytest.raises(Invalid, match="pressmark measure") as refused:
        services.attach_evidence(actor=world.cast.ada, version=version, document={**document, "seed": 1})
    assert refused.value.code == "evidence-target"


def test_another_host_or_other_settings_make_the_earlier_ones_stale_and_coming_back_makes_it_fresh(
    world: World,
) -> None:
    version = world.version()

    def stale() -> list[str | None]:
        return [found for _, _, found in queries.target_measurements(version)]

    push(world, version)
    push(world, version, measurement(version, p95="12.6"))
    assert stale() == [None, None]
    push(world, version, measurement(version, settings=named(threads="4")))
    other_settings = "It was measured under other serving settings since."
    assert stale() == [None, other_settings, other_settings]
    push(world, version, measurement(version, host=named(cpu_model="Edge 4000")))
    assert stale() == [None, *["It was measured on another host since."] * 3]
    push(world, version, measurement(version, p95="12.7"))
    assert stale()[0] is None
    assert None not in stale()[1:]


def test_rows_that_the_version_was_made_with_are_said(world: World) -> None:
    rows = world.arrays_dataset(uses=("calibration",))
    child = world.derived_version(world.version(), data=[rows])
    data = {"broken": [], "digest": rows.digest, "role": "evaluation", "rows": 60}
    row = push(world, child, measurement(child, data=data))
    assert {"name": "seen_rows", "value": "60"} in queries.evidence_body(row)["environment"]
    assert row.dataset_version == rows


def test_rows_that_could_not_be_used_are_counted_and_rows_that_no_dataset_holds_are_said(world: World) -> None:
    version = world.version()
    rows = world.arrays_dataset()
    named_rows = [f"row {number}: NaN or infinity" for number in range(3)]
    data = {"broken": [*named_rows, "and 4 more"], "digest": rows.digest, "role": "evaluation", "rows": 60}

    def facts(row: Evidence) -> dict[str, str]:
        told = {fact["name"]: fact["value"] for fact in queries.evidence_body(row)["environment"]}
        return {name: told[name] for name in ("left_out_rows", "evaluated_rows", "unregistered_rows") if name in told}

    assert facts(push(world, version, measurement(version, data=data))) == {
        "left_out_rows": "7",
        "evaluated_rows": "60",
    }
    assert facts(push(world, version)) == {"unregistered_rows": "60"}


def test_a_saving_that_is_a_loss_can_be_measured(world: World) -> None:
    version = world.version()
    document = measurement(version)
    saved = figure("cpu_time_saved_ms", "-0.4", "millisecond", n=60, low="-0.5", high="-0.3")
    document["evidence"][0]["document"]["figures"].append(saved)
    assert push(world, version, document).kind == "target"


def test_the_door_takes_the_document_as_it_is_and_shows_what_is_stale(world: World) -> None:
    version = world.version()
    url = f"/api/v1/teams/search/models/{version.model.slug}/versions/1/target-measurements"
    otto = api("otto")
    made = otto.post(url, measurement(version), format="json")
    assert made.status_code == 201, made.content
    assert made.headers["Pressmark-Receipt"]
    assert made.json()["sentences"][0].startswith("19 of 20 answers come within 12.5 ms")
    assert otto.post(url, measurement(version, settings=named(threads="4")), format="json").status_code == 201
    items = api("carla").get(url).json()["items"]
    assert [item["stale"] is None for item in items] == [True, False]
    assert {item["source"] for item in items} == {"declared"}
    assert otto.post(url, [], format="json").json()["type"] == "urn:pressmark:problem:target-measurement"
    assert api("ada").post(url, measurement(version), format="json").status_code == 403
    assert APIClient().get(url).status_code == 401


def test_a_gate_holds_the_version_to_what_its_target_measured(world: World) -> None:
    rule = {
        "id": "on-target", "about": "Fast enough where it serves.", "check": "target_evidence", "applies_to": "any",
        "waivable": False, "max_age_days": 30, "settings_digest": None, "host_digest": None,
        "limits": [{"metric": "latency_p95_ms", "comparator": "at_most", "limit": "20", "bound": "high"}],
    }  # fmt: skip
    world.policy("limited", change=lambda document: document["rules"].append(rule))
    version = world.parent_version()

    def blocked() -> list[str]:
        verdict = evaluate_gate(actor=world.cast.ada, version=version, alias="production")
        rules: Any = verdict_document(verdict)["results"]
        return [row["reason"] for row in rules if row["answer"] == "blocked"]

    assert "Nothing was measured for this version on the host" in blocked()[0]
    push(world, version)
    assert blocked() == []


def test_a_service_account_pushes(world: World) -> None:
    cast = world.cast
    grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.SERVICE_ACCOUNT, team=cast.team)
    version = world.version()
    row = record_target_measurement(actor=cast.eve, version=version, document=measurement(version))
    assert row.created_by == cast.people["eve"]
