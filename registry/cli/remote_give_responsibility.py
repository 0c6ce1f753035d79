"""`pressmark give-responsibility ACCOUNT PERSON`: from now on somebody else answers for a service account."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("account", metavar="ACCOUNT", help="user name of the service account")
    parser.add_argument("person", metavar="PERSON", help="user name of the person who answers for it from now on")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Give it."""
    client = client_of(options)
    found = client.get("actors", [("username", options.account)])["items"]
    account = only_one(found, f"there is no account {options.account!r}", "Look at the spelling.")
    client.post(f"actors/{account['id']}/responsibility", {"person": options.person})
    print(
        f"{options.person} answers for {options.account} from now on. Who answered before keeps a part in what it did."
    )
    return 0
