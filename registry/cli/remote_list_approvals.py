"""`pressmark list-approvals`: what waits for a decision, or for the answer to a question."""

from __future__ import annotations

import argparse
import json

from registry.cli.approving import line_of
from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--returned", action="store_true", help="what waits for the answer to a question")
    which.add_argument("--all", action="store_true", help="every approval, the newest hundred first")
    parser.add_argument("--json", action="store_true", help="everything about them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them, one a line."""
    rows = client_of(options).approvals("" if options.all else "returned" if options.returned else "open")
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(line_of(row))
    if not rows:
        print("There is nothing.")
    return 0
