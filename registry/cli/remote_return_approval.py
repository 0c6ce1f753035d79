"""`pressmark return-approval APPROVAL --reason TEXT`: send a request back with a question."""

from __future__ import annotations

import argparse

from registry.cli.approving import act_on, add_approval_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_approval_arguments(parser, "the question")


def run(options: argparse.Namespace) -> int:
    """Return it; it goes on when somebody of the team has answered."""
    return act_on(options, "return")
