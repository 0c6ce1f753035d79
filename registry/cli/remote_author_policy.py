"""`pressmark author-policy NAME FILE`: the next policy under a name; somebody else puts it in force."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="such as limited; a new number where it is there already")
    parser.add_argument("document", metavar="FILE", type=Path, help="a pressmark/policy/1 document")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write it; it judges nothing yet."""
    try:
        document = json.loads(options.document.read_text())
    except ValueError:
        raise Invalid(f"{options.document} holds no JSON.", hint="Start from `GET policies/ready-made`.") from None
    row = client_of(options).post("policies", {"slug": options.name, "document": document})
    print(f"{row['policy']}  judges nothing yet. Try it: pressmark dry-run-policy {row['policy']}")
    print(f"Then somebody else runs: pressmark approve-policy {row['policy']}")
    return 0
