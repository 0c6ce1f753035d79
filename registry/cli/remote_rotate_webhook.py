"""`pressmark rotate-webhook ID`: a new secret, which counts at once."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook", metavar="ID", help="`pressmark list-webhooks` has them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Rotate it."""
    made = client_of(options).rotate_webhook(options.webhook)
    print(f"secret  {made['secret']}")
    print("It counts from now on and is not shown again; what the receiver refuses meanwhile is sent again.")
    return 0
