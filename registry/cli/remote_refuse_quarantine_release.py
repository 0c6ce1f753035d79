"""`pressmark refuse-quarantine-release TEAM/MODEL@NUMBER --reason TEXT`: keep a version in quarantine."""

from __future__ import annotations

import argparse

from registry.cli.quarantined import act_on_release, add_release_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_release_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One recall is meant; where several stop the version, `--recall` says which."""
    act_on_release(options, "refuse-release")
    print(f"{options.version} stays in quarantine.")
    return 0
