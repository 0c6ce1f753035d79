"""`pressmark author-tier-table [FILE]`: the next questionnaire that tells tiers; without a file, the ready-made one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("document", metavar="FILE", nargs="?", type=Path, help="a pressmark/tier_table/1 document")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write it; it gives no tier yet."""
    client = client_of(options)
    if options.document is None:
        document = client.get("tier-tables/ready-made")["document"]
    else:
        try:
            document = json.loads(options.document.read_text())
        except (ValueError, RecursionError):
            raise Invalid(f"{options.document} holds no JSON.", hint="Start from the table that ships.") from None
    row = client.post("tier-tables", {"document": document})
    print(
        f"tier table {row['number']}  gives no tier yet. Somebody else runs: pressmark approve-tier-table {row['number']}"
    )
    return 0
