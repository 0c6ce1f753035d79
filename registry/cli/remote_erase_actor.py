"""`pressmark erase-actor NAME`: the profile of an account that has ended is replaced by a neutral name."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="user name of the account")
    parser.add_argument("--reason", metavar="TEXT", help="why; kept beside the erasure, so it names nobody")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Erase user name, e-mail address and name."""
    if not (options.reason or "").strip():
        raise Invalid("Erasing asks for a reason.", hint="Say --reason TEXT, and name nobody in it.")
    client = client_of(options)
    found = client.get("actors", [("username", options.name)])["items"]
    actor = only_one(
        found, f"no account is called {options.name!r}", "Look at its spelling; only administrators see accounts."
    )
    done = client.post(f"actors/{actor['id']}/erase", {"reason": options.reason})
    print(
        f"The account is now {done['username']}. What it typed is erased by: pressmark erase-texts --by {actor['id']}"
    )
    return 0
