"""`pressmark show-use-case TEAM/USE_CASE`: what models are for there, its tier and which answers make it so."""

from __future__ import annotations

import argparse
import json

from registry.cli.questionnaires import print_tier, split_use_case
from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("use_case", metavar="TEAM/USE_CASE")
    parser.add_argument("--json", action="store_true", help="everything, all answers too")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Show it."""
    team, slug = split_use_case(options.use_case)
    row = client_of(options).get(f"teams/{team}/use-cases/{slug}")
    if options.json:
        print(json.dumps(row, indent=1))
        return 0
    print_tier(row)
    for name in ("purpose", "users", "prohibited", "sector", "jurisdiction"):
        print(f"{name:13} {row[name] or 'not said'}")
    return 0
