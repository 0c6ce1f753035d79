"""What the verbs on the way out of a quarantine share: finding the one quarantine that is meant."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one, split_version


def add_release_arguments(parser: argparse.ArgumentParser) -> None:
    """Version, reason, and which of several recalls."""
    parser.add_argument("version", metavar="TEAM/MODEL@NUMBER")
    parser.add_argument("--reason", required=True)
    parser.add_argument("--recall", metavar="ID", help="which recall, where several stop the version")
    add_server_arguments(parser)


def act_on_release(options: argparse.Namespace, act: str) -> None:
    """Ask for, grant or refuse a release of the quarantine that is meant."""
    split_version(options.version)
    client = client_of(options)
    rows = client.quarantines(options.version)
    stopping = [row for row in rows if row["ended_at"] is None and options.recall in (None, row["recall"]["id"])]
    meant = only_one(stopping, f"{options.version} is in no such quarantine", "Say with --recall which one is meant.")
    client.act_on_quarantine(meant["id"], act, options.reason)
