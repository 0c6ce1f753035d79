"""`pressmark open-finding TEAM/MODEL --subject TEXT --description TEXT --owner NAME --due-on DAY`: something to be mended."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="TEAM/MODEL")
    parser.add_argument("--subject", required=True, help="in a few words; sealed in clear")
    parser.add_argument("--description", required=True, help="what is wrong")
    parser.add_argument("--owner", required=True, help="user name of who is to mend it")
    parser.add_argument("--due-on", required=True, metavar="DAY", help="such as 2027-01-31")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Open it."""
    team, model = split_model(options.model)
    body = {name: getattr(options, name) for name in ("subject", "description", "owner", "due_on")}
    row = client_of(options).post(f"teams/{team}/models/{model}/findings", body)
    print(f"{row['id']}  {row['state']}  {row['subject']}  due {row['due_on']}")
    return 0
