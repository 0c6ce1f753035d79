"""`pressmark correct-dataset-version TEAM/DATASET@N --reason TEXT`: what was registered wrongly about data, said anew."""

from __future__ import annotations

import argparse
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.cli.remote_register_dataset_version import add_statements, statements_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/DATASET@NUMBER")
    parser.add_argument("--licence", metavar="SPDX", default="")
    parser.add_argument("--origin", metavar="TEXT")
    parser.add_argument("--use", action="append", metavar="USE", help="all that it is for, from now on")
    parser.add_argument("--widen-uses", action="store_true", help="it is for more than before, and that is meant")
    parser.add_argument("--steward", metavar="USER", help="who answers for the dataset from now on")
    parser.add_argument(
        "--unstated", action="append", default=[], metavar="NAME", help="what nobody can say after all: owner, ..."
    )
    parser.add_argument("--reason", required=True)
    add_statements(parser)
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Correct it; what was registered stays on record."""
    team, dataset, number = split_version(options.version)
    if not number.isdigit():
        raise Invalid(f"{options.version!r} names no number.", hint="Write TEAM/DATASET@NUMBER.")
    body: dict[str, Any] = {
        "licence": options.licence, "origin": options.origin, "uses": options.use, "widen_uses": options.widen_uses,
        "steward": options.steward, "unstated": [name.replace("-", "_") for name in options.unstated],
        "reason": options.reason, **statements_of(options),
    }  # fmt: skip
    row = client_of(options).post(f"teams/{team}/datasets/{dataset}/versions/{number}/corrections", body)
    print(f"Correction {row['number']} of {options.version} counts from now on; what was registered stays on record.")
    return 0
