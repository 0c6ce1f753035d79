"""`pressmark suspend TEAM/MODEL@ALIAS --reason TEXT`: let an alias serve nothing, at once and without a replacement."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alias", metavar="TEAM/MODEL@ALIAS")
    parser.add_argument("--reason", required=True)
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Stop it; a promotion or a roll-back starts it again."""
    split_version(options.alias)
    client_of(options).move_alias(options.alias, "suspend", reason=options.reason)
    print(f"{options.alias} serves nothing now; whoever resolves it is told so.")
    return 0
