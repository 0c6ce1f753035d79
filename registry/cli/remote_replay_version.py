"""`pressmark replay-version TEAM/MODEL@N`: have a version made again from its parent, and say whether it is the same."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of
from registry.cli.remote_compress import say_what_is_at_stake, watch
from registry.cli.remote_show import resolve

_SAME = ("bit-exact", "within-tolerance")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@N", help="a number, an alias, or sha256:...")
    parser.add_argument("--wait", action="store_true", help="watch it to its end and say what it found")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Exit status 0 when it is requested or, with --wait, when the version is the same to the byte or within the tolerance."""
    client = client_of(options)
    version = resolve(client, options.version)
    requested = client.request_replay(version["ref"])
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
