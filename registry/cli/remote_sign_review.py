"""`pressmark sign-review ABOUT --kind KIND (--accept | --refuse) --statement TEXT`: what you found in one state of something."""

from __future__ import annotations

import argparse
import json

from registry.cli.remote import add_server_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("about", metavar="ABOUT", help="version:TEAM/MODEL@3 or dataset_version:TEAM/DATASET@1")
    parser.add_argument("--kind", required=True, help="vetting, privacy, legal, security, quality or other")
    answer = parser.add_mutually_exclusive_group(required=True)
    answer.add_argument("--accept", action="store_true", help="it may be used as it is")
    answer.add_argument("--refuse", action="store_true", help="it may not")
    parser.add_argument("--statement", required=True, help="what you looked at and found")
    parser.add_argument(
        "--next-on", metavar="DAY", help="day of the next review, such as 2027-11-01; it counts until then"
    )
    parser.add_argument("--json", action="store_true", help="the review as JSON")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Sign it under your own name; it counts for exactly the bytes that are there now."""
    body = {
        "about": options.about,
        "kind": options.kind,
        "accepted": options.accept,
        "statement": options.statement,
        "next_on": options.next_on,
    }
    row = client_of(options).post("reviews", body)
    if options.json:
        print(json.dumps(row, indent=1))
        return 0
    until = f", until {row['next_on']}" if row["next_on"] else ""
    print(f"{row['id']}  {row['kind']}  {'accepted' if row['accepted'] else 'refused'}{until}  {row['about']}")
    return 0
