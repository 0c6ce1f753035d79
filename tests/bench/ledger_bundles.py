"""How long bundles take: 500 items, and the whole of an installation of 20,000 entries; each built in processes of its own.

The installation is a real one, in a temporary folder, with the product's own settings. One process fills it, others build: so that
the memory is that of building alone, and so that the same bundle is seen to have the same bytes in every process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.harness import Row, at_most
from tests.own_memory import peak_bytes

ROOT = Path(__file__).resolve().parents[2]
ITEMS, ITEMS_LIMIT_SECONDS = 500, 1.0
ENTRIES, QUICK_ENTRIES = 20_000, 2_000
INSTANCE_LIMIT_SECONDS, INSTANCE_LIMIT_MEBIBYTES = 60.0, 400.0
_UNIT_EVENTS = 4_000


def bundle_rows(quick: bool) -> list[Row]:
    """Every figure about building bundles. `quick`: fewer rounds and a smaller installation."""
    rounds, entries = (3, QUICK_ENTRIES) if quick else (9, ENTRIES)
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        ids = call(home, "fill", str(entries), str(ITEMS))
        items = call(home, "build", ids["model"], str(rounds))
        whole = [call(home, "build", ids["instance"], "1") for _ in range(2)]
        again = call(home, "build", ids["model"], "1")
        exits = [verify(home, built["path"]) for built in (items, *whole)]
    seconds = [built["seconds"][0] for built in whole]
    differing = sum(a["digest"] != b["digest"] for a, b in ((items, again), (whole[0], whole[1])))
    spread = statistics.stdev(items["seconds"])
    said = f"{whole[0]['entries']} entries, {whole[0]['files']} files, {whole[0]['size_bytes'] / 1e6:.0f} MB"
    seconds_said = f"bundle of {items['items']} items (entries and documents), built"
    middle, slowest, apart = statistics.median(items["seconds"]), max(seconds), abs(seconds[0] - seconds[1])
    most = max(built["mebibytes"] for built in whole)
    refused = sum(code != 0 for code in exits)
    return [
        at_most("bundle.items", seconds_said, middle, ITEMS_LIMIT_SECONDS, "s", rounds, spread),
        at_most(
            "bundle.instance", f"bundle of everything ({said}), built", slowest, INSTANCE_LIMIT_SECONDS, "s", 2, apart
        ),
        at_most("bundle.instance_memory", "the most memory that took", most, INSTANCE_LIMIT_MEBIBYTES, "MiB", 2),
        at_most("bundle.same_bytes", "bundles whose bytes differed between processes", differing, 0, "bundles", 2),
        at_most("bundle.verified", "bundles that the offline verifier refused", refused, 0, "bundles", len(exits)),
    ]


def call(home: Path, *words: str) -> dict[str, Any]:
    """What a process of its own answers in the installation at `home`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.ledger_bundles", *words],
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "registry.settings",
            "PRESSMARK_HOME": str(home),
        },
        cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def verify(home: Path, path: str) -> int:
    """Exit status of the offline verifier, with the key line and the checkpoint of this installation."""
    known = ["--key", str(home / "log.line"), "--checkpoint", str(home / "checkpoints" / "latest.note")]
    verifier = ROOT / "audit" / "offline_verify.py"
    command = [sys.executable, "-I", str(verifier), path, *known]
    return subprocess.run(command, capture_output=True, check=False).returncode


# --- in a process of their own, with an installation around them ---


def _fill(entries: int, items: int) -> dict[str, str]:
    """An installation with that many entries; a bundle of a model with that many items, and one of everything."""
    from django.core.management import call_command

    from audit import checkpoints, keys
    from audit import services as audit
    from registry.ids import uuid7
    from tests.world import Cast, World

    call_command("migrate", verbosity=0, interactive=False)
    instance = uuid7()
    log, issuer = audit.make_keys(audit.origin_of(instance, 1), keys.folder())
    ledger = audit.create_ledger(instance=instance, log=log, issuer=issuer)
    _take_seat(ledger.origin)
    world = World(Cast.assemble())
    version = world.version()
    _evidence(world, version, items // 2)
    other = world.version()
    _evidence(world, other, (entries - checkpoints.ledger_size()) // 4)
    _findings(world, other, entries - checkpoints.ledger_size())
    world.officer()
    bundles = [audit.issue_bundle(actor=world.cast.carla, model=model) for model in (version.model, None)]
    checkpoints.sign_next()
    Path("log.line").write_text(log.key_line + "\n")
    return {"model": str(bundles[0].pk), "instance": str(bundles[1].pk)}


def _take_seat(origin: str) -> None:
    from audit import seat

    seat.take(origin)


def _evidence(world: Any, version: Any, count: int) -> None:
    """Entries with a document each, many of them in one unit, so that filling takes less long."""
    from registry.access.queries import system_actor
    from registry.events import Caller, unit

    worker = Caller(actor_id=system_actor().pk, via="worker", on_behalf_of=world.cast.ada.actor_id)
    for start in range(0, count, _UNIT_EVENTS):
        with unit(worker, role="system"):
            for number in range(start, min(start + _UNIT_EVENTS, count)):
                world.evidence(version, f"kind_{number}", [])


def _findings(world: Any, version: Any, count: int) -> None:
    """Entries with a text each."""
    import datetime

    from registry.events import unit
    from registry.oversight import services as oversight

    for start in range(0, count, _UNIT_EVENTS):
        with unit(world.cast.carla, role="compliance_officer"):
            for number in range(start, min(start + _UNIT_EVENTS, count)):
                oversight.open_finding(
                    actor=world.cast.carla, stream=f"model:{version.model_id}", team_id=world.team.pk,
                    subject="MEASURE 2.11", description=f"Measure again, number {number}.", owner=world.cast.people["ada"],
                    due_on=datetime.date(2030, 1, 1),
                )  # fmt: skip


def _build(key: str, rounds: int) -> dict[str, Any]:
    """Build it some times over; seconds of each, and what came out."""
    import hashlib
    import zipfile

    from audit import bundles
    from audit.models import Bundle

    bundle = Bundle.objects.get(pk=key)
    target, seconds = Path(f"{key}.zip"), []
    for _ in range(rounds):
        started = time.perf_counter()
        bundles.build(bundle, target.resolve())
        seconds.append(time.perf_counter() - started)
    mebibytes = peak_bytes() / 2**20
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        entries = archive.read("log/entries.jsonl").count(b"\n")
    with target.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return {
        "digest": digest, "entries": entries, "files": len(names), "mebibytes": mebibytes, "path": str(target.resolve()),
        "items": entries + sum(name.startswith("documents/") for name in names), "seconds": seconds,
        "size_bytes": target.stat().st_size,
    }  # fmt: skip


def main(words: list[str]) -> None:
    """`fill ENTRIES ITEMS` or `build BUNDLE ROUNDS`."""
    import django

    django.setup()
    answer = _fill(int(words[1]), int(words[2])) if words[0] == "fill" else _build(words[1], int(words[2]))
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
