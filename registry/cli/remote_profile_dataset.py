"""`pressmark profile-dataset TEAM/DATASET@N`: have the rows of a dataset version looked at, and say what was found."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from registry.cli.remote import add_server_arguments, client_of
from registry.client import Client

_TO_LOOK_AT = {
    "duplicate_rows_share": "repeated rows",
    "missing_label_share": "rows without a label",
    "conflicting_label_rows_share": "rows whose like has another label",
    "suspected_label_errors_share": "labels that are probably wrong",
    "rows_seen_share_worst": "rows that stand in other data",
}
"""Figures of a profile over all rows, and what they count."""
_POLL_SECONDS = 1.0
_WAITING = ("waiting", "working")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset_version", metavar="TEAM/DATASET@N")
    parser.add_argument("--label", metavar="COLUMN", help="the column with the right answers")
    parser.add_argument(
        "--against", action="append", default=[], metavar="TEAM/DATASET@N",
        help="data whose rows should not be found here: what a model was trained or calibrated on",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wait", action="store_true", help="watch it to its end and say what it found")
    parser.add_argument("--json", action="store_true", help="with --wait: everything that was found, as JSON")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Exit status 0 when it is requested or, with --wait, when it has finished."""
    client = client_of(options)
    asked = {"label": options.label, "against": options.against, "seed": options.seed}
    profile = client.request_profile(options.dataset_version, **asked)
    if not options.wait and not options.json:
        print(f"Profile {profile['id']} of {profile['dataset_version']} is waiting for a worker.")
        return 0
    found = _watch(client, profile["id"])
    if found["state"] != "finished":
        print(f"The profile {found['state']}: {found['failure_code'] or ''} {found['failure'] or ''}")
        return 1
    print(json.dumps(found, indent=1, ensure_ascii=False) if options.json else "\n".join(told(found)))
    return 0


def _watch(client: Client, profile: str) -> dict[str, Any]:
    while True:
        found = client.profile(profile)
        if found["state"] not in _WAITING:
            return found
        time.sleep(_POLL_SECONDS)


def told(found: dict[str, Any]) -> list[str]:
    """What a person reads: each figure in a sentence, then the rows to look at."""
    document = found["document"]
    counted = document["data"]["counted"]
    lines = [f"{found['dataset_version']}, {document['data']['rows']:,} rows", *document["plain"]]
    for name, rows in document["examples"].items():
        if rows:
            shown = "; ".join(" and ".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)
            lines.append(f"{name.replace('_', ' ')}, by {counted}: {shown}")
    for other in document["against"]:
        pairs = "; ".join(f"{here} is {there} there" for here, there in other["same_pairs"])
        lines += [f"in {other['digest']}, by {counted}: {pairs}"] if pairs else []
    suspects = (document["label"] or {}).get("suspects", [])
    lines += [
        f"{counted} {one['row']}: labelled {one['given']!r}, more likely {one['suggested']!r} "
        f"({one['suggested_probability']} against {one['given_probability']})"
        for one in suspects[:20]
    ]
    return [*lines, _conclusion(document)]


def _conclusion(document: dict[str, Any]) -> str:
    """One line at the end: what a person should look at before the data are used."""
    whole = {f["metric"]: f for f in document["figures"] if f["value"] is not None}
    counts = {said: round(float(whole[m]["value"]) * whole[m]["n"]) for m, said in _TO_LOOK_AT.items() if m in whole}
    doubtful = [f"{said} ({count:,})" for said, count in counts.items() if count > 0]
    if not doubtful:
        return "Conclusion: nothing here has to be looked at before the data are used."
    return f"Conclusion: look first at {', '.join(doubtful)}."
