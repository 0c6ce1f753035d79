"""A bundle of the whole installation: every entry, document and text; issued and had only with a role in the whole of it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from audit import bundles, queries, scopes, services
from audit.bundles import packing
from audit.models import Bundle, Entry
from registry.access import services as access
from registry.access.models import Role, Text
from registry.catalog.models import ModelVersion
from registry.digests import hex_of
from registry.errors import Conflict, Forbidden, NotFound
from tests.audit.handed_over import YES, built, entries_of, files_of, newest, outside, results, sealed, verifier
from tests.world import World, as_caller
from tests.worlds.audit import tamper


def everything(world: World, **options: bytes) -> Bundle:
    return sealed(world.officer(), None, **options)


def test_a_stranger_gets_four_times_yes_about_everything(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    early = world.checkpoint().note.encode()
    world.version(seed=5)
    target = built(everything(world, checkpoint=early), tmp_path)
    for note in (early, newest()):
        code, verdict = verifier(target, *outside(tmp_path, note))
        assert (code, results(verdict)) == (0, YES), verdict
        assert verdict["notes"] == []


def test_every_entry_and_every_stream_is_in_it(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    other = world.version(seed=5)
    bundle = everything(world)
    files = files_of(bundle, tmp_path)
    stored = [bytes(e) for e in Entry.objects.order_by("position").values_list("entry", flat=True)]
    assert files["log/entries.jsonl"] == b"".join(entry + b"\n" for entry in stored)
    scope = json.loads(files["documents/" + hex_of(bundle.scope_digest)])
    assert scope["size"] == len(stored) - 1
    named = {end["stream"]: end["last_seq"] for end in scope["ends"]}
    assert named == {e["stream"]: e["stream_seq"] for e in entries_of(files)[: scope["size"]]}
    assert f"documents/{hex_of(other.digest)}" in files


def test_statements_are_about_every_model_and_every_text_is_open(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    other = world.version(seed=5)
    row = world.evidence(other, "size", [])
    files = files_of(everything(world), tmp_path)
    mine = [e.pk for v in story for e in v.evidence.all()]
    assert {f"statements/evidence-{key}.dsse.json" for key in (*mine, row.pk)} <= set(files)
    texts = {text["id"] for text in json.loads(files["texts.json"])["texts"]}
    assert texts == {str(key) for key in Text.objects.filter(value__isnull=False).values_list("pk", flat=True)}


def test_only_who_answers_for_the_whole_of_it_issues_it(world: World) -> None:
    officer_of_one_team = world.cast.carla
    stored = sorted(Path(settings.PRESSMARK_STORE).rglob("*"))
    for person in (world.cast.ada, world.cast.root, world.cast.eve, officer_of_one_team):
        with pytest.raises(Forbidden):
            services.issue_bundle(actor=person, model=None)
    assert not Bundle.objects.exists()
    assert sorted(Path(settings.PRESSMARK_STORE).rglob("*")) == stored
    assert services.issue_bundle(actor=world.officer(), model=None).subject == "instance"


def test_members_of_one_team_never_get_it(world: World) -> None:
    world.version()
    rhea = world.person("rhea")
    year = timezone.now() + datetime.timedelta(days=365)
    access.grant_membership(actor=world.cast.root, person=rhea, role=Role.COMPLIANCE_OFFICER, team=None)
    bundle = sealed(as_caller(rhea), None)
    for person in (world.cast.ada, world.cast.omar, world.cast.otto, world.cast.carla, world.cast.eve):
        with pytest.raises(NotFound):
            queries.get_bundle(person, bundle.pk)
        assert bundle not in queries.readable_bundles(person)
        assert not queries.bundles_of_instance(person).exists()
    eve = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=eve, role=Role.AUDITOR, team=None, expires_at=year)
    assert queries.get_bundle(world.cast.eve, bundle.pk) == bundle
    assert list(queries.readable_bundles(world.cast.eve)) == [bundle]


def test_an_entry_that_was_changed_in_the_table_stops_the_build_and_is_named(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    bundle = everything(world)
    entry = bytes(Entry.objects.get(position=9).entry).replace(b'"via":"cli"', b'"via":"api"')
    tamper("audit_entry", "UPDATE audit_entry SET entry = %s WHERE position = 9", [entry])
    with pytest.raises(Conflict, match="position 9 is not the one that was sealed"):
        built(bundle, tmp_path)
    assert list(tmp_path.glob("*bundle.zip*")) == []


def test_a_missing_entry_stops_the_build(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    bundle = everything(world)
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = 9")
    with pytest.raises(Conflict, match="position 9 is missing"):
        built(bundle, tmp_path)


def test_a_stream_more_than_was_sealed_stops_the_build(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    bundle = everything(world)
    tamper("audit_entry", "UPDATE audit_entry SET stream = 'team:0' WHERE position = 9")
    with pytest.raises(Conflict, match="no longer"):
        built(bundle, tmp_path)


def test_more_than_a_bundle_can_hold_is_refused_with_a_way_out(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = everything(world)
    for limit in ("FILES_LIMIT", "BYTES_LIMIT"):
        with monkeypatch.context() as patch:
            patch.setattr(packing, limit, 20)
            with pytest.raises(Conflict, match="would hold") as refused:
                built(bundle, tmp_path)
            assert "single models or versions" in refused.value.hint
    assert bundles.readiness(bundle).state == bundles.READY
    built(bundle, tmp_path)


@pytest.mark.parametrize("what", ["model", "version", "instance"])
def test_what_would_not_fit_is_refused_before_it_is_sealed(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What a bundle of the same turned out to hold is the limit: a little less, and nothing is issued."""
    officer = world.officer()
    version = story[1] if what == "version" else None

    def issue() -> Bundle:
        return sealed(officer, None if what == "instance" else story[1].model, version=version)

    files = files_of(issue(), tmp_path)
    size_bytes = sum(
        len(data) for path, data in files.items() if path.startswith(("documents/", "log/entries", "texts"))
    )
    for limit, value in (("FILES_LIMIT", len(files) - 3), ("BYTES_LIMIT", size_bytes)):
        with monkeypatch.context() as patch:
            patch.setattr(packing, limit, value)
            count = Bundle.objects.count(), Entry.objects.count()
            with pytest.raises(Conflict, match="would hold") as refused:
                issue()
            assert refused.value.code == "too-large"
            assert (Bundle.objects.count(), Entry.objects.count()) == count
    with monkeypatch.context() as patch:
        patch.setattr(packing, "FILES_LIMIT", len(files) + (what == "instance"))  # the scope of the first is in it
        assert built(issue(), tmp_path).is_file()


def test_a_ledger_whose_proofs_alone_would_not_fit_is_refused_without_reading_it(
    world: World, story: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = world.officer()
    size = Entry.objects.count()
    monkeypatch.setattr(packing, "BYTES_LIMIT", 67 * (size.bit_length() - 1) * (1 << size.bit_length() - 1) - 1)
    monkeypatch.setattr("audit.bundles.log.entries_at", None)
    with pytest.raises(Conflict, match="would hold"):
        services.issue_bundle(actor=officer, model=None)


def test_the_sealed_scope_says_what_is_built_whatever_a_newer_walk_would_find(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = sealed(world.cast.carla, story[0].model)
    first = built(bundle, tmp_path, "first.zip").read_bytes()
    monkeypatch.setattr("audit.snapshots.streams_named", lambda *args: [])
    assert len(scopes.of_model(story[0].model).ends) < len(scopes.sealed(bundle).ends)
    assert built(bundle, tmp_path, "second.zip").read_bytes() == first
