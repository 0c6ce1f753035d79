"""`pressmark reject-approval APPROVAL --reason TEXT`: say no to a request for release."""

from __future__ import annotations

import argparse

from registry.cli.approving import act_on, add_approval_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_approval_arguments(parser, "why")


def run(options: argparse.Namespace) -> int:
    """Reject it; the request is over."""
    return act_on(options, "reject")
