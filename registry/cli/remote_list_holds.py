"""`pressmark list-holds ABOUT`: what of a model or dataset must not be removed, and until when it was so."""

from __future__ import annotations

import argparse
import json

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("about", metavar="ABOUT", help="model:, version:, dataset: or dataset_version:TEAM/NAME[@N]")
    parser.add_argument("--json", action="store_true", help="everything about them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List the holds on it and on all that belongs to the same model or dataset, the newest first, ended ones too."""
    rows = client_of(options).all_of("holds", [("about", options.about)])
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        state = f"ended {row['ended_at'][:10]}" if row["ended_at"] else f"since {row['placed_at'][:10]}"
        print(f"{row['id']}  {state}  {row['about']}  {row['reason']}")
    if not rows:
        print("There is nothing.")
    return 0
