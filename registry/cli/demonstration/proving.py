"""Acts 8 and 9: assessment, report, bundle; then a stranger checks the bundle in a process of his own."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from registry.cli.demonstration.making import MODEL
from registry.cli.demonstration.narrator import Narrator
from registry.cli.demonstration.people import TEAM, People
from registry.cli.demonstration.stage import DemoFailed, Stage
from registry.client import ApiError

_PENDING_SECONDS = 120


def assess(stage: Stage, people: People, tell: Narrator) -> dict[str, Any]:
    """Act 8, first half: all 72 subcategories, computed from the records; report as PDF and JSON."""
    carla = people["carla"]
    issued: dict[str, Any] = carla.post(f"teams/{TEAM}/models/{MODEL}/assessments")
    rows = issued["document"]["requirements"]
    counts = Counter(row["status"] for row in rows)
    tell.say(f"{len(rows)} subcategories: " + ", ".join(f"{n} {word}" for word, n in counts.most_common()))
    report = carla.post(f"assessments/{issued['id']}/reports")
    target = stage.folder / "report.pdf"
    carla.download(f"reports/{report['id']}/report.pdf", target, report["pdf_digest"])
    carla.download(f"reports/{report['id']}/report.json", stage.folder / "report.json", report["json_digest"])
    tell.say(f"report: {target}")
    return {"total": len(rows), "counts": dict(counts), "path": target}


def bundle(stage: Stage, people: People, tell: Narrator) -> Path:
    """Act 8, second half: the bundle, as soon as a checkpoint covers the entry that sealed it."""
    carla = people["carla"]
    held = (stage.outside / "checkpoint").read_text()
    issued = carla.post(f"teams/{TEAM}/models/{MODEL}/bundles", {"checkpoint": held})
    target = stage.folder / "bundle.zip"
    deadline = time.monotonic() + _PENDING_SECONDS
    while True:
        try:
            carla.download(f"bundles/{issued['id']}/bundle.zip", target)
            break
        except ApiError as error:
            if error.status != 503:
                raise
        if time.monotonic() > deadline:
            raise DemoFailed("no checkpoint covered the bundle in time; is the keeper running?")
        time.sleep(0.3)
    tell.say(f"bundle: {target}, {target.stat().st_size / 1e6:.1f} MB")
    return target


def keep_outside(stage: Stage, tell: Narrator) -> None:
    """What a recipient keeps where the operator cannot reach it: the log's key line (since set-up) and today's checkpoint."""
    checkpoint = stage.outside / "checkpoint"
    shutil.copy(stage.home / "checkpoints" / "latest.note", checkpoint)
    size = checkpoint.read_text().splitlines()[1]
    tell.say(f"a recipient keeps the checkpoint over {size} entries outside; what comes later must continue it")


def verify(stage: Stage, path: Path, tell: Narrator) -> dict[str, int]:
    """Act 9: intact; one byte changed; without key and checkpoint; and openssl, where it is installed."""
    key, checkpoint = stage.outside / "log.key", stage.outside / "checkpoint"
    known = ["--key", str(key), "--checkpoint", str(checkpoint)]
    codes = {"verifier_intact": _verifier(stage, path, known, tell, "intact")}
    tampered = stage.folder / "bundle-tampered.zip"
    _change_one_byte(path, tampered)
    codes["verifier_tampered"] = _verifier(stage, tampered, known, tell, "one byte changed")
    codes["verifier_unknown"] = _verifier(stage, path, [], tell, "without key and checkpoint")
    if list(codes.values()) != [0, 1, 3]:
        raise DemoFailed(f"the verifier answered {codes}; 0, 1 and 3 were expected")
    _openssl(stage, path, tell)
    return codes


def _verifier(stage: Stage, path: Path, known: list[str], tell: Narrator, what: str) -> int:
    done = stage.pressmark("verify", str(path), *known, "--json", allowed=(0, 1, 3))
    verdict = json.loads(done.stdout)
    answers = ", ".join(f"{a['answer']}: {a['result']}" for a in verdict["answers"])
    tell.say(f"{what}: exit {done.returncode} ({answers})")
    if done.returncode == 1:
        reasons = [r for a in verdict["answers"] if a["result"] == "no" for r in a["reasons"]]
        for reason in reasons[:3]:
            tell.say(f"    {reason}")
    return done.returncode


def _change_one_byte(source: Path, target: Path) -> None:
    """Flip one bit in the middle of the log's entries: an act, reworded."""
    data = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        info = archive.getinfo("log/entries.jsonl")
    begin = info.header_offset + 30 + len(info.filename)
    data[begin + info.file_size // 2] ^= 0x01
    target.write_bytes(bytes(data))


def _openssl(stage: Stage, path: Path, tell: Narrator) -> None:
    if shutil.which("openssl") is None:
        tell.say("openssl is not installed; the same signature was not checked with it")
        return
    folder = stage.folder / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(path) as archive:
        for name in ("manifest.json", "manifest.sig", "keys/issuer.pem"):
            archive.extract(name, folder)
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "keys/issuer.pem",
               "-in", "manifest.json", "-sigfile", "manifest.sig"]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoFailed(f"openssl refuses the manifest's signature: {done.stdout} {done.stderr}")
    tell.say(f"openssl on manifest.json and manifest.sig: {done.stdout.strip()}")


def ledger_state(stage: Stage) -> dict[str, Any]:
    """Size and root, after recomputing the whole ledger and comparing every table with it."""
    done = stage.pressmark("verify-ledger", "--json", allowed=(0, 1))
    said: dict[str, Any] = json.loads(done.stdout)
    if not said["ok"]:
        raise DemoFailed(f"verify-ledger found: {said['flaws'][:3]} {said['differences'][:3]}")
    return said
