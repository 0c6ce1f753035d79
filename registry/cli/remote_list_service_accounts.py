"""`pressmark list-service-accounts [--team TEAM]`: which ones act here, who answers for each, and when their tokens end."""

from __future__ import annotations

import argparse
import json
from typing import Any

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--team", metavar="TEAM", help="those that act in one team")
    parser.add_argument("--json", action="store_true", help="everything that is known of them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List them; the end of every token stands below its account, the first one first."""
    rows = client_of(options).all_of("service-accounts", [("team", options.team)] if options.team else [])
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        _print(row)
    if not rows:
        print("There is no service account that you may see.")
    return 0


def _print(row: dict[str, Any]) -> None:
    roles = ", ".join(f"{held['role']} in {held['team'] or 'all teams'}" for held in row["roles"]) or "no role"
    since = (
        f"{row['responsible']} answers since {row['responsible_since'][:10]}"
        if row["responsible"]
        else "nobody answers"
    )
    print(f"{row['username']}  {since}  {roles}")
    for token in row["tokens"]:
        print(f"    token by {token['issued_by']} ends {token['ends_at'][:16]}")
    if not row["tokens"]:
        print("    no token: it cannot act")
