"""`pressmark answer-approval APPROVAL --reason TEXT`: answer the question with which a request was returned."""

from __future__ import annotations

import argparse

from registry.cli.approving import act_on, add_approval_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_approval_arguments(parser, "the answer")


def run(options: argparse.Namespace) -> int:
    """Answer; those who decide can go on."""
    return act_on(options, "answer")
