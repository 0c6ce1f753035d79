"""Keys that change: every era is in a bundle, the same bundle is signed by the same key, and a dead key signs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit import bundles, eras, keys, services
from audit.models import Bundle
from registry.access.models import Text
from registry.catalog.models import ModelVersion
from registry.errors import Gone, Unavailable
from tests.audit.handed_over import (
    YES,
    built,
    entries_of,
    files_of,
    issued,
    newest,
    outside,
    results,
    sealed,
    verifier,
)  # fmt: skip
from tests.world import World
from tests.worlds.audit import Story


@pytest.fixture
def version(story: Story) -> ModelVersion:
    return story[0]


def judged(bundle: Bundle, folder: Path, key_line: str | None = None) -> tuple[int, list[str]]:
    code, verdict = verifier(built(bundle, folder, f"{bundle.pk}.zip"), *outside(folder, newest(), key_line))
    return code, results(verdict)


def test_every_era_is_in_it_with_its_entry_and_its_note(world: World, version: ModelVersion, tmp_path: Path) -> None:
    first_key = keys.log_signer().key_line
    world.rotate_keys()
    world.rotate_keys()
    bundle = issued(world, version)
    files = files_of(bundle, tmp_path)
    began = [era.first for era in eras.read()]
    assert len(began) == 3
    assert {p for p in files if p.startswith("keys/keys-")} == {f"keys/keys-{first}.note" for first in began}
    assert [e["event"]["kind"] for e in entries_of(files) if e["event"]["kind"] in eras.KINDS] == [
        "ledger.created", "key.rotated", "key.rotated",
    ]  # fmt: skip
    assert files["keys/log.key"].decode().strip() == keys.log_signer().key_line
    for known in (first_key, keys.log_signer().key_line):
        assert judged(bundle, tmp_path, known) == (0, YES)


def test_a_rotation_after_the_scope_was_taken_but_below_the_checkpoint_is_in_it(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    bundle = services.issue_bundle(actor=world.cast.carla, model=version.model)
    world.rotate_keys()
    world.checkpoint()
    files = files_of(bundle, tmp_path)
    last = eras.read()[-1]
    assert files[f"keys/keys-{last.first}.note"] == last.note
    assert judged(bundle, tmp_path) == (0, YES)


def test_the_same_bundle_has_the_same_bytes_after_later_rotations(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    for bundle in (issued(world, version), sealed(world.officer(), None)):
        first = built(bundle, tmp_path, "first.zip").read_bytes()
        world.rotate_keys()
        world.checkpoint()
        assert built(bundle, tmp_path, "second.zip").read_bytes() == first


def test_what_was_issued_before_a_revocation_is_gone_and_says_what_to_do(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    bundle = issued(world, version)
    world.revoke_keys()
    with pytest.raises(Gone, match="revoked") as refused:
        built(bundle, tmp_path)
    assert refused.value.status == 410
    assert "Issue a new bundle" in refused.value.hint
    assert bundles.readiness(bundle).state == bundles.GONE
    again = issued(world, version)
    assert judged(again, tmp_path) == (0, YES)


def test_a_bundle_from_before_an_earlier_rotation_outlives_a_revocation(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    bundle = issued(world, version)
    first = built(bundle, tmp_path, "first.zip").read_bytes()
    world.rotate_keys()
    world.revoke_keys()
    assert built(bundle, tmp_path, "second.zip").read_bytes() == first


def test_an_old_key_that_was_not_kept_is_named_and_a_new_bundle_is_the_way(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    bundle = issued(world, version)
    world.rotate_keys()
    (keys.folder() / "issuer.key").unlink()
    keys.forget()
    with pytest.raises(Gone, match=r"issuer\.key") as refused:
        built(bundle, tmp_path)
    assert "Issue a new bundle" in refused.value.hint
    assert judged(issued(world, version), tmp_path) == (0, YES)


def test_the_key_in_force_that_is_lost_is_no_reason_for_a_new_bundle(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    bundle = issued(world, version)
    (keys.folder() / "issuer.key").unlink()
    keys.forget()
    with pytest.raises(Unavailable, match="issuer key") as refused:
        built(bundle, tmp_path)
    assert "backup" in refused.value.hint


def test_a_restored_ledger_hands_out_old_and_new_bundles(world: World, version: ModelVersion, tmp_path: Path) -> None:
    old, known = issued(world, version), keys.log_signer().key_line
    first = built(old, tmp_path, "first.zip").read_bytes()
    world.reopen_ledger()
    assert built(old, tmp_path, "second.zip").read_bytes() == first
    assert judged(issued(world, version), tmp_path, known) == (0, YES)


def test_a_copy_signs_nothing_of_the_ledger_that_it_was_copied_from(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    old = issued(world, version)
    world.reopen_ledger(copied=True)
    with pytest.raises(Gone, match="copy of") as refused:
        built(old, tmp_path)
    assert "Ask that installation" in refused.value.hint
    assert judged(issued(world, version), tmp_path) == (0, YES)


def test_why_keys_were_changed_is_told_to_who_gets_everything_only(
    world: World, version: ModelVersion, tmp_path: Path
) -> None:
    world.revoke_keys()
    reason = str(Text.objects.get(value="The keys were stolen.").pk)
    assert reason not in files_of(issued(world, version), tmp_path)["texts.json"].decode()
    assert reason in files_of(sealed(world.officer(), None), tmp_path)["texts.json"].decode()
