"""`pressmark end-recall RECALL --reason TEXT`: it may be used again, and its quarantines end."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recall", metavar="RECALL", help="its id, or what was recalled: dataset_version:TEAM/DATASET@1")
    parser.add_argument("--reason", required=True)
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it; findings stay until people close them."""
    client = client_of(options)
    key = options.recall
    if ":" in key:
        found = client.get("recalls", [("about", key)])["items"]
        key = str(only_one(found, f"no recall of {key} is open", "The page of recalls lists them.")["id"])
    row = client.end_recall(key, options.reason)
    print(
        f"The recall of {row['about']} has ended, and its quarantines with it. Findings stay until people close them."
    )
    return 0
