"""`pressmark author-policy NAME FILE|--ready-made SLUG`: the next policy under a name; somebody else puts it in force."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from registry.cli.remote import add_server_arguments, client_of
from registry.client import Client
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="such as limited; a new number where it is there already")
    parser.add_argument("document", metavar="FILE", type=Path, nargs="?", help="a pressmark/policy/1 document")
    parser.add_argument(
        "--ready-made",
        metavar="SLUG",
        help="one that ships, as it is; `pressmark list-policies --ready-made` lists them",
    )
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write it; it judges nothing yet."""
    if (options.document is None) == (options.ready_made is None):
        raise Invalid("One document is needed.", hint="Give a FILE, or --ready-made SLUG for one that ships.")
    client = client_of(options)
    document = _ready_made(client, options.ready_made) if options.ready_made else _read(options.document)
    row = client.post("policies", {"slug": options.name, "document": document})
    print(f"{row['policy']}  judges nothing yet. Try it: pressmark dry-run-policy {row['policy']}")
    print(f"Then somebody else runs: pressmark approve-policy {row['policy']}")
    return 0


def _read(path: Path) -> Any:
    if not path.is_file():
        raise Invalid(f"There is no file {path}.", hint="`pressmark author-policy NAME --ready-made SLUG` needs none.")
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise Invalid(
            f"{path} holds no JSON.", hint="Start from `pressmark list-policies --ready-made --json`."
        ) from None


def _ready_made(client: Client, slug: str) -> Any:
    found = {row["slug"]: row["document"] for row in client.get("policies/ready-made")["items"]}
    if slug not in found:
        raise Invalid(f"No policy {slug!r} ships.", hint=f"There are: {', '.join(found)}.")
    return found[slug]
