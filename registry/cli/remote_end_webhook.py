"""`pressmark end-webhook [ID]`: the webhooks that one administers, and ending one of them."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook", nargs="?", metavar="ID", help="which one; lists them, if left out")
    parser.add_argument("--team", metavar="TEAM", help="list those of a team alone")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it, or list what there is."""
    client = client_of(options)
    if options.webhook:
        client.end_webhook(options.webhook)
        print("The address is told of nothing any more.")
        return 0
    for row in client.get("webhooks", [("team", options.team)] if options.team else [])["items"]:
        state = f"ended {row['ended_at'][:19]}" if row["ended_at"] else "in force"
        print(f"{row['id']}  {row['team'] or 'whole installation'}  {state}  {row['url']}  {','.join(row['kinds'])}")
    return 0
