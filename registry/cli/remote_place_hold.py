"""`pressmark place-hold ABOUT --reason TEXT`: nothing that it names is purged or erased until the hold is ended."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("about", metavar="ABOUT", help="model:, version:, dataset: or dataset_version:TEAM/NAME[@N]")
    parser.add_argument("--reason", required=True, help="what it is kept for")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Place it."""
    row = client_of(options).post("holds", {"about": options.about, "reason": options.reason})
    print(f"{row['id']}  {row['about']} is kept until `pressmark end-hold {row['id']}`")
    return 0
