"""A bundle about one version: its model's stream whole, but documents, texts and statements of that version's story alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit import services
from audit.models import Bundle, Entry
from registry.access.models import Text
from registry.catalog.models import ModelVersion
from registry.digests import hex_of
from registry.errors import Invalid
from tests.audit.handed_over import YES, built, entries_of, files_of, newest, opened, outside, results, sealed, verifier
from tests.world import World


@pytest.fixture
def story(world: World) -> tuple[ModelVersion, ModelVersion]:
    return world.story()


def about(world: World, version: ModelVersion, **options: Any) -> Bundle:
    return sealed(world.cast.carla, version.model, version=version, **options)


def withheld(files: dict[str, bytes]) -> set[str]:
    rows = json.loads(files["not_included.json"])["documents"]
    assert {row["reason"] for row in rows} <= {"withheld"}
    return {row["digest"] for row in rows}


def documents(files: dict[str, bytes]) -> set[str]:
    return {"sha256:" + path.partition("/")[2] for path in files if path.startswith("documents/")}


def scope_streams(bundle: Bundle, files: dict[str, bytes]) -> set[str]:
    scope = json.loads(files["documents/" + hex_of(bundle.scope_digest)])
    return {end["stream"] for end in scope["ends"]}


def test_a_stranger_gets_four_times_yes_about_one_version(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    for version in story:
        target = built(about(world, version), tmp_path, f"{version.number}.zip")
        code, verdict = verifier(target, *outside(tmp_path, newest()))
        assert (code, results(verdict)) == (0, YES), verdict


def test_the_models_stream_is_whole_and_documents_of_other_versions_are_withheld_by_name(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    parent, child = story
    files = files_of(about(world, parent), tmp_path)
    numbers = [e["stream_seq"] for e in entries_of(files) if e["stream"] == f"model:{parent.model_id}"]
    assert numbers == list(range(1, Entry.objects.filter(stream=f"model:{parent.model_id}").count() + 1))
    of_child = {child.digest, *child.evidence.values_list("digest", flat=True)}
    of_child |= set(child.verdicts.values_list("digest", flat=True))
    of_parent = {parent.digest, *parent.evidence.values_list("digest", flat=True)}
    of_parent |= set(parent.verdicts.values_list("digest", flat=True))
    assert of_child - of_parent <= withheld(files)
    assert not of_child - of_parent & documents(files)
    assert of_parent <= documents(files)


def test_the_documents_of_its_ancestors_are_in(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    parent, child = story
    files = files_of(about(world, child), tmp_path)
    assert withheld(files) == set()
    assert {parent.digest, child.digest, *parent.evidence.values_list("digest", flat=True)} <= documents(files)


def test_streams_that_only_other_versions_name_are_not_in_the_scope(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    parent, child = story
    run = child.made_by_runs.get()
    bundles = {v.number: about(world, v) for v in story}
    scopes = {n: scope_streams(b, files_of(b, tmp_path)) for n, b in bundles.items()}
    recipe, rows = f"recipe:{run.recipe_id}", f"dataset:{run.evaluation.dataset_id}"
    assert {recipe, rows} <= scopes[2]
    assert not {recipe, rows} & scopes[1]
    for both in scopes.values():
        assert f"monitor:{parent.model.monitors.get().pk}" in both
        assert f"use_case:{parent.model.use_case_id}" in both
        assert f"licence:{parent.licence_id}" in both


def test_statements_are_about_this_version_alone(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    parent, child = story
    of_parent, of_child = (
        {p for p in files_of(about(world, v), tmp_path) if p.startswith("statements/")} for v in (parent, child)
    )
    assert {p for p in of_parent if "/run-" in p} == set()
    assert len({p for p in of_child if "/run-" in p}) == 1
    for version, paths in ((parent, of_parent), (child, of_child)):
        wanted = {f"statements/evidence-{e.pk}.dsse.json" for e in version.evidence.all()}
        assert {p for p in paths if "/evidence-" in p} == wanted
        wanted = {f"statements/verdict-{v.pk}.dsse.json" for v in version.verdicts.all()}
        assert {p for p in paths if "/verdict-" in p} == wanted


def test_texts_about_other_versions_stay_closed(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    parent, child = story
    secret = Text.objects.get(pk=child.waivers.order_by("pk")[0].reason_id)
    of_parent, of_child = (files_of(about(world, v), tmp_path) for v in (parent, child))
    assert str(secret.pk) in of_child["texts.json"].decode()
    assert str(secret.pk) not in of_parent["texts.json"].decode()
    assert bytes(secret.salt or b"").hex() not in of_parent["texts.json"].hex()


def test_a_run_that_made_nothing_of_this_version_keeps_its_log_to_itself(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    other = world.version(story[0].model, seed=77)
    files = files_of(about(world, other), tmp_path)
    assert {story[0].digest, story[1].digest} <= withheld(files)
    assert other.digest in documents(files)


def test_the_model_has_its_report_in_the_bundle_of_a_version_too(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    assert not [p for p in files_of(about(world, story[1]), tmp_path) if p.startswith("report.")]
    assessment = services.issue_assessment(actor=world.cast.carla, model=story[1].model)
    services.issue_report(actor=world.cast.carla, assessment=assessment)
    target = built(about(world, story[1]), tmp_path)
    assert {"report.csv", "report.json", "report.pdf"} <= set(opened(target))
    code, verdict = verifier(target, *outside(tmp_path, newest()))
    assert (code, results(verdict)) == (0, YES), verdict


def test_a_version_of_another_model_is_refused(world: World, story: tuple[ModelVersion, ModelVersion]) -> None:
    other = world.version(seed=5)
    with pytest.raises(Invalid, match="another model"):
        services.issue_bundle(actor=world.cast.carla, model=story[0].model, version=other)
    assert not Bundle.objects.exists()
