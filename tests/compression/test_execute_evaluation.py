"""An evaluation from queue to evidence with the real engine: by a plan, beside other versions, resumed, and never on seen rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry import storage
from registry.catalog import queries as catalog
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.compression import evaluations, execution, queries, services
from registry.compression.heartbeat import Heartbeat
from registry.compression.job import Job
from registry.compression.models import Run
from registry.digests import parse_canonical, sha256
from registry.provenance.models import DatasetVersion
from registry.release.inputs import gather
from tests.compression.situations import events_of, lapse
from tests.compression.test_api import client
from tests.compression.test_evaluation_api import evaluations_url
from tests.world import World
from tests.worlds.catalog import INPUT_WIDTH

pytestmark = pytest.mark.usefixtures("committed_db")
CLASSES = INPUT_WIDTH
PLAN: dict[str, Any] = {
    "type": "pressmark/evaluation_plan/1", "task": "classification", "label": "label", "scores": "logits",
    "slices": ["race"], "measures": ["size", "fidelity", "quality", "comparison"],
}  # fmt: skip
BARE = {"type": "pressmark/evaluation_plan/1", "measures": ["size"]}


def labelled(world: World, seed: int = 7, rows: int = 120, uses: tuple[str, ...] = ("evaluation",)) -> DatasetVersion:
    """Rows for `tiny_onnx` with a right class and a group."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, INPUT_WIDTH)).astype(np.float32)
    label, race = random.integers(0, CLASSES, rows), random.integers(0, 2, rows)
    return world.dataset_version(data=world.arrays(x=x, label=label, race=race), uses=uses)


def evaluated(world: World, version: ModelVersion, **asked: Any) -> Run:
    rows = asked.pop("evaluation", None) or labelled(world)
    given = {"plan": PLAN, **asked}
    return world.executed(services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, **given))


def documents(run: Run) -> dict[str, dict[str, Any]]:
    return {row.kind: catalog.evidence_body(row) for row in queries.evidence_of_run(run)}


def subjects(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(row["role"], row["digest"]) for row in document["subjects"]}


def facts(document: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["value"] for row in document["environment"]}


def test_a_version_is_compared_with_parent_incumbent_and_first_and_each_is_named(world: World) -> None:
    parent, child = world.released_pair()
    version = world.child_version(child, seed=77)
    run = evaluated(world, version)
    assert run.state == "succeeded", queries.run_log(run)
    found = documents(run)
    assert {"quality", "comparison-parent", "comparison-incumbent", "comparison-first", "fidelity-incumbent"} <= set(
        found
    )
    common = {("version", version.digest), ("dataset", run.evaluation.digest), ("outputs", run.outputs_digest)}
    assert subjects(found["comparison-parent"]) == common | {("parent", child.digest)}
    assert subjects(found["comparison-incumbent"]) == common | {("incumbent", child.digest)}
    assert subjects(found["comparison-first"]) == common | {("incumbent", parent.digest)}
    assert subjects(found["quality"]) >= {
        ("parent", child.digest),
        ("incumbent", child.digest),
        ("incumbent", parent.digest),
    }
    assert facts(found["quality"])["first_version"] == parent.digest
    known = gather(version, version.created_at, child)
    beside = {e.kind: list(e.compared_with) for e in known.evidence}
    assert (beside["comparison-incumbent"], beside["comparison-first"]) == ([known.incumbent], [known.first_approved])
    assert {facts(document)["plan"] for kind, document in found.items() if kind != "distribution"} == {run.plan_digest}
    groups = {s["value"] for f in found["comparison-parent"]["figures"] for s in f["slice"] if s["name"] == "race"}
    assert groups == {"0", "1"}
    accuracy = next(f for f in found["quality"]["figures"] if f["metric"] == "accuracy")
    assert (accuracy["n"], accuracy["low"] is not None) == (120, True)


def test_the_answers_are_kept_sealed_and_fetched_and_give_the_same_figures_again(world: World, tmp_path: Path) -> None:
    run = evaluated(world, world.derived_version(world.version()))
    assert run.outputs_digest is not None
    refs = {ref["name"]: ref["digest"] for ref in events_of(run)[-1]["refs"]}
    assert refs["outputs"] == run.outputs_digest
    answer = client(world, "otto").get(f"{evaluations_url(run.parent)}/{run.pk}/outputs")
    content = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    assert (answer.status_code, sha256(content)) == (200, run.outputs_digest)
    (tmp_path / "outputs.safetensors").write_bytes(content)
    call = [sys.executable, "-m", "compression_engine", "figures", "outputs.safetensors", "--output", "again.json"]
    subprocess.run(call, cwd=tmp_path, check=True, capture_output=True, env={"PYTHONPATH": str(Path.cwd())})
    result: Any = parse_canonical((tmp_path / "again.json").read_bytes())
    again = {entry["document"]["kind"]: entry["document"]["figures"] for entry in result["evidence"]}
    assert again["comparison-parent"] == documents(run)["comparison-parent"]["figures"]
    assert again["quality"] == documents(run)["quality"]["figures"]


def test_everything_a_page_needs_stands_in_one_answer(world: World) -> None:
    run = evaluated(world, world.derived_version(world.version()))
    body = evaluations.evaluation_body(queries.get_run(world.cast.carla, run.pk), world.cast.carla)
    assert body["plan"]["slices"] == ["race"]
    assert body["outputs"] == {
        "digest": run.outputs_digest,
        "size_bytes": storage.path_of(str(run.outputs_digest)).stat().st_size,
    }
    assert (body["n"], body["data"][0]["broken"]) == (120, [])
    assert body["compared_with"]["parent"]["digest"] == run.base.digest  # type: ignore[union-attr]
    assert body["compared_with"]["incumbent"] is None


def test_a_compression_with_a_plan_evaluates_the_child_that_it_makes(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    run = world.executed(
        services.request_run(
            actor=world.cast.ada,
            model=parent.model,
            parent=parent,
            recipe=world.recipe(),
            evaluation=labelled(world),
            plan=PLAN,
        )
    )
    assert run.state == "succeeded", queries.run_log(run)
    assert run.child is not None
    found = documents(run)
    assert {"comparison-parent", "comparison-incumbent", "comparison-first", "quality"} <= set(found)
    assert subjects(found["comparison-parent"]) >= {("version", run.child.digest), ("parent", parent.digest)}
    listed = evaluations.evaluations_of(world.cast.ada, run.child)
    assert [row.pk for row in listed] == [run.pk]


PRICES = {
    "type": "pressmark/price_sheet/1", "currency": "EUR", "per_cpu_hour": "0.05", "per_gib_hour_memory": "0.005",
    "per_gib_month_storage": "0.02", "per_kwh": "0.3", "grams_co2_per_kwh": "300", "predictions_per_month": 1_000_000,
    "replicas": 1, "amortisation_months": 12, "watts_per_core": "10",
}  # fmt: skip


def test_with_a_price_sheet_it_is_said_what_serving_the_version_costs_and_saves(world: World) -> None:
    plan = {**BARE, "measures": ["size", "timing", "memory", "energy", "cost"]}
    run = evaluated(world, world.derived_version(world.version()), plan=plan, price_sheet=PRICES)
    assert run.state == "succeeded", queries.run_log(run)
    found = documents(run)
    metrics = {figure["metric"]: figure for figure in found["cost"]["figures"]}
    assert metrics["net_benefit_per_month"]["unit"] == "currency:EUR"
    assert run.price_sheet_digest in facts(found["cost"]).values()
    body = evaluations.evaluation_body(queries.get_run(world.cast.ada, run.pk), world.cast.ada)
    assert body["price_sheet"]["per_kwh"] == "0.3"
    assert {ref["name"] for ref in events_of(run)[0]["refs"]} == {"plan", "price_sheet"}


# --- rows that the version was made with ---


def test_a_single_row_of_training_among_those_to_judge_by_fails_the_run_and_says_which(world: World) -> None:
    random = np.random.default_rng(3)
    x = random.standard_normal((60, INPUT_WIDTH)).astype(np.float32)
    training = world.dataset_version(data=world.arrays(x=x[:40]), uses=("training",))
    judging = world.dataset_version(data=world.arrays(x=x[39:]), uses=("evaluation",))
    version = world.version(edges=[EdgeSpec("data", dataset_version=training)])
    refused = evaluated(world, version, evaluation=judging, plan=BARE)
    assert (refused.state, refused.failure_code) == ("failed", "evaluation_seen"), queries.run_log(refused)
    assert "1 of 21 rows" in str(refused.failure)
    assert str(training.digest).replace(":", "-")[:31] in str(refused.failure)
    assert str(training) not in str(
        refused.failure
    )  # every reader of the run reads it; the lineage names the data to some
    assert not version.evidence.filter(kind="size").exists()
    allowed = evaluated(world, version, evaluation=judging, plan=BARE, allow_seen=True)
    assert allowed.state == "succeeded", queries.run_log(allowed)
    assert facts(documents(allowed)["size"])["seen_rows"] == "1"
    body = evaluations.evaluation_body(queries.get_run(world.cast.ada, allowed.pk), world.cast.ada)
    assert body["seen"] == {"allowed": True, "rows": 1}


def test_data_that_stand_in_the_lineage_as_a_whole_mark_every_figure_where_they_are_allowed(world: World) -> None:
    rows = world.arrays_dataset(uses=("training", "evaluation"))
    version = world.version(edges=[EdgeSpec("data", dataset_version=rows)])
    run = evaluated(world, version, evaluation=rows, plan=BARE, allow_seen=True)
    assert run.state == "succeeded", queries.run_log(run)
    marked = {kind for kind, document in documents(run).items() if facts(document).get("seen_rows") == "64"}
    assert marked == {"size", "seen"}


def test_the_rows_and_the_plan_of_an_evaluation_reach_the_gate(world: World) -> None:
    judging, version = labelled(world), world.version()
    run = evaluated(world, version, evaluation=judging, plan=BARE)
    assert run.state == "succeeded", queries.run_log(run)
    size = next(e for e in gather(version, version.created_at).evidence if e.kind == "size")
    assert (list(size.datasets), size.environment["plan"]) == ([judging.bound_digest], run.plan_digest)


# --- resuming ---


def prepared(run: Run) -> Job:
    """The folder of a new attempt, with everything in it that the engine reads."""
    claimed = execution.claim(run.pk, uuid.uuid4())
    assert claimed is not None
    job = Job(claimed)
    job.prepare(claimed)
    return job


def test_the_next_attempt_goes_on_with_the_rows_that_a_lost_worker_answered(world: World, settings: Any) -> None:
    run = services.request_evaluation(
        actor=world.cast.ada, version=world.version(), evaluation=labelled(world), plan=PLAN
    )
    lost = prepared(run)
    (lost.work / "answers").write_text("of the lost worker")
    lapse(run)
    while_alive = prepared(run)
    assert while_alive.work.parent == while_alive.folder, "a worker that was given up may still write"
    while_alive.remove()
    assert lost._held is not None
    os.close(lost._held)  # it was killed at last: the kernel lets go of what it held
    lapse(run)
    after = prepared(run)
    assert after.work.parent == Path(settings.PRESSMARK_RUNS)
    assert (after.work / "answers").read_text() == "of the lost worker"
    after.remove()
    assert after.work.is_dir()


def test_rows_answered_before_a_loss_are_not_answered_again_and_go_with_the_end(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt loses its lease as soon as it tells of answered rows; the next begins to count where that one was."""
    version = world.version(files={("model.onnx", "weights"): world.tiny_onnx(hidden=40_000)})
    rows = labelled(world, rows=2000)
    run = services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, plan=PLAN)
    settings.PRESSMARK_LEASE_SECONDS = 2
    other, answered, tell = uuid.uuid4(), 0, Heartbeat.tell

    def taken_over(heartbeat: Heartbeat, progress: Mapping[str, Any]) -> None:
        nonlocal answered
        tell(heartbeat, progress)
        if progress["stage"] == "answer" and progress["done"] and not answered:
            answered = progress["done"]
            while Run.objects.get(pk=run.pk).owner_token != other:  # a beat in between holds the lease once more
                lapse(run)
                execution.claim(run.pk, other)

    monkeypatch.setattr(Heartbeat, "tell", taken_over)
    execution.execute(run.pk)
    assert answered > 0
    lapse(run)
    done = world.executed(run)
    assert (done.state, done.attempt) == ("succeeded", 3), queries.run_log(done)
    lines = [line for line in queries.run_log(done).splitlines() if '"stage": "answer"' in line]
    assert all(json.loads(line)["done"] > answered for line in lines), lines[:3]
    assert list(Path(settings.PRESSMARK_RUNS).iterdir()) == []
