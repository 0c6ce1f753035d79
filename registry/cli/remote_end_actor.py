"""`pressmark end-actor NAME`: an account ends, with its roles and tokens."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="user name of the person or service account")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it."""
    client = client_of(options)
    found = client.get("actors", [("username", options.name)])["items"]
    actor = only_one(
        found, f"no account is called {options.name!r}", "Look at its spelling; only administrators see accounts."
    )
    client.post(f"actors/{actor['id']}/end")
    print(f"The account {options.name} has ended, with its roles and tokens. What it did stays on record.")
    return 0
