"""`pressmark end-webhook ID`: an address is told of nothing any more."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook", metavar="ID", help="`pressmark list-webhooks` has them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it, with what waits for it."""
    client_of(options).end_webhook(options.webhook)
    print("The address is told of nothing any more.")
    return 0
