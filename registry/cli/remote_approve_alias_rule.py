"""`pressmark approve-alias-rule ID`: put a rule of an alias in force."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", metavar="ID", help="`GET teams/TEAM/alias-rules` lists them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Put a rule of an alias in force."""
    row = client_of(options).post(f"alias-rules/{options.rule}/approve")
    print(f"{row['id']}  {row['team']}  {row['action']} of {row['alias']} for {row['role']}  in force")
    return 0
