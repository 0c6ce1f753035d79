"""`pressmark list-findings [--mine] [--all]`: what waits to be mended, the first due first; exit 3 when something is overdue."""

from __future__ import annotations

import argparse
import datetime
import json

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mine", action="store_true", help="only what you own")
    parser.add_argument("--all", action="store_true", help="closed ones too")
    parser.add_argument("--json", action="store_true", help="everything about them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them; a job can tell by the exit code that somebody is late."""
    asked = [("mine", "true")] if options.mine else []
    asked += [] if options.all else [("open", "true")]
    rows = sorted(client_of(options).all_of("findings", asked), key=lambda row: (row["due_on"], row["id"]))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    late = {row["id"] for row in rows if row["state"] != "closed" and row["due_on"] < today}
    if options.json:
        print(json.dumps(rows, indent=1))
        return 3 if late else 0
    for row in rows:
        mark = "OVERDUE" if row["id"] in late else ""
        print(
            f"{row['id']}  {row['state']:8}  due {row['due_on']}  {row['kind']:15}  {row['subject']}  {mark}".rstrip()
        )
    return 3 if late else 0
