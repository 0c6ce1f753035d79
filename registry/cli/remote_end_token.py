"""`pressmark end-token [ID]`: one's tokens, or those of somebody else for an administrator; and ending one of them."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("token", nargs="?", metavar="ID", help="id of the token's record; lists them, if left out")
    parser.add_argument("--of", metavar="NAME", help="list those of somebody else; for administrators")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it, or list what there is."""
    client = client_of(options)
    if options.token:
        client.post(f"tokens/{options.token}/end")
        print("The token opens nothing any more.")
        return 0
    for row in client.get("tokens", [("username", options.of)] if options.of else [])["items"]:
        state = f"ended {row['ended_at'][:19]}" if row["ended_at"] else f"until {row['expires_at'][:10]}"
        print(f"{row['id']}  {row['username']}  made {row['created_at'][:19]}  {state}")
    return 0
