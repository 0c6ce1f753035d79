"""`pressmark end-hold ID --reason TEXT`: it need not be kept any longer."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("hold", metavar="ID", help="`pressmark list-holds ABOUT` lists them")
    parser.add_argument("--reason", required=True, help="why it need not be kept")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it; that it was held stays on record."""
    row = client_of(options).post(f"holds/{options.hold}/end", {"reason": options.reason})
    print(f"{row['id']}  {row['about']} is held no longer, since {row['ended_at'][:19]}")
    return 0
