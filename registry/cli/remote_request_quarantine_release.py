"""`pressmark request-quarantine-release TEAM/MODEL@NUMBER --reason TEXT`: ask that a version in quarantine may be used."""

from __future__ import annotations

import argparse

from registry.cli.quarantined import act_on_release, add_release_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_release_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One recall is meant; where several stop the version, `--recall` says which."""
    act_on_release(options, "request-release")
    print(f"A release of {options.version} is asked for. Somebody who had no part in it decides.")
    return 0
