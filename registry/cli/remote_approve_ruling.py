"""`pressmark approve-ruling RULING`: shows what a ruling reaches, and puts it in force."""

from __future__ import annotations

import argparse

from registry.cli.counted import counted
from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Forbidden


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ruling", metavar="RULING", help="its id")
    parser.add_argument("--look", action="store_true", help="only say what it would change")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Say whose terms change, then approve unless only a look was asked for."""
    client = client_of(options)
    row = client.get(f"rulings/{options.ruling}")
    print(f"Ruling {row['number']} on {row['licence']} ({row['state']}): {row['reason']}")
    reaches = row["reaches"]
    if not options.look and row.get("why_not"):
        raise Forbidden(row["why_not"], hint="Ask somebody who may; --look shows what it would change.")
    if reaches is not None:
        versions, teams = counted(reaches["versions"], "version"), counted(reaches["teams"], "team")
        seen = "" if reaches["whole"] else ", as far as you may see"
        print(f"It changes the terms of {versions} of {teams}, {reaches['live']} of them live{seen}.")
        for term, count in reaches["terms"].items():
            print(f"  {term}: {counted(count, 'version')}")
    if options.look:
        return 0
    approved = client.post(f"rulings/{options.ruling}/approve")
    print(f"In force since {approved['in_force_at']}, for every team.")
    return 0
