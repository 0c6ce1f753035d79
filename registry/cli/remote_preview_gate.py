"""`pressmark preview-gate TEAM/MODEL@N [--alias ALIAS]`: what must happen before a version may go live, and who has to do it.

Exit 0: the gate would let it pass. 3: something blocks.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from registry.cli.remote import add_server_arguments, client_of

_PASSES = ("passed", "passed-with-waiver")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@N")
    parser.add_argument("--alias", default="production", help="the name that consumers resolve (production)")
    parser.add_argument("--json", action="store_true", help="the whole answer, with the rules that pass")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Ask; nothing is written."""
    found = client_of(options).preview_gate(options.version, options.alias)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _print(found)
    return 0 if found["outcome"] in _PASSES and not found["purged"] else 3


def _print(found: dict[str, Any]) -> None:
    print(f"{found['version']} for '{found['alias']}': {found['outcome']}")
    if found["quarantined"]:
        print("  it is in quarantine: nothing serves it until the recall ends or it is let out")
    if found["purged"]:
        print("  its bytes were purged: nothing can serve it any more; release another version")
    if found["unjudged"]:
        print(f"  {found['unjudged']['reason']} {found['unjudged']['hint']}")
        _print_mends(found["unjudged"]["who_can_mend"])
        return
    print(f"  judged by {found['policy']}, tier {found['tier']}")
    for rule in found["rules"]:
        if rule["answer"] in ("blocked", "waived"):
            print(f"  {rule['answer']:8} {rule['rule']}: {rule['reason']}")
            _print_mends(rule["who_can_mend"])
    for number, step in enumerate(found["steps"], start=1):
        print(f"  {number}. {'done' if step['done'] else 'to do'}: {step['what']} ({step['who']})")


def _print_mends(mends: list[dict[str, Any]]) -> None:
    for mend in mends:
        print(f"           {mend['act']} ({mend['who']})")
