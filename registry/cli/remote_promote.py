"""`pressmark promote TEAM/MODEL@ALIAS APPROVAL`: let an alias serve what was approved for it."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alias", metavar="TEAM/MODEL@ALIAS")
    parser.add_argument("approval", metavar="APPROVAL", help="its id; `pressmark list-approvals` has it")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """The gate is asked again and the bytes are read again first."""
    split_version(options.alias)
    move = client_of(options).move_alias(options.alias, "promote", approval=options.approval)
    print(f"{options.alias} serves {move['version']} ({move['version_digest']}), move {move['number']}.")
    return 0
