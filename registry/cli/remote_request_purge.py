"""`pressmark request-purge ABOUT --reason TEXT`: ask that the bytes of a version go for good."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("about", metavar="ABOUT", help="version:TEAM/MODEL@3 or dataset_version:TEAM/DATASET@1")
    parser.add_argument("--reason", required=True, help="shown to whoever asks for the bytes afterwards")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Ask; nothing goes before somebody else confirms it."""
    row = client_of(options).post("purges", {"about": options.about, "reason": options.reason})
    print(f"{row['id']}  asked for. Nothing goes before somebody else runs: pressmark confirm-purge {row['id']}")
    return 0
