"""`pressmark assign-finding ID --note TEXT [--owner NAME] [--due-on DAY]`: another owner, another day."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("finding", metavar="ID", help="`pressmark list-findings` lists them")
    parser.add_argument("--note", required=True, help="why")
    parser.add_argument("--owner", metavar="NAME", help="user name of who mends it from now on")
    parser.add_argument("--due-on", metavar="YYYY-MM-DD", help="a later day is given by whoever may close it")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Hand it over, or move its day."""
    body = {"note": options.note, "owner": options.owner, "due_on": options.due_on}
    row = client_of(options).post(f"findings/{options.finding}/assign", body)
    print(f"{row['id']}  {row['state']}  {row['subject']}  due {row['due_on']}")
    return 0
