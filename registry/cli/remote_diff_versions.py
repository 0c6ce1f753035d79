"""`pressmark diff-versions TEAM/MODEL@N TEAM/MODEL@M`: two versions side by side, what differs first."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, split_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for side in ("left", "right"):
        parser.add_argument(side, metavar="TEAM/MODEL@N", help="a number, an alias, or sha256:...")
    parser.add_argument("--all", action="store_true", help="what is the same as well")
    parser.add_argument("--json", action="store_true", help="all of it as JSON")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Differences by part; one line says which parts are the same."""
    for side in (options.left, options.right):
        split_version(side)
    found = client_of(options).get("diff-versions", [("left", options.left), ("right", options.right)])
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print(f"{found['left']['version']}  {found['left']['digest']}")
    print(f"{found['right']['version']}  {found['right']['digest']}")
    print("\n".join(_told(found["parts"], options.all)))
    return 0


def _told(parts: list[Mapping[str, Any]], everything: bool) -> Iterator[str]:
    for part in parts:
        lines = [line for line in part["lines"] if everything or not line["same"]]
        if lines:
            yield f"\n{part['title']}"
            yield from (f"  {text}" for line in lines for text in _line(line))
    same = [part["title"].lower() for part in parts if part["differing"] == 0]
    if same:
        yield f"\nThe same: {', '.join(same)}."


def _line(line: Mapping[str, Any]) -> Iterator[str]:
    yield line["what"]
    if line["same"]:
        yield f"  = {line['left']}"
        return
    yield f"  - {_side(line['left'])}"
    yield f"  + {_side(line['right'])}" + (f"   [{line['note']}]" if line["note"] else "")


def _side(text: str | None) -> str:
    return "nothing" if text is None else text
