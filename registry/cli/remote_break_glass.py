"""`pressmark break-glass TEAM/MODEL@NUMBER ALIAS --reason TEXT`: serve a version that nobody approved, in an emergency."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@NUMBER")
    parser.add_argument("alias", metavar="ALIAS", help="such as production")
    parser.add_argument("--reason", required=True, help="what the emergency is; it is shown for ever")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Move it, and say until when: everybody is told, a finding is open, somebody else reviews it."""
    team, model, number = split_version(options.version)
    if not number.isdigit():
        raise Invalid(f"{options.version!r} names no version by its number.", hint="Write TEAM/MODEL@NUMBER.")
    client = client_of(options)
    move = client.move_alias(
        f"{team}/{model}@{options.alias}", "break-glass", version=int(number), reason=options.reason
    )  # fmt: skip
    glass = move["broken_glass"]
    print(f"{team}/{model}@{options.alias} serves {move['version']} WITHOUT AN APPROVAL until {glass['expires_at']}.")
    judged = (
        f"The gate said {glass['verdict']['outcome']}" if glass["verdict"] else "No policy was in force to judge it"
    )
    print(f"{judged}. A finding is open; somebody who had no part in it reviews it.")
    return 0
