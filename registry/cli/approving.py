"""What the verbs about approvals share: which approval is meant, what is said about it, and acts that take a reason."""

from __future__ import annotations

import argparse
import uuid
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.client import Client
from registry.errors import Invalid


def add_approval_arguments(parser: argparse.ArgumentParser, reason: str) -> None:
    """Which approval, and why."""
    parser.add_argument("approval", metavar="APPROVAL", help="its id, or TEAM/MODEL@N for the newest of a version")
    parser.add_argument("--alias", help="with TEAM/MODEL@N: the newest for this alias")
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help=f"{reason}; sealed with the act, auditors read it"
    )
    add_server_arguments(parser)


def approval_id(client: Client, options: argparse.Namespace) -> str:
    """The id of the approval that was meant."""
    try:
        return str(uuid.UUID(options.approval))
    except ValueError:
        team, model, number = split_version(options.approval)
    rows = client.get(f"teams/{team}/models/{model}/versions/{number}/approvals")["items"]
    found = [row for row in rows if options.alias in (None, row["alias"])]
    if not found:
        raise Invalid(
            f"{options.approval} has no such approval.", hint="`pressmark list-approvals --all` shows what there is."
        )
    return str(found[0]["id"])


def act_on(options: argparse.Namespace, verb: str, **conditions: Any) -> int:
    """Carry out one act on an approval, and say what it is worth now."""
    client = client_of(options)
    given = {name: value for name, value in conditions.items() if value is not None}
    print(line_of(client.decide_approval(approval_id(client, options), verb, options.reason, **given)))
    return 0


def line_of(row: dict[str, Any]) -> str:
    """One approval in a line."""
    said = [
        row["id"],
        row["version"],
        f"to {row['alias']}",
        row["status"],
        f"{row['grants']} of {row['required']} grants",
    ]
    missing = ", ".join(f"{count} by {role.replace('_', ' ')}" for role, count in row["missing"].items())
    if missing and row["status"] in ("requested", "returned"):
        said.append(f"missing: {missing}")
    said.append(f"ends {(row['ends_at'] or row['expires_at'])[:16]}")
    return "  ".join([*said, *row["status_reasons"]])
