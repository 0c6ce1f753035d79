"""`pressmark evaluate TEAM/MODEL@N`: request an evaluation by a plan, watch it, and say what it found."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from registry.cli.remote import add_server_arguments, client_of, split_version
from registry.cli.remote_compress import read_plan, say_what_is_at_stake, watch
from registry.cli.remote_show import resolve
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="TEAM/MODEL@N", help="a number, an alias, or sha256:...")
    parser.add_argument(
        "--data", required=True, metavar="DATASET@N", help="the rows to judge by; TEAM/DATASET@N of another team"
    )
    parser.add_argument("--file", metavar="PATH", help="the file of the rows, where the data has several")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="pressmark/evaluation_plan/1 as JSON")
    parser.add_argument("--incumbent", metavar="ALIAS", help="compare with what it serves; production, if left out")
    parser.add_argument(
        "--price-sheet", type=Path, metavar="FILE", help="what computing costs you: energy, cost, net benefit"
    )
    parser.add_argument("--out-of-distribution", metavar="DATASET@N", help="rows of another kind")
    parser.add_argument("--baseline", metavar="DATASET@N", help="rows that monitors compare with")
    parser.add_argument(
        "--allow-seen", action="store_true", help="also on rows that the version was made with; every figure says so"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wait", action="store_true", help="watch it to its end and say what it found")
    parser.add_argument(
        "--outputs", type=Path, metavar="FILE", help="with --wait: fetch what the models answered, row by row"
    )
    parser.add_argument("--json", action="store_true", help="with --wait: everything that was found, as JSON")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Exit status 0 when it is requested or, with --wait, when it has succeeded."""
    if (options.outputs or options.json) and not options.wait:
        raise Invalid("--outputs and --json need what an evaluation found.", hint="Add --wait.")
    plan = None if options.plan is None else read_plan(options.plan)
    prices = None if options.price_sheet is None else read_plan(options.price_sheet)
    client = client_of(options)
    version = resolve(client, options.version)
    team, _, _ = split_version(version["ref"])
    named = {
        "evaluation": options.data,
        "baseline": options.baseline,
        "out_of_distribution": options.out_of_distribution,
    }
    body = {use: name if name is None or "/" in name else f"{team}/{name}" for use, name in named.items()}
    asked = {
        "evaluation_file": options.file,
        "plan": plan,
        "incumbent": options.incumbent,
        "allow_seen": options.allow_seen,
        "seed": options.seed,
        "price_sheet": prices,
    }
    requested = client.request_evaluation(version["ref"], str(body.pop("evaluation")), **body, **asked)
    say_what_is_at_stake(requested)
    if not options.wait:
        print(f"Evaluation {requested['id']} of {version['ref']} is queued.")
        return 0
    finished = watch(client, requested["id"])
    if finished["state"] != "succeeded":
        print(f"The evaluation {finished['state']}: {finished['failure_code'] or ''} {finished['failure'] or ''}")
        return 1
    found = client.evaluation(version["ref"], requested["id"])
    if options.outputs:
        client.download_outputs(version["ref"], requested["id"], options.outputs, found["run"]["outputs_digest"])
    print(json.dumps(found, indent=1, ensure_ascii=False) if options.json else "\n".join(told(found)))
    return 0


def told(found: dict[str, Any]) -> list[str]:
    """What a person reads: against what, on which rows, the figures over all rows, and for whom it is worst.

    All slices are on the page.
    """
    beside = [f"{role} {other['reference']}" for role, other in found["compared_with"].items() if other]
    file = next((f" of {data['file']}" for data in found["data"] if data.get("file")), "")
    lines = [f"{found['version']} on {found['n']} rows{file}, beside {', '.join(beside) or 'no other version'}"]
    for data in found["data"]:
        if data["broken"]:
            lines.append(f"{data['left_out']:,} rows of {data['reference']} could not be used: {data['broken'][0]}")
        for entry in data.get("unlisted_labels") or ():
            label = "a label that you may not read" if entry["label"] is None else f"label {entry['label']!r}"
            lines.append(
                f"{label}: {entry['rows']:,} row{'' if entry['rows'] == 1 else 's'}, is none of the plan's classes"
            )
    if found["seen"]["rows"]:
        lines.append(
            f"The version had seen {found['seen']['rows']} of these rows when it was made: no gate takes these figures, "
            "unless its policy says so."
        )
    lines += _doubts(found.get("doubts") or {})
    for evidence in found["evidence"]:
        whole = [figure["sentence"] for figure in evidence["figures"] if not figure["slice"] or _says_for_whom(figure)]
        parts = len(evidence["figures"]) - len(whole)
        lines += [
            f"{evidence['kind']}{f' (and {parts} figures of parts)' if parts else ''}",
            *(f"  {s}" for s in whole),
        ]
    return lines


def _doubts(said: dict[str, str | None]) -> list[str]:
    """What makes every figure worth less; an older server does not say it."""
    lines = []
    if said.get("distinct_rows"):
        of = f" of {said['evaluated_rows']}" if said.get("evaluated_rows") else ""
        lines.append(
            f"{said['distinct_rows']}{of} rows differ: each other one stands in the data again, and every n counts it."
        )
    if said.get("scores_doubted"):
        lines.append(
            f"The plan most likely misnames the scores ({said['scores_doubted']}): no gate takes what leans on them, unless its "
            "policy says so."
        )
    return lines


def _says_for_whom(figure: dict[str, Any]) -> bool:
    """Of the figures of parts those without which an average would hide who pays."""
    metric = str(figure["metric"])
    return metric == "worst_slice_difference" or metric.endswith("_gap_change")
