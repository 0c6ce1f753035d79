"""`pressmark list-use-cases TEAM`: what the models of a team are for, each with its tier."""

from __future__ import annotations

import argparse
import json

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("team", metavar="TEAM")
    parser.add_argument("--json", action="store_true", help="everything about them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them, one a line."""
    rows = client_of(options).all_of(f"teams/{options.team}/use-cases")
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(f"{row['team']}/{row['slug']}  tier {row['tier']:8}  {row['sector']}, {row['jurisdiction']}")
    if not rows:
        print("There is nothing.")
    return 0
