"""`pressmark drill-rollback TEAM/MODEL@ALIAS`: go through a roll-back, time it, and move nothing."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alias", metavar="TEAM/MODEL@ALIAS")
    parser.add_argument("--to", type=int, metavar="NUMBER", help="a version; else the one that was served just before")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Exit 0: it would go; 1: it would not, with every reason."""
    split_version(options.alias)
    row = client_of(options).move_alias(options.alias, "drills", to_version=options.to)
    if row["eligible"]:
        print(f"A roll-back of {options.alias} would go to {row['version']}. Nothing was moved.")
    else:
        where = f" to {row['version']}" if row["version"] else ""
        print(f"A roll-back of {options.alias}{where} would NOT go. Nothing was moved.")
    for reason in row["reasons"]:
        print(f"  - {reason}")
    if row["version"]:
        read = f"{row['size_bytes']} bytes read in {row['bytes_milliseconds']} ms"
        print(f"Decided in {row['decision_milliseconds']} ms, {read}.")
    return 0 if row["eligible"] else 1
