"""`pressmark verify-ledger`: recompute every leaf, number, time and root, and compare every governed table with the ledger."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from audit import replay, verify_ledger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hash-documents", action="store_true", help="read every stored document and hash it again")
    parser.add_argument("--key", action="append", default=[], metavar="KEYLINE", help="a key line kept elsewhere")
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    """Exit status 0 when nothing is wrong, 1 when something is, with the first bad position."""
    report = verify_ledger.verify(hash_documents=options.hash_documents, key_lines=options.key)
    differences = replay.compare()
    good = report.ok and not differences
    if options.json:
        said = asdict(report) | {"ok": good, "differences": [asdict(d) for d in differences]}
        print(json.dumps(said, default=str, indent=1))
        return 0 if good else 1
    print(f"{report.size} entries of {report.origin}, root {report.root}")
    print(f"{report.checkpoints_checked} checkpoints, {report.documents_checked} documents", end="")
    print(" hashed again" if report.documents_hashed else " present (--hash-documents reads them)")
    for flaw in report.flaws:
        print(f"WRONG  {flaw}", file=sys.stderr)
    if report.flaw_count > len(report.flaws):
        print(f"       and {report.flaw_count - len(report.flaws)} more", file=sys.stderr)
    for difference in differences:
        print(f"DIFFERS  {difference}", file=sys.stderr)
    if good:
        print("The ledger is whole, and every table is what the ledger says.")
    return 0 if good else 1
