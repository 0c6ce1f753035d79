"""Witnesses at full size: how long a checkpoint takes with them, also when one is dead or drips, and one killed at any instant.

An act's delay is from its COMMIT to the moment that the signed checkpoint over it can be read, with the product's own keeper
process. The acts come at random moments, so that the keeper's second is met everywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from audit import notes
from audit.signing import Signer
from audit.witnessing.cosignatures import open_cosignature
from tests.audit.witnessing import Log, WitnessProcess
from tests.bench.harness import Row, at_least, at_most

ACTS, SMALL_ACTS = 150, 12
KILLS, SMALL_KILLS = 200, 6
DELAY_SECONDS = 2.0
WARM_UP_ACTS = 3


def run(small: bool) -> list[Row]:
    """Every row of this battery."""
    acts = SMALL_ACTS if small else ACTS
    with tempfile.TemporaryDirectory() as place:
        template = _Home(Path(place) / "template").born()
        rows: list[Row] = []
        for number, (what, ailing) in enumerate(
            [("two witnesses", ""), ("one of two dead", "dead"), ("one of two dripping", "dripping")]
        ):
            with template.copy(Path(place) / f"home-{number}") as home:
                rows += _delays(home, Path(place) / f"witnesses-{number}", what, ailing, acts)
        return [*rows, *_kills(Path(place) / "killed", SMALL_KILLS if small else KILLS)]


class _Home:
    """An installation of its own, and its keeper."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "DJANGO_SETTINGS_MODULE": "registry.settings", "PRESSMARK_HOME": str(folder),
        }  # fmt: skip

    def born(self) -> _Home:
        self.folder.mkdir()
        (self.folder / "password").write_text("a long enough sentence")
        self.call("-m", "registry.cli.main", "init", "--password-file", str(self.folder / "password"))
        return self

    @contextlib.contextmanager
    def copy(self, folder: Path) -> Iterator[_Home]:
        """Another one that nobody has signed in yet."""
        shutil.copytree(self.folder, folder)
        (folder / "checkpoints" / "seat.json").unlink()
        yield _Home(folder)

    def call(self, *words: str) -> str:
        command = [sys.executable, *words]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout

    @contextlib.contextmanager
    def keeper(self) -> Iterator[None]:
        """The product's keeper."""
        with (self.folder / "keeper.log").open("wb") as log:
            command = [sys.executable, "-m", "registry.cli.main", "keeper"]
            running = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait()


# --- delay ---


def _delays(home: _Home, place: Path, what: str, ailing: str, acts: int) -> list[Row]:
    place.mkdir()
    line = next(
        w for w in home.call("-m", "registry.cli.main", "keys").split() if w.count("+") >= 2 and "/issuer+" not in w
    )
    with contextlib.ExitStack() as stack:
        processes = [WitnessProcess(place / name, name) for name in ("one.test", "two.test")]
        lines = []
        for process in processes:
            key = process.init()
            if process.name == "two.test" and ailing:
                port = stack.enter_context(_ailing(drips=ailing == "dripping"))
            else:
                process.start(line)
                stack.callback(process.kill)
                port = process.port
            lines.append(f"{key.key_line} http://127.0.0.1:{port}\n")
        (home.folder / "witnesses").write_text("".join(lines))
        stack.enter_context(home.keeper())
        found = json.loads(home.call("-m", "tests.battery.witnesses", str(acts)).splitlines()[-1])
    label = f"COMMIT to checkpoint, {what}"
    delays = sorted(found["delays"])
    expected = 1 if ailing else 2
    key = ailing or "two"
    return [
        at_most(f"checkpoint-delay-{key}-p50", f"{label}, p50", statistics.median(delays), 1.5, "second", acts),
        at_most(f"checkpoint-delay-{key}-p99", f"{label}, p99", _p99(delays), DELAY_SECONDS, "second", acts),
        at_least(
            f"checkpoint-cosigned-{key}", f"stored checkpoints with {expected} cosignature(s), {what}",
            sum(count >= expected for count in found["cosignatures"]) / acts, 0.99, "share", acts,
        ),
    ]  # fmt: skip


def _p99(values: list[float]) -> float:
    return values[min(len(values) - 1, int(len(values) * 0.99))]


@contextlib.contextmanager
def _ailing(*, drips: bool) -> Iterator[int]:
    """A witness's address where connections are taken and nothing, or a byte now and then, comes back; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if drips:
            threading.Thread(target=_drip, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]


def _drip(listening: socket.socket) -> None:
    def feed(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100:
                connection.sendall(bytes([byte]))
                time.sleep(0.3)

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=feed, args=(listening.accept()[0],), daemon=True).start()


def measure(acts: int) -> None:
    """In the installation's own process: act at random moments, and wait for each checkpoint."""
    import django

    django.setup()
    from audit.models import Checkpoint
    from registry.access import services as access
    from registry.access.models import Actor
    from registry.events import Caller, last_unit

    root = Caller(actor_id=Actor.objects.get(username="admin").pk, via="cli")
    chance = random.Random(1)
    delays, counts = [], []
    for number in range(WARM_UP_ACTS + acts):  # a keeper that has just started waits for every witness once
        time.sleep(chance.uniform(0, 1.2))
        access.create_team(actor=root, slug=f"t-{os.getpid()}-{number}")
        committed = time.monotonic()
        position = last_unit().positions[-1]  # type: ignore[union-attr]
        while (row := Checkpoint.objects.filter(size__gt=position).order_by("size").first()) is None:
            time.sleep(0.01)
        delays.append(time.monotonic() - committed)
        counts.append(len(notes.parse_note(row.note.encode()).signatures) - 1)
    print(json.dumps({"delays": delays[WARM_UP_ACTS:], "cosignatures": counts[WARM_UP_ACTS:]}))


# --- kills ---


def _kills(place: Path, kills: int) -> list[Row]:
    """Two histories are offered at once while the witness is killed and started again: at most one of them is ever cosigned."""
    process = WitnessProcess(place)
    key = process.init()
    log = Log(Signer.from_seed("pressmark/01890a5d-ac96-774b-bcce-b302099a8057/1", b"\x01" * 32)).grow(1)
    process.start(log.signer.key_line)
    assert process.post(log.request(0))[0] == 200
    chance = random.Random(2)
    two, forgotten = 0, 0
    for _ in range(kills):
        size = len(log.leaves)
        sides = [Log(log.signer, list(log.leaves)).grow(1, "a"), Log(log.signer, list(log.leaves)).grow(1, "b")]
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(_ask, process, side.request(size)) for side in sides]
            time.sleep(chance.uniform(0, 0.012))
            process.kill()
            told = [each.result() for each in asked]
        process.start(log.signer.key_line)
        held = _held(process)
        told_again = [process.post(side.request(size))[0] for side in sides] if held.size == size else []
        cosigned = [
            first == 200 or 200 in again for first, again in zip(told, [told_again[:1], told_again[1:]], strict=True)
        ]
        two += all(cosigned)
        held = _held(process)
        kept = next((side for side in sides if _root(side) == held.root), log)
        forgotten += any(done and side is not kept for done, side in zip(cosigned, sides, strict=True))
        open_cosignature(process.newest()[1], key)
        log = kept
    process.kill()
    what = f"two histories cosigned, in {kills} SIGKILLs of the witness"
    return [
        at_most("witness-kills-two", what, two, 0, "history", kills),
        at_most(
            "witness-kills-forgotten",
            f"cosignatures forgotten, in {kills} SIGKILLs",
            forgotten,
            0,
            "cosignature",
            kills,
        ),
    ]


def _ask(process: WitnessProcess, body: bytes) -> int:
    try:
        return process.post(body)[0]
    except OSError:
        return 0
    except Exception:  # the connection ended in the middle of an answer
        return 0


def _held(process: WitnessProcess) -> notes.Checkpoint:
    return notes.parse_checkpoint_body(notes.parse_note(process.newest()[1]).text)


def _root(log: Log) -> bytes:
    return notes.parse_checkpoint_body(notes.parse_note(log.note()).text).root


if __name__ == "__main__":
    measure(int(sys.argv[1]))
