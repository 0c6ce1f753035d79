"""`pressmark list-policies [--ready-made]`: the policies of this instance and what they are worth, or those that ship."""

from __future__ import annotations

import argparse
import json
from typing import Any

from registry.cli.counted import counted
from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ready-made", action="store_true", help="those that ship, to start from")
    parser.add_argument("--json", action="store_true", help="everything about them, documents of ready-made ones too")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them, one a line."""
    client = client_of(options)
    rows = client.get("policies/ready-made")["items"] if options.ready_made else client.all_of("policies")
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(_ready_made(row) if options.ready_made else _written(row))
    if not rows:
        print("There is nothing. `pressmark list-policies --ready-made` lists those that ship.")
    return 0


def _written(row: dict[str, Any]) -> str:
    state = "ended" if row["ended_at"] else "in force" if row["in_force_at"] else "waits for approval"
    return f"{row['policy']:16}  {state:18}  {row['title']}"


def _ready_made(row: dict[str, Any]) -> str:
    document = row["document"]
    officers = document.get("officers_required", 0)
    people = counted(document["approvals_required"], "approval") + (f", {officers} by officers" if officers else "")
    rules = counted(len(document["rules"]), "rule")
    return f"{row['slug']:10}  tier {', '.join(document['tiers'])}: {rules}, {people}. {document['about']}"
