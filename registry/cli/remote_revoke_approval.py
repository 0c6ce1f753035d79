"""`pressmark revoke-approval APPROVAL --reason TEXT`: take a yes back."""

from __future__ import annotations

import argparse

from registry.cli.approving import act_on, add_approval_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_approval_arguments(parser, "why")


def run(options: argparse.Namespace) -> int:
    """Revoke it; what the alias serves is not moved by this."""
    return act_on(options, "revoke")
