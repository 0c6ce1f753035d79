"""`pressmark close-finding ID --closure TEXT`: say how a finding was mended, or why it need not be."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("finding", metavar="ID", help="`pressmark list-findings` lists them")
    parser.add_argument("--closure", required=True, help="how it was mended, or why it need not be")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Close it for good."""
    row = client_of(options).post(f"findings/{options.finding}/close", {"closure": options.closure})
    print(f"{row['id']}  {row['state']}  {row['subject']}")
    return 0
