"""`pressmark request-approval TEAM/MODEL@N --alias ALIAS --reason TEXT`: ask that a version may be released."""

from __future__ import annotations

import argparse

from registry.cli.approving import line_of
from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@N")
    parser.add_argument("--alias", default="production", help="the name that consumers resolve (production)")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it should be released")
    parser.add_argument(
        "--until", metavar="TIME", help="an end before that of the policy: a pilot, 2026-01-31T12:00:00Z"
    )
    parser.add_argument("--target", metavar="TEAM/TARGET@N", help="it may run there alone")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Ask; the gate answers first, and says every rule that blocks."""
    given = {"expires_at": options.until, "target": options.target}
    row = client_of(options).request_approval(options.version, options.alias, options.reason, **given)
    print(line_of(row))
    return 0
