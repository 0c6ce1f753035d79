"""One contender as a process of its own: commands come in as JSON lines, answers go out as JSON lines.

python -m tests.bench.contenders.process        with PRESSMARK_TEST_CONTENDER, DJANGO_SETTINGS_MODULE and the database's address set
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import django
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections

_keys: list[uuid.UUID] = []
_made = {"created": 0, "updated": 0}


def main() -> None:
    django.setup()
    out = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        command = json.loads(line)
        answer = COMMANDS[command.pop("do")](**command)
        print(json.dumps(answer), file=out, flush=True)


def set_up() -> dict[str, Any]:
    """Tables, and the parents."""
    from tests.bench.contenders.acts import acts

    if apps.is_installed("simple_history"):
        call_command("migrate", "auth", verbosity=0, interactive=False)  # its table points there
    call_command("migrate", verbosity=0, interactive=False, run_syncdb=True)
    acts().set_up()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT current_setting('synchronous_commit') || current_setting('fsync')")
        else:
            cursor.execute("PRAGMA synchronous")
        return {"durability": str(cursor.fetchone()[0])}


def create(count: int) -> dict[str, float]:
    """CPU seconds of this process, and seconds on the wall, for that many creates."""
    from tests.bench.contenders.acts import acts

    return _create(acts().create, count)


def append(count: int) -> dict[str, float]:
    """The same without what a contender does after COMMIT."""
    from tests.bench.contenders.acts import acts

    return _create(acts().append, count)


def _create(act: Callable[[int], uuid.UUID], count: int) -> dict[str, float]:
    first = _made["created"]
    _made["created"] += count
    return _timed(lambda number: _keys.append(act(number)), range(first, first + count))


def update(count: int) -> dict[str, float]:
    """The same for changes of rows that are there."""
    from tests.bench.contenders.acts import acts

    act, first = acts().update, _made["updated"]
    _made["updated"] += count
    return _timed(lambda number: act(_keys[number % len(_keys)], number), range(first, first + count))


def _timed(act: Callable[[int], None], numbers: range) -> dict[str, float]:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for number in numbers:
        act(number)
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


def writers(writers: int, count: int) -> dict[str, float]:
    """Seconds on the wall for `writers` processes that create `count` rows each, all starting at once."""
    connections.close_all()
    context = multiprocessing.get_context("fork")
    ready, go = context.Barrier(writers + 1), context.Barrier(writers + 1)
    first = _made["created"]
    started = [context.Process(target=_write, args=(first + w * count, count, ready, go)) for w in range(writers)]
    for process in started:
        process.start()
    ready.wait()
    wall = time.perf_counter()
    go.wait()
    for process in started:
        process.join()
    wall = time.perf_counter() - wall
    assert [p.exitcode for p in started] == [0] * writers
    _made["created"] += writers * count
    return {"wall_s": wall}


def _write(first: int, count: int, ready: Any, go: Any) -> None:
    from tests.bench.contenders.acts import acts, line_id

    act = acts().create
    line_id(0)
    connection.ensure_connection()
    ready.wait()
    go.wait()
    for number in range(first, first + count):
        act(number)


def check() -> dict[str, Any]:
    """What was recorded, beside what was done."""
    from tests.bench.contenders.acts import acts

    return {"recorded": acts().recorded(), "done": dict(_made)}


COMMANDS = {"set_up": set_up, "create": create, "append": append, "update": update, "writers": writers, "check": check}

if __name__ == "__main__":
    main()
