"""What a stranger does with a bundle: opens it, and judges it in a fresh process with what came from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from audit import bundles, checkpoints, keys, offline_verify, services
from audit.models import Bundle
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.events import Caller
from tests.world import World

YES = ["yes"] * 4


def issued(world: World, version: ModelVersion, **options: Any) -> Bundle:
    """A bundle about the model of a version, and the checkpoint that it waits for."""
    return sealed(world.cast.carla, version.model, **options)


def sealed(actor: Caller, model: RegisteredModel | None, **options: Any) -> Bundle:
    """A bundle about whatever is named, and the checkpoint that it waits for."""
    bundle = services.issue_bundle(actor=actor, model=model, **options)
    checkpoints.sign_next()
    return bundle


def built(bundle: Bundle, folder: Path, name: str = "bundle.zip") -> Path:
    return bundles.build(bundle, folder / name)


def opened(path: Path) -> dict[str, bytes]:
    """Every file of a bundle by path."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_of(bundle: Bundle, folder: Path) -> dict[str, bytes]:
    return opened(built(bundle, folder, "opened.zip"))


def entries_of(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files["log/entries.jsonl"].splitlines()]


def outside(folder: Path, note: bytes, key_line: str | None = None) -> list[str]:
    """What the recipient holds: a key line (of the log as it is now) and a checkpoint, as files of their own."""
    key, checkpoint = folder / "log.key", folder / "checkpoint"
    key.write_text((key_line or keys.log_signer().key_line) + "\n")
    checkpoint.write_bytes(note)
    return ["--key", str(key), "--checkpoint", str(checkpoint)]


def newest() -> bytes:
    """The checkpoint that was signed last."""
    return checkpoints.outside_notes()[-1]


def verifier(bundle: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and verdict of the product's verifier, with nothing of ours around it."""
    command = [sys.executable, "-I", offline_verify.__file__, str(bundle), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return done.returncode, json.loads(done.stdout)


def results(verdict: dict[str, Any]) -> list[str]:
    return [answer["result"] for answer in verdict["answers"]]
