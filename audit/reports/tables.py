"""The control table as CSV, for auditors who live in spreadsheets: one row per requirement, safe to open.

A cell that a spreadsheet could read as a formula (it begins with = + - @, a tab or a line end) gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from audit.reports import wording

COLUMNS = (
    "requirement", "function", "category", "class", "summary", "status", "reason", "rules", "collected_at", "expires_at",
    "evidence", "attested_by", "attested_at", "attestation_expires_at", "finding_owner", "finding_due_on", "outside",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(report: Mapping[str, Any]) -> bytes:
    """UTF-8 with a byte order mark (so that spreadsheets read it as UTF-8), comma, CRLF."""
    target = io.StringIO(newline="")
    writer = csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in report["assessment"]["requirements"]:
        writer.writerow([safe_cell(cell) for cell in _cells(row)])
    return b"\xef\xbb\xbf" + target.getvalue().encode()


def safe_cell(text: str) -> str:
    """The text, made harmless where a spreadsheet would compute it."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _cells(row: Mapping[str, Any]) -> list[str]:
    signed = row["attestation"]["signed"] or {}
    finding = row["finding"] or {}
    rules = "; ".join(f"{rule['fact']}: {rule['outcome']} ({rule['value']})" for rule in row["rules"])
    by = wording.person(signed["role"], signed["signed_by"]) if signed else ""
    owner = wording.person("owner", finding["owner"]) if finding else ""
    return [
        row["id"], row["function"], row["category"], row["class"], row["title"], wording.STATUS_WORDS[row["status"]],
        row["reason"], rules, row["collected_at"] or "", row["expires_at"] or "", " ".join(row["evidence"]), by,
        signed.get("signed_at", ""), signed.get("expires_at", ""), owner, finding.get("due_on", ""), row["outside"],
    ]  # fmt: skip
