"""`pressmark end-alias-rule ID`: take a rule of an alias back."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", metavar="ID", help="`GET teams/TEAM/alias-rules` lists them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Take a rule of an alias back."""
    row = client_of(options).post(f"alias-rules/{options.rule}/end")
    print(f"{row['id']}  {row['team']}  {row['action']} of {row['alias']} for {row['role']}  ended")
    return 0
