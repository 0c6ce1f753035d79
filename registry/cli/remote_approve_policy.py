"""`pressmark approve-policy POLICY`: put a policy of somebody else in force."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="such as limited@2")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Put a policy of somebody else in force."""
    slug, _, number = options.policy.partition("@")
    if not number.isdecimal():
        raise Invalid(f"{options.policy!r} names no policy.", hint="Write it like limited@2.")
    row = client_of(options).post(f"policies/{slug}/{number}/approve")
    print(f"{row['policy']}  in force")
    return 0
