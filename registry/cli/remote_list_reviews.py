"""`pressmark list-reviews ABOUT`: who looked at a state of data or of a model, and which of these reviews count now."""

from __future__ import annotations

import argparse
import json

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("about", metavar="ABOUT", help="version:TEAM/MODEL@3 or dataset_version:TEAM/DATASET@1")
    parser.add_argument("--json", action="store_true", help="everything about them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them, the newest first."""
    rows = client_of(options).all_of("reviews", [("about", options.about)])
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        said = "accepted" if row["accepted"] else "refused"
        counts = "counts" if row["in_force"] else "counts no longer"
        until = f", next on {row['next_on']}" if row["next_on"] else ""
        print(f"{row['id']}  {row['kind']:9}  {said} on {row['reviewed_at'][:10]}{until}; {counts}. {row['statement']}")
    if not rows:
        print("There is nothing.")
    return 0
