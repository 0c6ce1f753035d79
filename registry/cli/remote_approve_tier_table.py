"""`pressmark approve-tier-table NUMBER`: put a tier table of somebody else in force."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", metavar="NUMBER", type=int)
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """From now on use cases answer this one."""
    row = client_of(options).post(f"tier-tables/{options.number}/approve")
    print(f"tier table {row['number']}  in force")
    return 0
