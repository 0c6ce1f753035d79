"""`pressmark reopen-finding ID --note TEXT`: say that a finding was not mended after all."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("finding", metavar="ID", help="`pressmark list-findings` lists them")
    parser.add_argument("--note", required=True, help="why")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One step; the finding counts until somebody closes it."""
    row = client_of(options).post(f"findings/{options.finding}/reopen", {"note": options.note})
    print(f"{row['id']}  {row['state']}  {row['subject']}  due {row['due_on']}")
    return 0
