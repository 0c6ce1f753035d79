"""`pressmark register-webhook URL --kind KIND...`: an address is told of events."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="https://...")
    parser.add_argument(
        "--kind",
        action="append",
        required=True,
        metavar="KIND",
        help="such as alias.promoted; more than once; '*' for all",
    )
    parser.add_argument("--team", metavar="TEAM", help="of this team alone; of the whole installation, if left out")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Register it; the secret goes to standard output, and is shown this once."""
    made = client_of(options).register_webhook(options.url, options.kind, options.team)
    print(f"webhook {made['id']}")
    print(f"secret  {made['secret']}")
    print("Keep the secret with the receiver now: it is not shown again. docs/notices.md has the check of a signature.")
    return 0
