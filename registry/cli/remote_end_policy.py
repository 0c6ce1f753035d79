"""`pressmark end-policy POLICY`: take a policy out of force."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="such as limited@2")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Take a policy out of force."""
    slug, _, number = options.policy.partition("@")
    if not number.isdecimal():
        raise Invalid(f"{options.policy!r} names no policy.", hint="Write it like limited@2.")
    row = client_of(options).post(f"policies/{slug}/{number}/end")
    print(f"{row['policy']}  out of force")
    return 0
