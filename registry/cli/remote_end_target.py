"""`pressmark end-target TEAM/TARGET@N`: nothing runs there any more."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TEAM/TARGET@N")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it: approvals that are limited to it are stale from now on."""
    team, slug, number = split_version(options.target)
    client = client_of(options)
    rows = [row for row in client.targets(team) if row["target"] == f"{team}/{slug}@{number}"]
    if not rows:
        raise Invalid(
            f"There is no target {options.target}.", hint=f"The targets of {team} stand at teams/{team}/targets."
        )
    client.end_target(rows[0]["id"])
    print(f"{options.target} has ended.")
    return 0
