"""`pressmark withdraw-approval APPROVAL --reason TEXT`: take one's own request back."""

from __future__ import annotations

import argparse

from registry.cli.approving import act_on, add_approval_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_approval_arguments(parser, "why")


def run(options: argparse.Namespace) -> int:
    """Withdraw it."""
    return act_on(options, "withdraw")
