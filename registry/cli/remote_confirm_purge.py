"""`pressmark confirm-purge PURGE`: the second person; the bytes go now, and for good. `--withdraw` lets them stay."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one
from registry.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("purge", metavar="PURGE", help="its id, or what it is about: dataset_version:TEAM/DATASET@1")
    parser.add_argument("--withdraw", action="store_true", help="the bytes stay after all")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Confirm or withdraw; says what went."""
    client = client_of(options)
    key = _find(client, options.purge) if ":" in options.purge else options.purge
    row = client.post(f"purges/{key}/{'withdraw' if options.withdraw else 'confirm'}")
    if options.withdraw:
        print(f"The bytes of {row['about']} stay; that it was asked for stays on record.")
    else:
        print(f"The bytes of {row['about']} are gone, {row['freed_bytes']} of them; digest and facts stay.")
    return 0


def _find(client: Client, about: str) -> str:
    """The id of the one purge that waits for a second person."""
    rows = client.get("purges", [("about", about)])["items"]
    waiting = [row for row in rows if row["state"] == "requested"]
    return str(only_one(waiting, f"no purge of {about} waits", "Run `pressmark request-purge` first.")["id"])
