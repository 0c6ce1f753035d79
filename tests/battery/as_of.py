"""History at full size: long random walks asked again stop by stop, and answers about one model and one team in a large ledger.

Each walk, and the large ledger, is an installation of its own in a process of its own:

    python -m tests.battery.as_of walk SEED ACTS | large ENTRIES
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.harness import Row, at_least, at_most

WALKS, ACTS = 10, 200
SMALL_WALKS, SMALL_ACTS = 2, 60
ENTRIES, SMALL_ENTRIES = 100_000, 10_000
ROUNDS = 50
MODEL_MS, TEAM_MS = 250, 500
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def run(small: bool) -> list[Row]:
    """Every row of this battery."""
    walks, acts = (SMALL_WALKS, SMALL_ACTS) if small else (WALKS, ACTS)
    told = [_child("walk", str(seed), str(acts)) for seed in range(walks)]
    asked = sum(walk["asked"] for walk in told)
    right = sum(walk["right"] for walk in told)
    what = f"answers as of a moment that are what the tables said then ({walks} walks of {acts} acts)"
    return [at_least("as-of-walks", what, right, asked, "answer", asked), *_large(SMALL_ENTRIES if small else ENTRIES)]


def _large(entries: int) -> list[Row]:
    found = _child("large", str(entries))
    rows = []
    for key, what, limit in (
        ("model", "one model as of a moment", MODEL_MS),
        ("team", f"one team of {found['models']} models as of a moment", TEAM_MS),
    ):
        times = sorted(found[key])
        label = f"{what}, {entries} entries"
        p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
        rows.append(at_most(f"as-of-{key}-p50", f"{label}, p50", p50, limit, "millisecond", len(times)))
        rows.append(at_most(f"as-of-{key}-p99", f"{label}, p99", p99, 2 * limit, "millisecond", len(times)))
    return rows


def _child(*words: str) -> dict[str, Any]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.battery.as_of", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


# --- in the process of its own ---


def main(words: list[str]) -> None:
    acts: dict[str, Callable[..., dict[str, Any]]] = {"walk": walk, "large": large}
    world = _world()
    print(json.dumps(acts[words[0]](world, *map(int, words[1:]))))


def _world() -> Any:
    import django

    django.setup()
    from django.core.management import call_command

    from audit import keys, services
    from registry.ids import uuid7
    from tests.world import Cast, World

    call_command("migrate", verbosity=0, interactive=False)
    instance = uuid7()
    log, issuer = services.make_keys(services.origin_of(instance, 1), keys.folder())
    services.create_ledger(instance=instance, log=log, issuer=issuer)
    return World(Cast.assemble())


def walk(world: Any, seed: int, acts: int) -> dict[str, Any]:
    """A walk, then every stop asked again by time and by position; the first wrong answer is told on standard error."""
    from audit.history.answers import model_as_of
    from tests.audit.walking import Walk, said

    walked = Walk(world, seed)
    asked = right = 0
    for stop in walked.go(acts):
        queries = [{"at": stop.read_at}] + ([{"position": str(stop.position)}] if stop.timely else [])
        for query in queries:
            asked += 1
            if said(model_as_of(world.cast.ada, walked.model, query)) == stop.truth:
                right += 1
            else:
                print(f"seed {seed}: {stop.act} at position {stop.position}, asked by {query}", file=sys.stderr)
    return {"asked": asked, "right": right}


def large(world: Any, entries: int) -> dict[str, Any]:
    """One story told again and again for other models of the team; then answers about one of them, and about all."""
    from audit.history import moments
    from audit.history.answers import model_as_of, team_as_of

    parent, _ = world.story()
    models = _tell_again(f"model:{parent.model_id}", entries)
    last = moments.resolve().last
    found: dict[str, list[float]] = {"model": [], "team": []}
    for number in range(ROUNDS):
        query = {"position": str(last * number // ROUNDS)}
        for key, ask in (
            ("model", lambda q: model_as_of(world.cast.ada, parent.model, q)),
            ("team", lambda q: team_as_of(world.cast.ada, world.team, q)),
        ):
            start = time.perf_counter()
            ask(query)
            found[key].append((time.perf_counter() - start) * 1000)
    return {"models": models, **found}


def _tell_again(stream: str, entries: int) -> int:
    """Entries of the stream with ids of their own, straight into the table, until the ledger has so many; how many models."""
    from django.db import connection

    from audit.models import Entry

    mould = [bytes(e) for e in Entry.objects.filter(stream=stream).order_by("position").values_list("entry", flat=True)]
    own = {key.encode() for entry in mould for key in _own_ids(entry)}
    last = Entry.objects.order_by("-position")[0]
    position, told = last.position + 1, 1
    statement = (
        "INSERT INTO audit_entry (position, stream, stream_seq, at, entry, leaf) VALUES (%s, %s, %s, %s, %s, %s)"
    )
    while position < entries:
        told += 1
        rows = list(_telling(mould, own, b"%d" % told, position, last.at))
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)
        position += len(rows)
    return told


def _own_ids(entry: bytes) -> Iterator[str]:
    event = json.loads(entry)["event"]
    yield from (event["id"], event["unit"])
    yield from (record["id"] for record in event["records"])


def _telling(mould: list[bytes], own: set[bytes], salt: bytes, position: int, at: str) -> Iterator[tuple[Any, ...]]:
    def other(found: re.Match[bytes]) -> bytes:
        key = found[0]
        if key not in own:
            return key
        digits = hashlib.sha256(salt + key).hexdigest()
        return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}".encode()

    for offset, entry in enumerate(mould):
        data = _ID.sub(other, entry).replace(b'"slug":"sentences"', b'"slug":"sentences-%s"' % salt)
        data = data.replace(json.loads(entry)["at"].encode(), at.encode(), 1)
        read = json.loads(data)
        leaf = hashlib.sha256(b"\x00" + data).digest()
        yield position + offset, read["stream"], read["stream_seq"], at, data, leaf


if __name__ == "__main__":
    main(sys.argv[1:])
