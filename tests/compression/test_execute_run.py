"""A run from queue to child with the real engine: what it makes, what it records, and what stays when it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from onnx import load_from_string

from audit.models import Entry
from registry import storage
from registry.access.queries import system_actor
from registry.catalog import distributions
from registry.catalog import queries as catalog
from registry.catalog.models import Edge, ModelVersion
from registry.catalog.services_corrections import correct_version
from registry.compression import execution, queries, replays, services, services_replays
from registry.compression.models import Run
from registry.digests import parse_canonical
from registry.provenance.services_licences import register_licence
from tests.compression.situations import events, events_of
from tests.compression.test_api import client
from tests.world import World
from tests.worlds.compression import QUICK

pytestmark = pytest.mark.usefixtures("committed_db")


def documents(run: Run) -> dict[str, dict[str, Any]]:
    return {row.kind: catalog.evidence_body(row) for row in queries.evidence_of_run(run)}


def test_a_run_makes_a_smaller_child_with_measured_evidence_against_its_parent(world: World) -> None:
    files = {("net/model.onnx", "weights"): world.tiny_onnx(), ("config.json", "configuration"): b"{}"}
    parent = world.version(files=files)
    run = world.executed(world.run(parent))
    assert (run.state, run.attempt, run.failure_code) == ("succeeded", 1, None), queries.run_log(run)
    child = run.child
    assert child is not None
    assert (child.model_id, child.number, child.origin) == (parent.model_id, 2, "derived")
    roles = {a.path: (a.role, a.digest) for a in child.artifacts.all()}
    kept = {a.path: (a.role, a.digest) for a in parent.artifacts.all()}
    assert roles["config.json"] == kept["config.json"]
    assert roles["net/model.onnx"][1] != kept["net/model.onnx"][1]
    weights = storage.path_of(roles["net/model.onnx"][1]).read_bytes()
    assert len(weights) < len(world.tiny_onnx()) / 2
    assert load_from_string(weights).graph.node
    found = documents(run)
    fidelity = {figure["metric"]: figure for figure in found["fidelity"]["figures"]}
    assert float(fidelity["cosine_mean"]["value"]) > 0.999
    assert fidelity["cosine_mean"]["n"] == 64


def test_without_a_plan_every_kind_is_measured_and_names_version_parent_dataset_and_recipe_by_digest(
    world: World,
) -> None:
    run = world.executed(world.run(plan=None))
    found = documents(run)
    assert set(found) == {"size", "fidelity", "invariance", "timing", "memory", "distribution"} | {"structure"}
    assert run.child is not None
    assert run.recipe is not None
    expected = {
        ("version", run.child.digest), ("parent", run.parent.digest), ("dataset", run.evaluation.digest),
        ("recipe", run.recipe.digest),
    }  # fmt: skip
    for kind in ("size", "fidelity", "timing", "memory", "distribution"):
        subjects = {(s["role"], s["digest"]) for s in found[kind]["subjects"]}
        assert subjects == expected | ({("outputs", run.outputs_digest)} if kind != "distribution" else set())
    row = run.child.evidence.get(kind="fidelity")
    assert (row.parent_id, row.dataset_version_id, row.source) == (run.parent_id, run.evaluation_id, "measured")


def test_the_lineage_says_executed_and_quantized_and_no_data_where_no_step_looked_at_any(world: World) -> None:
    calibration = world.arrays_dataset(seed=8, uses=("calibration",))
    run = world.executed(world.run(calibration=calibration))
    edge = Edge.objects.get(child=run.child)
    assert (edge.parent_id, edge.role, edge.operations, edge.grade) == (
        run.parent_id,
        "base",
        ["quantized"],
        "executed",
    )


def test_the_worker_acts_as_the_system_on_behalf_of_who_asked_and_success_is_one_unit(world: World) -> None:
    run = world.executed(world.run())
    told = events_of(run)
    assert [event["kind"] for event in told] == ["run.requested", "run.started", "run.succeeded"]
    ada = str(world.cast.ada.actor_id)
    assert told[0]["actor"]["id"] == ada
    for event in told[1:]:
        assert event["actor"] == {
            "id": str(system_actor().pk), "on_behalf_of": ada, "role": "system", "via": "worker",
        }  # fmt: skip
    together = [event["kind"] for event in events() if event["unit"] == told[2]["unit"]]
    assert together[-1] == "run.succeeded"
    assert {"version.registered", "evidence.attached"} <= set(together)


def test_log_and_result_are_kept_with_the_run(world: World) -> None:
    run = world.executed(world.run())
    refs = {ref["name"]: ref for ref in events_of(run)[-1]["refs"]}
    assert set(refs) == {"log", "engine_result", "outputs"}
    assert (refs["engine_result"]["digest"], refs["outputs"]["digest"]) == (run.result_digest, run.outputs_digest)
    assert refs["log"]["digest"] == run.log_digest
    result = parse_canonical(storage.read_bytes(refs["engine_result"]["digest"]))
    assert isinstance(result, dict)
    assert result["engine"]["version"] == run.engine_version  # type: ignore[index,call-overload]
    log = queries.run_log(run)
    assert "network: closed by a namespace" in log or "refuses sockets by itself" in log
    assert '"stage": "fidelity"' in log


def test_the_child_says_its_licence_and_how_it_is_stored_and_so_does_the_run(world: World) -> None:
    run = world.executed(world.run())
    assert run.child is not None
    model = load_from_string(storage.read_bytes(run.child.artifacts.get(role="weights").digest))
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["pressmark.licence"] == str(run.parent.licence)
    assert said["pressmark.parent_digest"] == run.parent.artifacts.get(role="weights").digest
    told = client(world, "otto").get(f"/api/v1/runs/{run.pk}").json()["quantization_map"]
    assert {(one["dtype"], one["scheme"], one["granularity"]) for one in told} == {("int8", "symmetric", "channel")}
    assert [one["tensor"] for one in told] == [
        row[1] for row in json.loads(said["pressmark.quantization_map"])["tensors"]
    ]


def test_the_licence_that_was_corrected_is_the_one_that_is_written(world: World) -> None:
    parent = world.version()
    other = register_licence(actor=world.cast.ada, team=parent.model.team, expression="BSD-3-Clause")
    correct_version(actor=world.cast.carla, version=parent, licence=other, reason="It was read wrongly.")
    run = world.executed(world.run(parent))
    result = queries.result_of(run)
    assert result is not None
    assert result.licence == "BSD-3-Clause"
    assert run.child is not None
    again = services_replays.request_replay(actor=world.cast.ada, version=run.child)
    stricter = register_licence(actor=world.cast.ada, team=parent.model.team, expression="CC-BY-NC-4.0")
    correct_version(actor=world.cast.ada, version=parent, licence=stricter, reason="It was read wrongly again.")
    assert replays.outcome_of(world.executed(again)) == "bit-exact"


def test_the_distribution_is_evidence_and_can_be_read_back(world: World) -> None:
    run = world.executed(world.run())
    found = distributions.from_document(documents(run)["distribution"])
    names = [feature["name"] for feature in found["features"]]
    assert found["n"] == 64
    assert {"cosine_to_parent", "input_mean_x", "output_projection_0"} <= set(names)
    assert all(sum(feature["counts"]) + feature["missing"] == 64 for feature in found["features"])


def test_the_distribution_is_counted_over_the_baseline_data_where_there_is_some(world: World) -> None:
    baseline = world.arrays_dataset(rows=80, seed=11, uses=("baseline",))
    run = world.executed(world.run(baseline=baseline))
    document = documents(run)["distribution"]
    assert distributions.from_document(document)["n"] == 80
    assert {"digest": baseline.digest, "role": "dataset"} in document["subjects"]
    assert {"digest": run.evaluation.digest, "role": "dataset"} in documents(run)["fidelity"]["subjects"]


def test_an_evaluation_attaches_measurements_to_the_version_itself(world: World) -> None:
    version = world.version()
    asked = services.request_evaluation(actor=world.cast.ada, version=version, evaluation=world.arrays_dataset())
    run = world.executed(asked)
    assert (run.state, run.child) == ("succeeded", None), queries.run_log(run)
    found = documents(run)
    assert set(found) == {"size", "timing", "memory", "outputs", "invariance", "distribution"}
    subjects = {(s["role"], s["digest"]) for s in found["outputs"]["subjects"]}
    assert subjects == {
        ("version", version.digest), ("dataset", run.evaluation.digest), ("outputs", run.outputs_digest),
    }  # fmt: skip
    assert ModelVersion.objects.filter(model=version.model).count() == 1
    assert run.parent.evidence.filter(kind="outputs").get().parent_id is None


def test_the_same_run_again_finds_the_same_child_and_adds_what_it_measured(world: World) -> None:
    timed = QUICK | {"measures": ["size", "timing"]}
    first = world.executed(world.run(plan=timed))
    second = world.executed(world.run(first.parent, evaluation=first.evaluation, plan=timed))
    assert second.state == "succeeded", queries.run_log(second)
    assert second.child_id == first.child_id
    assert ModelVersion.objects.filter(model=first.model).count() == 2
    assert {row.kind for row in queries.evidence_of_run(second)} >= {"timing"}
    assert first.child is not None
    assert first.child.evidence.filter(kind="timing").count() == 2


def test_a_recipe_that_finds_nothing_to_do_fails_with_reason_and_log_and_no_version_appears(world: World) -> None:
    parent = world.version(files={("model.onnx", "weights"): world.tiny_onnx(hidden=8)})
    run = world.executed(world.run(parent))
    assert (run.state, run.failure_code, run.child) == ("failed", "nothing_to_compress", None)
    message, hint = str(run.failure).split("\n")
    assert "found nothing to change" in message
    assert "min_elements" in hint
    assert "nothing_to_compress" in queries.run_log(run)
    assert ModelVersion.objects.filter(model=run.model).count() == 1
    told = events_of(run)[-1]
    assert told["kind"] == "run.failed"
    assert b"nothing to change" not in b"".join(bytes(e.entry) for e in Entry.objects.all())
    assert [record["type"] for record in told["records"]] == ["compression.run/1", "access.text/1"]


def test_data_that_does_not_fit_the_model_fails_with_the_engines_reason(world: World) -> None:
    words = world.dataset_version([{"text": "no arrays at all"}])
    run = world.executed(world.run(evaluation=words))
    assert run.state == "failed"
    assert run.failure_code in {"tokenizer_missing", "data_does_not_fit"}


def test_bytes_that_changed_in_the_store_fail_the_run(world: World) -> None:
    run = world.run()
    path = storage.path_of(run.parent.artifacts.get().digest)
    os.chmod(path, 0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    done = world.executed(run)
    assert (done.state, done.failure_code) == ("failed", "bytes_differ")


@pytest.mark.parametrize("use", ["evaluation", "baseline"])
def test_data_that_changed_in_the_store_do_not_count(world: World, use: str) -> None:
    rows = {name: world.arrays_dataset(seed=seed, uses=(name,)) for seed, name in enumerate(("evaluation", "baseline"))}
    run = world.run(**rows)
    path = storage.path_of(rows[use].digest)
    os.chmod(path, 0o644)
    path.write_bytes(world.tiny_inputs(seed=99))
    done = world.executed(run)
    assert (done.state, done.failure_code, done.child) == ("failed", "bytes_differ", None)


def test_bytes_that_are_gone_fail_the_run(world: World) -> None:
    run = world.run()
    storage.path_of(run.parent.artifacts.get().digest).unlink()
    done = world.executed(run)
    assert (done.state, done.failure_code) == ("failed", "not_found")
    assert "restore" in str(done.failure)


@pytest.mark.parametrize("limit_mib", [100, 150, 300])
def test_an_engine_that_needs_too_much_memory_is_stopped_with_a_clear_reason(
    world: World, settings: Any, limit_mib: int
) -> None:
    """Refused while libraries load, or while a net of 100 MB is read: each says it in its own words."""
    settings.PRESSMARK_RUN_MEMORY_LIMIT_BYTES = limit_mib * 1024 * 1024
    parent = world.version(files={("model.onnx", "weights"): world.tiny_onnx(hidden=200_000)})
    done = world.executed(world.run(parent))
    assert (done.state, done.failure_code) == ("failed", "out_of_memory"), queries.run_log(done)
    assert "PRESSMARK_RUN_MEMORY_LIMIT_BYTES" in str(done.failure)


def test_an_engine_that_takes_too_long_is_stopped_with_a_clear_reason(world: World, settings: Any) -> None:
    settings.PRESSMARK_RUN_TIME_LIMIT_SECONDS = 1
    settings.PRESSMARK_LEASE_SECONDS = 1
    parent = world.version(files={("model.onnx", "weights"): world.tiny_onnx(hidden=40_000)})
    done = world.executed(world.run(parent, evaluation=world.arrays_dataset(rows=4000)))
    assert (done.state, done.failure_code) == ("failed", "time_limit"), queries.run_log(done)
    assert "1 seconds" in str(done.failure)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_is_named_and_no_fault_of_the_registry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.compression.work.check_manifest", lambda files: Path("/dev/full").write_bytes(b"1"))
    done = world.executed(world.run())
    assert (done.state, done.failure_code) == ("failed", "disk_full")
    assert "Make room" in str(done.failure)


def test_an_error_inside_the_registry_fails_the_run_without_its_text(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.compression.work.check_manifest", lambda files: 1 / 0)
    done = world.executed(world.run())
    assert (done.state, done.failure_code) == ("failed", "internal")
    assert "ZeroDivisionError" in str(done.failure)


def test_nothing_of_the_job_is_left_behind(world: World, settings: Any) -> None:
    world.executed(world.run())
    assert list(Path(settings.PRESSMARK_RUNS).iterdir()) == []


def test_a_run_that_has_ended_is_not_worked_on_again(world: World) -> None:
    done = world.executed(world.run())
    before = Entry.objects.count()
    assert execution.execute(done.pk) is False
    assert Entry.objects.count() == before
