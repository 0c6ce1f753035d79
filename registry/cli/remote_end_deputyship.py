"""`pressmark end-deputyship [ID]`: the deputyships that one may see, and ending one of them."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("deputyship", nargs="?", metavar="ID", help="which one; lists them, if left out")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it, or list what there is."""
    client = client_of(options)
    if options.deputyship:
        row = client.end_deputyship(options.deputyship)
        print(f"{row['deputy']} stands for {row['principal']} no longer; what was decided stays decided.")
        return 0
    for row in client.get("deputyships")["items"]:
        state = "in force" if row["in_force"] else "ended" if row["ended_at"] else "not in force"
        days = f"{row['begins_at'][:10]} to {row['ends_at'][:10]}"
        print(
            f"{row['id']}  {row['deputy']} for {row['principal']}  {row['role']}  {row['team'] or 'everywhere'}  {days}  {state}"
        )
    return 0
