"""Replays: a version is made again by the real engine; the same bytes raise the grade, other bytes name the tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from onnx import load_from_string, numpy_helper

from audit.verification import replay as ledger
from compression_engine.formats import onnx_io
from compression_engine.pipeline import make
from compression_engine.progress import silent
from compression_engine.recipe import Recipe as RecipeDocument
from registry import storage
from registry.access.models import Role, Team
from registry.access.queries import system_actor
from registry.access.services import grant_membership
from registry.catalog import queries as catalog
from registry.catalog import services
from registry.catalog.edges import EdgeSpec
from registry.catalog.manifest import FileSpec
from registry.catalog.models import Edge, Evidence, Grade, ModelVersion
from registry.compression import queries, replays, services_replays
from registry.compression import services as requests
from registry.compression.models import Recipe, Run
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit
from registry.oversight.models import Finding
from tests.compression.situations import events, events_of
from tests.compression.test_api import client
from tests.world import World


def replayed(world: World, version: ModelVersion) -> Run:
    run = world.executed(services_replays.request_replay(actor=world.cast.ada, version=version))
    assert run.state == "succeeded", queries.run_log(run)
    assert ledger.compare() == []
    return queries.get_run(world.cast.ada, run.pk)


def grades(version: ModelVersion) -> set[str]:
    return set(Edge.objects.filter(child=version).values_list("grade", flat=True))


def replay_evidence(version: ModelVersion) -> list[dict[str, Any]]:
    return [catalog.evidence_body(row) for row in Evidence.objects.filter(version=version, kind="replay")]


def facts(document: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["value"] for row in document["environment"]}


def url(version: ModelVersion) -> str:
    return f"/api/v1/teams/{version.model.team.slug}/models/{version.model.slug}/versions/{version.number}/replays"


# --- asking ---


def test_only_what_our_own_run_made_can_be_made_again(world: World) -> None:
    with pytest.raises(Invalid, match="not made by a run"):
        services_replays.request_replay(actor=world.cast.ada, version=world.version())
    derived = world.derived_version(world.version())  # declared to come from a run, but no run is on record
    with pytest.raises(Invalid, match="not made by a run"):
        services_replays.request_replay(actor=world.cast.ada, version=derived)


def test_who_may_not_request_runs_is_refused(world: World) -> None:
    child = world.executed_child(world.version())
    with pytest.raises(Forbidden):
        services_replays.request_replay(actor=world.cast.otto, version=child)
    assert client(world, "eve").post(url(child)).status_code == 404


def test_nothing_is_chosen_anew_and_one_replay_is_under_way_at_a_time(world: World) -> None:
    child = world.executed_child(world.version())
    maker = Run.objects.get(child=child)
    run = services_replays.request_replay(actor=world.cast.ada, version=child)
    assert (run.parent_id, run.recipe_id, run.seed) == (maker.parent_id, maker.recipe_id, maker.seed)
    with pytest.raises(Conflict, match="already"):
        services_replays.request_replay(actor=world.cast.ada, version=child)


# --- what was made elsewhere: asking ---

HALF = {"steps": [{"method": "convert_fp16", "parameters": []}]}


def brought(world: World, parent: ModelVersion, content: bytes, **given: Any) -> ModelVersion:
    """A version with declared lineage: somebody else's machine made it from the parent, they say."""
    edges = given.pop("edges", None) or [EdgeSpec("base", ["quantized"], parent=parent)]
    return world.version(files={("model.onnx", "weights"): content}, edges=edges, **given)


def ask(world: World, version: ModelVersion, **stated: Any) -> Run:
    return services_replays.request_replay(actor=world.cast.ada, version=version, **stated)


def test_what_was_made_elsewhere_is_made_again_by_the_recipe_that_is_stated(world: World) -> None:
    parent = world.version()
    child = brought(world, parent, world.tiny_onnx(5))
    with pytest.raises(Invalid, match="by which recipe is not on record"):
        ask(world, child)
    run = ask(world, child, recipe=world.recipe())
    assert (run.parent, run.recipe, run.rederives) == (parent, world.recipe(), child)
    assert (run.evaluation, run.calibration, run.plan_digest) == (None, None, None)
    with pytest.raises(Conflict, match="already"):
        ask(world, child, recipe=world.recipe())


def test_what_a_run_of_ours_made_takes_no_other_recipe(world: World) -> None:
    child = world.executed_child(world.version())
    with pytest.raises(Invalid, match="on record"):
        ask(world, child, recipe=world.recipe())


def test_a_lineage_that_names_no_one_parent_here_cannot_be_made_again(world: World) -> None:
    parent, other = world.version(), world.version(seed=2)
    outside = [EdgeSpec("base", parent_digest="sha256:" + "5" * 64)]
    merged = [EdgeSpec("merge-input", ["merged"], parent=row) for row in (parent, other)]
    taught = [EdgeSpec("base", ["distilled"], parent=parent), EdgeSpec("teacher", parent=other)]
    for seed, edges in enumerate((outside, merged, taught), start=10):
        with pytest.raises(Invalid, match="does not name one version here as its base"):
            ask(world, brought(world, parent, world.tiny_onnx(seed), edges=edges), recipe=world.recipe())


def test_the_recipe_does_what_the_lineage_says(world: World) -> None:
    parent = world.version()
    pruned = brought(world, parent, world.tiny_onnx(5), edges=[EdgeSpec("base", ["pruned"], parent=parent)])
    with pytest.raises(Invalid, match="lineage says pruned; the recipe does quantized"):
        ask(world, pruned, recipe=world.recipe())


def test_rows_are_stated_where_a_step_looks_at_them_and_stand_in_the_lineage(world: World) -> None:
    parent, rows = world.version(), world.arrays_dataset(uses=("calibration",))
    child = brought(world, parent, world.tiny_onnx(5))
    with pytest.raises(Invalid, match="No step of this recipe looks at data"):
        ask(world, child, recipe=world.recipe(), calibration=rows)
    step = {"method": "calibrate_temperature", "parameters": []}
    calibrated = world.recipe("calibrated", {"steps": [step], "seed": 0})
    loose = [EdgeSpec("base", parent=parent)]
    with pytest.raises(Invalid, match="needs calibration data"):
        ask(world, brought(world, parent, world.tiny_onnx(6), edges=loose), recipe=calibrated)
    with pytest.raises(Invalid, match="does not stand in the lineage"):
        ask(world, brought(world, parent, world.tiny_onnx(7), edges=loose), recipe=calibrated, calibration=rows)
    fed = [*loose, EdgeSpec("data", dataset_version=rows)]
    run = ask(world, brought(world, parent, world.tiny_onnx(8), edges=fed), recipe=calibrated, calibration=rows)
    assert run.calibration == rows


def test_comparing_with_weights_of_another_team_needs_the_right_to_download_them(
    world: World, outsider_team: Team
) -> None:
    parent = world.version()
    mal = world.person("mal", Role.VIEWER)
    grant_membership(actor=world.cast.root, person=mal, role=Role.ENGINEER, team=outsider_team)
    caller = Caller(actor_id=mal.pk, via="cli")
    model = world.model("theirs", actor=caller, team=outsider_team, owner=mal)
    child = brought(world, parent, world.tiny_onnx(5), model=model, actor=caller)
    with pytest.raises(Forbidden, match=r"version\.download"):
        services_replays.request_replay(actor=caller, version=child, recipe=world.recipe())


# --- made again by the real engine ---


def quickly(world: World, parent: ModelVersion) -> Run:
    """A run whose child is measured by little: what is made again is asked here, not what it is worth."""
    return requests.request_run(
        actor=world.cast.ada, model=parent.model, parent=parent, recipe=world.recipe(), evaluation=world.arrays_dataset(),
        plan={"type": "pressmark/evaluation_plan/1", "task": "embedding", "measures": ["size"]},
    )  # fmt: skip


@pytest.mark.usefixtures("committed_db")
def test_the_same_bytes_raise_the_grade_once_bring_evidence_and_stand_on_the_page(world: World) -> None:
    child = world.executed(quickly(world, world.version())).child
    assert child is not None
    assert grades(child) == {Grade.EXECUTED}
    answer = client(world, "ada").post(url(child))
    assert answer.status_code == 201, answer.content
    assert (answer.json()["kind"], answer.json()["outcome"]) == ("replay", None)
    run = world.executed(Run.objects.get(pk=answer.json()["id"]))
    assert run.state == "succeeded", queries.run_log(run)
    assert grades(child) == {Grade.REDERIVED}
    (document,) = replay_evidence(child)
    assert facts(document)["replay_outcome"] == "bit-exact"
    roles = {(row["role"], row["digest"]) for row in document["subjects"]}
    assert run.recipe is not None
    assert roles == {("version", child.digest), ("parent", run.parent.digest), ("recipe", run.recipe.digest)}
    kinds = [event["kind"] for event in events() if event["unit"] == events_of(run)[-1]["unit"]]
    assert kinds == ["evidence.attached", "edge.rederived", "run.succeeded"]
    listed = client(world, "otto").get(url(child)).json()["items"]
    assert [(row["outcome"], row["said"][:40]) for row in listed] == [
        ("bit-exact", "Made again, the model is the same to the")
    ]
    assert not Finding.objects.exists()
    assert [row.kind for row in queries.evidence_of_run(queries.get_run(world.cast.ada, run.pk))] == ["replay"]
    browser = Client()
    browser.force_login(world.cast.people["otto"])
    page = browser.get(f"/runs/{run.pk}/").content.decode()
    assert "the same to the byte" in page
    assert str(child) in page
    again = replayed(world, child)
    assert replays.outcome_of(again) == "bit-exact"
    assert "edge.rederived" not in [e["kind"] for e in events() if e["unit"] == events_of(again)[-1]["unit"]]
    later = world.executed(quickly(world, run.parent))
    assert later.child == child, "a later run of the same recipe finds the version that was re-derived"


@pytest.mark.usefixtures("committed_db")
def test_a_declared_origin_rises_to_rederived_and_a_wrong_one_is_named(world: World, tmp_path: Path) -> None:
    parent = world.version()
    content = made(world, parent, tmp_path)
    child = brought(world, parent, content)
    assert grades(child) == {Grade.DECLARED}
    body = {"recipe": f"{world.team.slug}/{world.recipe()}"}
    answer = client(world, "ada").post(url(child), body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    run = world.executed(Run.objects.get(pk=answer.json()["id"]))
    assert (run.state, replays.outcome_of(run)) == ("succeeded", "bit-exact"), queries.run_log(run)
    assert grades(child) == {Grade.REDERIVED}
    with pytest.raises(Invalid, match=r"has shown that the recipe .* is another one"):
        ask(world, child, recipe=world.recipe("another", {**HALF, "seed": 0}))
    assert not Finding.objects.exists()
    assert ask(world, child, recipe=world.recipe()).rederives == child
    liar = brought(world, parent, bent(content, 0.5))
    found = world.executed(ask(world, liar, recipe=world.recipe()))
    assert replays.outcome_of(found) == "differs"
    assert "the tensor '" in replays.said_of(found)
    assert grades(liar) == {Grade.DECLARED}
    assert ledger.compare() == []


def recorded(world: World, parent: ModelVersion, content: bytes, recipe: Recipe) -> ModelVersion:
    """A child of these bytes with the rows of a run that made it, without that run."""
    person, digest = world.cast.people["ada"], world.upload(content).digest
    worker = Caller(actor_id=system_actor().pk, via="worker", on_behalf_of=person.pk)
    run = world.run(parent, recipe=recipe, model=world.model())
    with unit(worker, role="system") as opened:
        child = services.add_derived_version(
            opened, model=run.model, parent=parent, files=[FileSpec("model.onnx", "weights", digest)],
            requested_by=person, operations=["quantized"],
        )  # fmt: skip
        Run.objects.filter(pk=run.pk).update(
            state="succeeded",
            attempt=1,
            started_at=opened.now,
            finished_at=opened.now,
            child=child,
            engine_version="0.2.0",
        )
        run.refresh_from_db()
        emit("run.succeeded", run, team=world.team.pk)
    return child


def made(world: World, parent: ModelVersion, folder: Path) -> bytes:
    """What the engine makes of the parent by the shipped recipe, without a run."""
    path = folder / "parent.onnx"
    path.write_bytes(storage.read_bytes(parent.artifacts.get(role="weights").digest))
    recipe = RecipeDocument.parse(queries.recipe_document(world.recipe()))
    return make(onnx_io.load(path), recipe, silent).model.SerializeToString(deterministic=True)


def bent(content: bytes, share: float) -> bytes:
    """The model with one number of the first tensor with a point moved by a share of the largest."""
    net = load_from_string(content)
    tensor = next(one for one in net.graph.initializer if numpy_helper.to_array(one).dtype == np.float32)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += np.abs(values).max() * share
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return net.SerializeToString(deterministic=True)


@pytest.mark.usefixtures("committed_db")
def test_an_altered_weight_a_hair_and_another_recipe_are_told_apart_and_the_tensor_is_named(
    world: World, tmp_path: Path
) -> None:
    parent = world.version()
    content = made(world, parent, tmp_path)
    altered = recorded(world, parent, bent(content, 0.5), world.recipe())
    run = replayed(world, altered)
    (document,) = replay_evidence(altered)
    name = facts(document)["worst_tensor"]
    assert (replays.outcome_of(run), facts(document)["replay_outcome"]) == ("differs", "differs")
    assert repr(name) in replays.said_of(run)
    assert grades(altered) == {Grade.EXECUTED}
    (finding,) = Finding.objects.all()
    assert (finding.kind, finding.owner, finding.about) == ("replay-differs", altered.model.owner, altered.pk)
    assert name in str(finding.description)
    replayed(world, altered)
    assert Finding.objects.count() == 1, "one finding, however often it is found"

    hair = recorded(world, parent, bent(content, 0.000002), world.recipe())
    run = replayed(world, hair)
    (document,) = replay_evidence(hair)
    assert (replays.outcome_of(run), facts(document)["replay_outcome"]) == ("within-tolerance", "within-tolerance")
    assert facts(document)["replay_tolerance"] == "0.00001"
    figures = {figure["metric"]: figure["value"] for figure in document["figures"] if not figure["slice"]}
    assert (figures["bit_exact"], figures["within_tolerance"]) == ("0", "1")
    assert grades(hair) == {Grade.REDERIVED}

    (step,) = queries.recipe_document(world.recipe())["steps"]
    other = world.recipe("other-field", {"steps": [step | {"method": "quantize_dynamic"}], "seed": 0})
    twin = recorded(world, parent, content, other)
    run = replayed(world, twin)
    assert replays.outcome_of(run) == "differs"
    (document,) = replay_evidence(twin)
    assert repr(facts(document)["worst_tensor"]) in replays.said_of(run)
    assert grades(twin) == {Grade.EXECUTED}


@pytest.mark.usefixtures("committed_db")
def test_bytes_that_changed_in_the_store_are_not_compared(world: World) -> None:
    child = world.executed_child(world.version())
    run = services_replays.request_replay(actor=world.cast.ada, version=child)
    path = storage.path_of(child.artifacts.get(role="weights").digest)
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    failed = world.executed(run)
    assert (failed.state, failed.failure_code) == ("failed", "bytes_differ")
    assert grades(child) == {Grade.EXECUTED}
