"""`pressmark end-ruling RULING --reason TEXT`: a ruling counts no longer, or is taken back before it did."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ruling", metavar="RULING", help="its id")
    parser.add_argument("--reason", required=True)
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it; that it was made stays on record."""
    row = client_of(options).post(f"rulings/{options.ruling}/end", {"reason": options.reason})
    print(f"Ruling {row['number']} on {row['licence']} has ended; what it said stays on record.")
    return 0
