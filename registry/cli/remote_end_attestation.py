"""`pressmark end-attestation TEAM/MODEL REQUIREMENT`: a signed statement about a model is taken back."""

from __future__ import annotations

import argparse

from registry.cli.remote import add_server_arguments, client_of, only_one, split_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="TEAM/MODEL")
    parser.add_argument("requirement", metavar="REQUIREMENT", help='such as "MAP 1.1", or the id of the statement')
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """End it; that it was made stays on record."""
    client = client_of(options)
    team, model = split_model(options.model)
    rows = client.get(f"teams/{team}/models/{model}/attestations")["items"]
    wanted = options.requirement
    found = [row for row in rows if not row["ended_at"] and wanted in (row["requirement"], row["id"])]
    what = f"no statement about {wanted} of {options.model} is in force"
    row = only_one(found, what, "Where there are several, give the id: " + ", ".join(row["id"] for row in found))
    client.post(f"attestations/{row['id']}/end")
    print(f"The statement about {row['requirement']} has ended; that it was made stays on record.")
    return 0
