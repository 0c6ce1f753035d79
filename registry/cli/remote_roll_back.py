"""`pressmark roll-back TEAM/MODEL@ALIAS --reason TEXT`: let an alias serve an earlier version again."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alias", metavar="TEAM/MODEL@ALIAS")
    parser.add_argument("--reason", required=True)
    parser.add_argument("--to", type=int, metavar="NUMBER", help="a version; else the one that was served just before")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Bytes, approval, terms and today's policy are checked first; a refusal says every reason and what would do."""
    split_version(options.alias)
    move = client_of(options).move_alias(options.alias, "roll-back", reason=options.reason, to_version=options.to)
    print(f"{options.alias} serves {move['version']} ({move['version_digest']}) again, move {move['number']}.")
    return 0
