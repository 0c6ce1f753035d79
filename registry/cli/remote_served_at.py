"""`pressmark served-at TEAM/MODEL@ALIAS TIME`: what an alias was at a moment, by whom and on which approval."""

from __future__ import annotations

import argparse
import json

from registry.cli.remote import add_server_arguments, client_of, split_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alias", metavar="TEAM/MODEL@ALIAS")
    parser.add_argument("time", metavar="TIME", help="such as 2026-03-03T14:00:00Z; UTC where no zone is given")
    parser.add_argument("--json", action="store_true", help="all of it, with the approval and its decisions")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print version, digest, stretch of time, who moved it and what it rested on."""
    split_version(options.alias)
    row = client_of(options).served_at(options.alias, options.time)
    if options.json:
        print(json.dumps(row, indent=1))
        return 0
    until = f"until {row['until']}" if row["until"] else "until now"
    if row["version"] is None:
        print(f"{options.alias} served nothing at {row['at']}: suspended from {row['assigned_at']} {until}.")
        return 0
    print(f"{row['version']}  {row['version_digest']}")
    print(f"from {row['assigned_at']} {until}, {row['kind']} by {row['assigned_by_name']}")
    if row["approval_record"]:
        names, worth = " and ".join(row["granted_by_names"]), row["approval_record"]["status"]
        print(f"on the approval {row['approval']}, granted by {names}; today it counts as {worth}")
    else:
        glass = row["broken_glass"]
        print(f"WITHOUT AN APPROVAL, in an emergency until {glass['expires_at']}: {glass['reason']}")
    return 0
