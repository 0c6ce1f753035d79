"""`pressmark list-notices`: what one was told, the newest first."""

from __future__ import annotations

import argparse
import json
from typing import Any

from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid

PAGE_ROWS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20 if left out)")
    parser.add_argument("--json", action="store_true", help="with the reason, the event and the page of each")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them, page after page until there are as many as asked for."""
    if options.limit < 1:
        raise Invalid("--limit is 1 or more.", hint="Leave it out for 20.")
    client = client_of(options)
    rows: list[dict[str, Any]] = []
    before = ""
    while len(rows) < options.limit:
        asked = [("limit", str(min(PAGE_ROWS, options.limit - len(rows)))), *([("before", before)] if before else [])]
        page = client.get("notices", asked)
        rows, before = rows + page["items"], page["next"]
        if not before:
            break
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(f"{row['at'][:19]}  {row['says']}")
        print(f"    {row['do']}  {row['path']}".rstrip())
    return 0
