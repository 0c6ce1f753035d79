"""`pressmark list-findings [--mine] [--all]`: what waits to be mended, the first due first; exit 3 when something is overdue."""

from __future__ import annotations

import argparse
import datetime

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mine", action="store_true", help="only what you own")
    parser.add_argument("--all", action="store_true", help="closed ones too")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them; a job can tell by the exit code that somebody is late."""
    asked = [("mine", "true")] if options.mine else []
    asked += [] if options.all else [("open", "true")]
    client, rows, after = client_of(options), [], None
    while True:
        page = client.get("findings", [*asked, *([("after", after)] if after else [])])
        rows += page["items"]
        after = page["next"]
        if after is None:
            break
    today, late = datetime.datetime.now(datetime.UTC).date().isoformat(), 0
    for row in sorted(rows, key=lambda row: row["due_on"]):
        overdue = row["state"] != "closed" and row["due_on"] < today
        late += overdue
        mark = "OVERDUE" if overdue else ""
        print(
            f"{row['id']}  {row['state']:8}  due {row['due_on']}  {row['kind']:15}  {row['subject']}  {mark}".rstrip()
        )
    return 3 if late else 0
