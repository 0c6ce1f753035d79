"""`pressmark dry-run-policy POLICY|FILE [--team TEAM] [--name NAME]`: what a draft would change about all that aliases serve.

Exit 0: nothing that passes now would be blocked. 3: something would be.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "policy", metavar="POLICY|FILE", help="an authored policy such as limited@2, or a document as JSON"
    )
    parser.add_argument("--name", help="the name that a document would come under; the policy of that name is replaced")
    parser.add_argument("--team", help="only what this team serves")
    parser.add_argument("--json", action="store_true", help="the whole answer")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Try it; nothing is written."""
    found = _tried(options)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _print(found)
    return 3 if found["counts"]["newly_blocked"] else 0


def _tried(options: argparse.Namespace) -> dict[str, Any]:
    client, path = client_of(options), Path(options.policy)
    slug, at, number = options.policy.partition("@")
    if path.is_file():
        body = {"document": _document(path), "slug": options.name, "team": options.team}
        return dict(client.post("policies/dry-run", body))
    if not at or not number.isdecimal():
        raise Invalid(f"{options.policy!r} is neither a file nor a policy.", hint="Write it like limited@2.")
    return dict(client.get(f"policies/{slug}/{number}/dry-run", [("team", options.team)] if options.team else []))


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise Invalid(f"{path} holds no JSON.", hint="Start from `GET policies/ready-made`.") from None


def _print(found: dict[str, Any]) -> None:
    counts = found["counts"]
    for name in found["contradicts"]:
        print(f"could not come into force: {name} judges the same tier and alias")
    print(
        f"{counts['tried']} of {counts['live']} live versions are judged by it: {counts['pass_now']} pass now, "
        f"{counts['would_pass']} would pass; {counts['to_renew']} approvals would have to be asked for again"
    )
    for row in found["items"]:
        if row["verdict"] == "unchanged":
            continue
        print(f"{row['verdict']:14}  {row['version']}  ({row['alias']})  {row['now']} -> {row['then']}")
        for change in row["changes"]:
            print(
                f"    {change['rule']}: {change['before'] or 'not asked'} -> {change['after'] or 'gone'}. {change['reason']}"
            )
