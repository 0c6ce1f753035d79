"""`pressmark correct-version TEAM/MODEL@N --reason TEXT`: what was registered wrongly about a version, said anew."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@NUMBER")
    parser.add_argument("--licence", metavar="SPDX", default="")
    parser.add_argument("--training-data", choices=["complete", "incomplete", "unknown"])
    parser.add_argument("--reason", required=True)
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Correct it; what was registered stays on record."""
    team, model, number = split_version(options.version)
    if not number.isdigit():
        raise Invalid(f"{options.version!r} names no number.", hint="Write TEAM/MODEL@NUMBER.")
    body = {"licence": options.licence, "training_data": options.training_data, "reason": options.reason}
    row = client_of(options).post(f"teams/{team}/models/{model}/versions/{number}/corrections", body)
    print(f"Correction {row['number']} of {options.version} counts from now on; what was registered stays on record.")
    return 0
