"""`pressmark grant-approval APPROVAL --reason TEXT`: say yes to a request for release, with conditions or without."""

from __future__ import annotations

import argparse

from registry.cli.approving import act_on, add_approval_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_approval_arguments(parser, "why")
    parser.add_argument(
        "--until", metavar="TIME", help="a condition: an end before that of the request, 2026-01-31T12:00:00Z"
    )
    parser.add_argument("--target", metavar="TEAM/TARGET@N", help="a condition: it may run there alone")


def run(options: argparse.Namespace) -> int:
    """Grant it; it is granted once all that are needed have."""
    return act_on(options, "grant", expires_at=options.until, target=options.target)
