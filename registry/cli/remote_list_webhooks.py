"""`pressmark list-webhooks [--team TEAM]`: the webhooks that one watches over; exit 3 when something was given up."""

from __future__ import annotations

import argparse
import json
from typing import Any

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--team", metavar="TEAM", help="those of a team alone")
    parser.add_argument("--all", action="store_true", help="those that have ended too")
    parser.add_argument("--json", action="store_true", help="everything that is known of them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them with what waits and what was given up; a job can tell by the exit code that a receiver misses something."""
    client = client_of(options)
    rows = client.all_of("webhooks", [("team", options.team)] if options.team else [])
    shown = [row for row in rows if options.all or row["ended_at"] is None]
    if options.json:
        print(json.dumps(shown, indent=1))
    else:
        for row in shown:
            _print(row)
    return 3 if any(row["given_up"] and row["ended_at"] is None for row in shown) else 0


def _print(row: dict[str, Any]) -> None:
    state = f"ended {row['ended_at'][:19]}" if row["ended_at"] else "in force"
    print(f"{row['id']}  {row['team'] or 'whole installation'}  {state}  {row['url']}  {','.join(row['kinds'])}")
    taken = row["last_taken_at"]
    print(f"    waiting {row['waiting']}, given up {row['given_up']}, last taken {taken[:19] if taken else 'never'}")
    if row["last_failure"]:
        print(f"    last failure: {row['last_failure']}")
