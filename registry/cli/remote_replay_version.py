"""`pressmark replay-version TEAM/MODEL@N`: have a version made again from its parent, and say whether it is the same."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from registry.cli.remote import add_server_arguments, client_of
from registry.cli.remote_compress import publish_shipped, read_plan, say_what_is_at_stake, watch
from registry.cli.remote_show import resolve
from registry.client import Client

_SAME = ("bit-exact", "within-tolerance")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@N", help="a number, an alias, or sha256:...")
    parser.add_argument(
        "--recipe", metavar="TEAM/RECIPE@N",
        help="of a version made elsewhere: the recipe that made it, or the name of a shipped one",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", metavar="TEAM/DATASET@N", help="of the same: the rows that its steps looked at"
    )
    parser.add_argument("--plan", type=Path, metavar="FILE", help="of the same: how those rows are read")
    parser.add_argument("--wait", action="store_true", help="watch it to its end and say what it found")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Exit status 0 when it is requested or, with --wait, when the version is the same to the byte or within the tolerance."""
    client = client_of(options)
    version = resolve(client, options.version)
    requested = client.request_replay(version["ref"], **_stated(options, client, version["ref"]))
    say_what_is_at_stake(requested)
    if not options.wait:
        print(f"Replay {requested['id']} of {version['ref']} is queued.")
        return 0
    finished = watch(client, requested["id"])
    if finished["state"] != "succeeded":
        print(f"The replay {finished['state']}: {finished['failure_code'] or ''} {finished['failure'] or ''}")
        return 1
    found = next(row for row in client.replays(version["ref"]) if row["id"] == requested["id"])
    print(f"{version['ref']}: {found['outcome']}. {found['said']}")
    return 0 if found["outcome"] in _SAME else 1


def _stated(options: argparse.Namespace, client: Client, ref: str) -> dict[str, Any]:
    """What is said about a version that was made elsewhere; empty for one that a run of the registry made."""
    recipe = options.recipe
    if recipe is not None and "@" not in recipe:
        recipe = publish_shipped(client, ref.partition("/")[0], recipe)
    plan = None if options.plan is None else read_plan(options.plan)
    given = {"recipe": recipe, "calibration": options.calibration, "plan": plan}
    return {name: value for name, value in given.items() if value is not None}
