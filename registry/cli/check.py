"""`pressmark check`: whether this installation is in order, line by line, with what to do where it is not."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from audit import anchors, checkpoints, health, keeper, keys, ledger
from audit.models import Checkpoint, Entry, Key
from audit.witnessing import witnesses
from registry import guards
from registry.errors import Problem

Line = tuple[bool, str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="say only what is wrong")
    parser.add_argument(
        "--before-start",
        action="store_true",
        help="leave out what bars no start: how the keeper's last turns went, the clock",
    )


def run(options: argparse.Namespace) -> int:
    """Exit status 0 when everything is in order."""
    failed = False
    for good, said, remedy in _lines(options.before_start):
        if good and not options.quiet:
            print(f"ok       {said}")
        if not good:
            failed = True
            print(f"WRONG    {said}\n         what to do: {remedy}", file=sys.stderr)
    return 1 if failed else 0


def _lines(before_start: bool) -> Iterator[Line]:
    home = Path(settings.PRESSMARK_HOME)
    yield (home / "secret_key").is_file(), f"home is {home}", "run `pressmark init`"
    try:
        applied = not MigrationExecutor(connection).migration_plan(
            MigrationExecutor(connection).loader.graph.leaf_nodes()
        )
    except Error as error:
        yield False, f"the database does not answer: {error}", "check PRESSMARK_DATABASE_URL, then run `pressmark init`"
        return
    yield applied, f"{connection.vendor} has the tables of this version", "run `pressmark init`, or `pressmark upgrade`"
    if not applied:
        return
    yield Entry.objects.exists(), "the ledger has its first entry", "run `pressmark init`"
    yield from _guarded(guards.demand, "every guard of the database is there")
    yield from _guarded(keys.issuer_signer, "the issuer key can be read")
    yield from _guarded(keys.log_signer, "the log key can be read")
    yield from _guarded(checkpoints.demand_continuity, "the ledger stands here and continues the last checkpoint")
    for key in Key.objects.filter(last_position=None).order_by("use"):
        yield True, f"the {key.use} key since position {key.first_position}: {key.key_line}", ""
    if before_start:
        return
    ahead_seconds = ledger.seconds_ahead()
    yield (
        ahead_seconds <= health.AHEAD_SECONDS,
        f"the last entry is {ahead_seconds:.0f} s ahead of the clock"
        if ahead_seconds
        else "entries carry the clock's time",
        "if the clock is right now, run `pressmark correct-clock`",
    )
    for tick in keeper.health():
        yield (
            not tick["error"],
            f"keeper: {tick['name']} last ran {tick['last_run_at']} {tick['error']}".rstrip(),
            "the error says why; the keeper tries again by itself, and its log has more",
        )
    yield from _anchors()
    yield from _witnesses()
    if settings.PRESSMARK_MAIL_HOST:  # said here alone: /health is open to everybody
        yield True, f"notices leave by mail over {settings.PRESSMARK_MAIL_HOST}:{settings.PRESSMARK_MAIL_PORT}", ""
    for sentence in health.warnings():
        yield (
            True,
            f"warning: {sentence} What to do: docs/notices.md names the settings; /notices/ has what was to be told",
            "",
        )


def _anchors() -> Iterator[Line]:
    try:
        states = anchors.states()
    except Problem as problem:
        yield False, problem.detail, problem.hint
        return
    for state in states:
        said = f"anchor: {state.name} ({state.kind}) holds the checkpoint over {state.size} entries"
        yield not state.error, f"{said}{f'; {state.error}' if state.error else ''}", _remedy_of_anchor(state)


def _witnesses() -> Iterator[Line]:
    for sentence in witnesses.unreadable():
        yield False, sentence, "write KEYLINE URL on each line, the key line as `pressmark witness init` printed it"
    for state in witnesses.states(Checkpoint.objects.order_by("-size").first()):
        said = f"witness: {state.listed.name} cosigned {state.size} entries"
        remedy = f"{_remedy_of_witness(state.trouble)} It is asked at {state.listed.url}"
        yield not state.trouble, f"{said}{f'; it {state.trouble}' if state.trouble else ''}", remedy


def _remedy_of_anchor(state: anchors.State) -> str:
    """The keeper tries again every hour; what a person does meanwhile depends on where the anchor is."""
    if "does not continue" in state.error:
        return (
            "compare the two: this ledger was rewritten or restored, a copy uses the same anchor, or the anchor was changed. "
            "Run `pressmark verify-ledger --checkpoint FILE` with the checkpoint that lies there; stop the keeper until you know"
        )
    ways = {
        "folder": "see that the folder is mounted and can be written by the keeper's user",
        "git": "run `git push` by hand as the keeper's user, and see key, address and rights",
        "rfc3161": "see that the address of the authority answers and that the file of its certificates is the right one",
    }
    way = ways.get(state.kind, "see the documentation of the package that brings this kind")
    return f"{way}; the keeper tries again at its next turn. The line is in {settings.PRESSMARK_ANCHORS}"


_REMEDIES_OF_WITNESSES = {
    "does not know this ledger": "Give its operator the log key line that `pressmark keys` prints.",
    "does not know the log key in force": "Give its operator the line that `pressmark keys` prints, "
    "after a rotation beside the old one.",
    "does not continue": "Stop the keeper, and see `When the ledger is refused` in the documentation of operations.",
    "forgot what it cosigned": "Its operator makes a new key in another folder; put the new line into the file of witnesses.",
    "has a clock": "Compare both clocks, and set the wrong one right.",
    "shows nothing that this ledger's key signed": "Ask its operator what it holds (`pressmark witness status`); after a restore "
    "stop the keeper first.",
    "with something else than its cosignature": "Compare the key line in the file of witnesses with what its `init` printed.",
    "cannot trust or keep its own state": "Its operator looks at its log and its disk.",
}


def _remedy_of_witness(trouble: str) -> str:
    otherwise = "See whether it runs, and `pressmark witness status` there; the ledger goes on without it meanwhile."
    return next((remedy for part, remedy in _REMEDIES_OF_WITNESSES.items() if part in trouble), otherwise)


def _guarded(act: Callable[[], object], said: str) -> Iterator[Line]:
    try:
        act()
    except Problem as problem:
        yield False, problem.detail, problem.hint
    else:
        yield True, said, ""
