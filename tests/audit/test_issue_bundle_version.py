"""A bundle about one version: its model's stream whole, but documents, texts and statements of that version's story alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Version:
    """What the tables say about one version of the story, and what is in the bundle about it."""

    digest: str
    licence: str
    evidence: Mapping[str, str]
    verdicts: Mapping[str, str]
    files: dict[str, bytes]
    scope: set[str]

    @property
    def own_documents(self) -> set[str]:
        return {self.digest, *self.evidence.values(), *self.verdicts.values()}


@dataclass(frozen=True)
class Told:
    """Parent and child, and what belongs to the child's run or to both."""

    parent: Version
    child: Version
    model_stream: str
    model_entries: int
    streams_of_the_run: set[str]
    streams_of_both: set[str]
    secret_of_the_child: Text


_TOLD: list[Told] = []


@pytest.fixture
def told(world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path) -> Told:
    """Bundles about both versions of one story, built once."""
    if not _TOLD:
        parent, child = story
        run, stream = child.made_by_runs.get(), f"model:{parent.model_id}"
        _TOLD.append(
            Told(
                *(_version(world, version, tmp_path) for version in (parent, child)),
                stream,
                Entry.objects.filter(stream=stream).count(),
                {f"recipe:{run.recipe_id}", f"dataset:{run.evaluation.dataset_id}"},
                {f"monitor:{parent.model.monitors.get().pk}", f"use_case:{parent.model.use_case_id}"},
                Text.objects.get(pk=child.waivers.order_by("pk")[0].reason_id),
            )
        )
    return _TOLD[0]


def _version(world: World, version: ModelVersion, folder: Path) -> Version:
    bundle = about(world, version)
    files = files_of(bundle, folder)
    evidence = {str(row.pk): row.digest for row in version.evidence.all()}
    verdicts = {str(row.pk): row.digest for row in version.verdicts.all()}
    scope = scope_streams(bundle, files)
    return Version(version.digest, f"licence:{version.licence_id}", evidence, verdicts, files, scope)


def test_the_models_stream_is_whole_and_documents_of_other_versions_are_withheld_by_name(told: Told) -> None:
    files, of_child, of_parent = told.parent.files, told.child.own_documents, told.parent.own_documents
    numbers = [e["stream_seq"] for e in entries_of(files) if e["stream"] == told.model_stream]
    assert numbers == list(range(1, told.model_entries + 1))
    assert of_child - of_parent
    assert of_child - of_parent <= withheld(files)
    assert not (of_child - of_parent) & documents(files)
    assert of_parent <= documents(files)


def test_the_documents_of_its_ancestors_are_in(told: Told) -> None:
    assert withheld(told.child.files) == set()
    assert {told.child.digest, told.parent.digest, *told.parent.evidence.values()} <= documents(told.child.files)


def test_streams_that_only_other_versions_name_are_not_in_the_scope(told: Told) -> None:
    assert told.streams_of_the_run <= told.child.scope
    assert not told.streams_of_the_run & told.parent.scope
    for version in (told.parent, told.child):
        assert told.streams_of_both | {told.parent.licence} <= version.scope


def test_statements_are_about_this_version_alone(told: Told) -> None:
    for version, runs in ((told.parent, 0), (told.child, 1)):
        paths = {path for path in version.files if path.startswith("statements/")}
        assert len({path for path in paths if "/run-" in path}) == runs
        wanted = {f"statements/evidence-{key}.dsse.json" for key in version.evidence}
        assert {path for path in paths if "/evidence-" in path} == wanted
        wanted = {f"statements/verdict-{key}.dsse.json" for key in version.verdicts}
        assert {path for path in paths if "/verdict-" in path} == wanted


def test_texts_about_other_versions_stay_closed(told: Told) -> None:
    secret = told.secret_of_the_child
    assert str(secret.pk) in told.child.files["texts.json"].decode()
    assert str(secret.pk) not in told.parent.files["texts.json"].decode()
    assert base64.b64encode(bytes(secret.salt or b"")) not in told.parent.files["texts.json"]


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
