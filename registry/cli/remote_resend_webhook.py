"""`pressmark resend-webhook ID`: what was given up for a webhook is tried again, once its receiver is mended."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook", metavar="ID", help="`pressmark list-webhooks` has them")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for it; the keeper sends within seconds."""
    again = client_of(options).resend_webhook(options.webhook)["again"]
    print(
        f"{again} notices wait to be sent again." if again else "Nothing was given up; there is nothing to send again."
    )
    return 0
