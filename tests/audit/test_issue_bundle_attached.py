"""Attached files and profiles of data, in bundles: the team's own go along, those of other teams are named as withheld."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit import keys
from audit.bundles.about import About
from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.edges import EdgeSpec
from registry.compression import profiling
from registry.compression.services_profiles import request_profile
from registry.events import Caller
from registry.oversight.subjects import of_dataset_version, of_version
from registry.provenance.models import DatasetVersion, Document
from registry.provenance.services_documents import attach_document
from registry.provenance.subjects import Subject
from tests.audit.both import agreed, opinions
from tests.audit.handed_over import YES, built, files_of, newest, outside, results, sealed, verifier
from tests.world import World


def attached(world: World, subject: Subject, data: bytes, actor: Caller) -> Document:
    digest = world.upload(data, actor=actor).digest
    return attach_document(actor=actor, subject=subject, kind="legal-opinion", digest=digest, title="Opinion")


@pytest.fixture
def officer_elsewhere(world: World) -> Caller:
    """Somebody who registers data in a team of their own, and reads in ours."""
    team = access.create_team(actor=world.cast.root, slug="elsewhere")
    person = world.person("erik", Role.VIEWER)
    access.grant_membership(actor=world.cast.root, person=person, role=Role.ENGINEER, team=team)
    for name in ("ada", "carla"):
        access.grant_membership(actor=world.cast.root, person=world.cast.people[name], role=Role.VIEWER, team=team)
    return Caller(actor_id=person.pk, via="cli")


def profiled(rows: DatasetVersion, actor: Caller) -> str:
    """The digest of what the real engine counted in some rows."""
    row = request_profile(actor=actor, dataset_version=rows)
    assert profiling.execute(row.pk)
    row.refresh_from_db()
    return str(row.digest)


def test_own_files_go_along_and_those_of_other_teams_are_withheld_and_both_verifiers_agree(
    world: World, officer_elsewhere: Caller, tmp_path: Path
) -> None:
    foreign = world.dataset("theirs", actor=officer_elsewhere, team=Team.objects.get(slug="elsewhere"))
    theirs = world.dataset_version(dataset=foreign, actor=officer_elsewhere)
    ours = world.dataset_version(slug="ours")
    edges = [EdgeSpec("data", dataset_version=rows) for rows in (theirs, ours)]
    version = world.version(world.model("told"), edges=edges)
    other = world.version(version.model, seed=5)
    counted, ours_counted = profiled(theirs, officer_elsewhere), profiled(ours, world.cast.ada)
    secret = attached(world, of_dataset_version(theirs), b"Only for us.\n", officer_elsewhere)
    open_ = [attached(world, of_dataset_version(ours), b"For everybody.\n", world.cast.ada)]
    open_ += [attached(world, of_version(version), b"%PDF-1 told", world.cast.ada)]
    of_other = attached(world, of_version(other), b"%PDF-1 other", world.cast.ada)
    for narrowed, left_out in ((None, {secret.digest, counted}), (version, {secret.digest, counted, of_other.digest})):
        bundle = sealed(world.cast.carla, version.model, version=narrowed)
        files = files_of(bundle, tmp_path)
        rows = json.loads(files["not_included.json"])["documents"]
        withheld = {row["digest"] for row in rows}
        assert left_out <= withheld
        assert not withheld & {ours_counted, *(row.digest for row in open_)}
        assert b"Only for us." not in b"".join(files.values())
        assert {f"documents/{row.digest[7:]}" for row in open_} <= set(files)
        target = built(bundle, tmp_path, f"{narrowed}.zip".replace("/", "-"))
        code, verdict = verifier(target, *outside(tmp_path, newest()))
        assert (code, results(verdict)) == (0, YES), verdict
        judged = opinions(target, keys=[keys.log_signer().key_line], checkpoint=newest())
        assert agreed(*judged).exit_code == 0


def test_nothing_else_is_withheld_from_a_bundle_about_a_model(world: World, tmp_path: Path) -> None:
    """A file attached to the model itself is no foreign one: a bundle that withholds it is a no, for both."""
    version = world.version()
    row = attached(world, of_version(version), b"%PDF-1 told", world.cast.ada)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(About, "_is_foreign_file", lambda self, event: event["kind"] == "document.attached")
        target = built(sealed(world.cast.carla, version.model), tmp_path)
    code, verdict = verifier(target, *outside(tmp_path, newest()))
    assert code == 1
    assert f"{row.digest} may not be withheld" in str(verdict)
    judged = opinions(target, keys=[keys.log_signer().key_line], checkpoint=newest())
    assert agreed(*judged).exit_code == 1
