"""`pressmark promote TEAM/MODEL@ALIAS APPROVAL`: let an alias serve what was approved for it."""

from __future__ import annotations

import argparse

from registry.cli.approving import approval_id
from registry.cli.remote import add_server_arguments, client_of, split_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pointer", metavar="TEAM/MODEL@ALIAS")
    parser.add_argument(
        "approval",
        metavar="APPROVAL",
        help="its id (`pressmark list-approvals --all` has it), or TEAM/MODEL@N for the newest of a version for this alias",
    )
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """The gate is asked again and the bytes are read again first."""
    _, _, options.alias = split_version(options.pointer)
    client = client_of(options)
    move = client.move_alias(options.pointer, "promote", approval=approval_id(client, options))
    print(f"{options.pointer} serves {move['version']} ({move['version_digest']}), move {move['number']}.")
    return 0
