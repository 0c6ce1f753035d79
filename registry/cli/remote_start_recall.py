"""`pressmark start-recall ABOUT --reason TEXT`: stop all that was made from something; `--dry-run` shows what that is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from registry.cli.counted import are, counted
from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    help_text = "dataset_version:TEAM/DATASET@1, version:TEAM/MODEL@3 or licence:EXPRESSION"
    parser.add_argument("about", metavar="ABOUT", help=help_text)
    parser.add_argument("--reason", default="", help="needed to start it")
    parser.add_argument("--dry-run", action="store_true", help="only show what it would stop, live versions first")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Show what it would stop, or start it. Nothing is moved: owners of what is live are told."""
    client = client_of(options)
    if options.dry_run:
        _tell(client.preview_recall(options.about))
        return 0
    if not options.reason.strip():
        raise Invalid("A recall needs a reason.", hint="Give --reason, or --dry-run to see what it would stop.")
    row = client.start_recall(options.about, options.reason)
    stopped = f"{counted(row['affected'], 'version')} {are(row['affected'])} in quarantine"
    print(f"{row['id']}  {row['about']} is recalled; {stopped}. Nothing was moved.")
    return 0


def _tell(found: Mapping[str, Any]) -> None:
    versions, models = counted(found["versions"], "version"), counted(found["models"], "model")
    print(
        f"A recall of {found['about']} would stop {versions} in {models} of {counted(found['teams'], 'team')}; "
        f"{found['live']} of them {are(found['live'])} live."
    )
    for item in found["shown"]:
        live = f"  LIVE as {', '.join(item['served_as'])}" if item["served_as"] else ""
        print(f"  {item['version']}  {item['version_digest'][:19]}  {counted(item['distance'], 'step')}{live}")
    unnamed = found["versions"] - found["hidden"] - len(found["shown"])
    if unnamed:
        print(f"  and {unnamed} more")
    if not found["whole"]:
        print("  counted is what you may read; who may start a recall learns how much it stops elsewhere")
    if found["hidden"]:
        belong = "belongs" if found["hidden"] == 1 else "belong"
        print(f"  {found['hidden']} {belong} to teams whose things you may not read; their owners are told")
