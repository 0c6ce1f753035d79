"""The second verifier on what the product itself issues: bundles of every subject and completed receipts, out of real acts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from audit import bundles, keys, offline_verify, receipt_proofs, services
from registry.catalog.models import ModelVersion
from registry.events import last_unit
from tests.audit.both import agreed, opinions
from tests.audit.handed_over import built, newest, sealed
from tests.world import World

REPOSITORY = Path(__file__).parents[2]


def exit_of(path: Path, *, key: str | None = None, checkpoint: bytes | None = None) -> int:
    line = key or keys.log_signer().key_line
    return agreed(*opinions(path, keys=[line], checkpoint=checkpoint or newest())).exit_code


def test_a_model_one_version_and_the_whole_instance_get_four_yes_from_both(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    early = world.checkpoint().note.encode()
    parent, child = story
    assessment = services.issue_assessment(actor=world.cast.carla, model=parent.model)
    services.issue_report(actor=world.cast.carla, assessment=assessment)
    issued = {
        "model": sealed(world.cast.carla, parent.model, checkpoint=early),
        "version": sealed(world.cast.carla, child.model, version=child, checkpoint=early),
        "instance": sealed(world.officer(), None, checkpoint=early),
    }
    for name, bundle in issued.items():
        path = built(bundle, tmp_path, f"{name}.zip")
        assert agreed(*opinions(path, keys=[keys.log_signer().key_line])).exit_code == 3
        assert exit_of(path, checkpoint=early) == 0
        data = bytearray(path.read_bytes())
        data[data.index(b'"kind":"run.requested"') + 9] ^= 1
        (tmp_path / "changed.zip").write_bytes(data)
        assert exit_of(tmp_path / "changed.zip", checkpoint=early) == 1
    assert exit_of(tmp_path / "instance.zip") == 0  # the newest checkpoint is its own


def test_rotated_revoked_and_reopened_ledgers_get_the_same_answers_for_each_key(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    """A key leads over a rotation and a restored ledger, and ends at a revocation and at a copy."""
    known = [keys.log_signer().key_line]
    expected: list[int] = []
    for change, ends in (
        (world.rotate_keys, False),
        (world.revoke_keys, True),
        (world.reopen_ledger, False),
        (lambda: world.reopen_ledger(copied=True), True),
    ):
        change()
        expected = [3 if ends else before for before in [*expected, 0]]
        bundle = sealed(world.cast.carla, story[0].model)
        path = bundles.build(bundle, tmp_path / f"{len(known)}.zip")
        assert [exit_of(path, key=key) for key in known] == expected
        known.append(keys.log_signer().key_line)
        assert exit_of(path) == 0


def test_a_completed_receipt_gets_four_yes_from_both_alone_and_beside_a_bundle(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    world.version(seed=9)
    unit = last_unit()
    assert unit is not None
    assert unit.receipt
    world.checkpoint()
    done = receipt_proofs.complete(world.cast.root, unit.receipt.encode())
    for name, data in done.files().items():
        (tmp_path / "receipt" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "receipt" / name).write_bytes(data)
    assert exit_of(tmp_path / "receipt", checkpoint=done.checkpoint.note.encode()) == 0
    path = built(sealed(world.officer(), None), tmp_path)
    known = {"keys": [keys.log_signer().key_line], "checkpoint": newest()}
    for receipt in (tmp_path / "receipt", unit.receipt.encode()):
        assert agreed(*opinions(path, **known, receipts=[receipt])).exit_code == 0


def test_from_a_shell_both_end_with_the_same_status(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    path = str(built(sealed(world.cast.carla, story[0].model), tmp_path))
    key, checkpoint, empty = (tmp_path / name for name in ("known.keys", "checkpoint", "empty.keys"))
    key.write_text(f"# of the log\n\n{keys.log_signer().key_line}  since spring\n")
    checkpoint.write_bytes(newest())
    empty.write_text("# nothing yet\n")
    for arguments, expected in {
        (path, "--key", str(key), "--checkpoint", str(checkpoint)): 0,
        (path, "--key", keys.log_signer().key_line): 3,
        (str(key), "--key", str(key)): 1,
        (path, "--key", str(empty)): 2,
        (path, "--checkpoint", str(key)): 2,
        (str(tmp_path / "nowhere.zip"),): 2,
        (str(tmp_path), "--not-before", "2026-01-02"): 2,
    }.items():
        first = [sys.executable, "-I", offline_verify.__file__, *arguments]
        second = [sys.executable, "-m", "tests.audit.second_verifier", *arguments]
        ends = [subprocess.run(c, cwd=REPOSITORY, capture_output=True, check=False).returncode for c in (first, second)]
        assert ends == [expected, expected], arguments
