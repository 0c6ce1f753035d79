"""`pressmark compress TEAM/MODEL@N`: request a run by a published or shipped recipe, and watch it; by several, a comparison."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from registry.cli.comparing import compared
from registry.cli.remote import add_server_arguments, client_of, show_progress, split_model, split_version
from registry.client import ApiError, Client
from registry.errors import Invalid

FINISHED = {"succeeded", "failed", "cancelled"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("parent", metavar="TEAM/MODEL@N")
    parser.add_argument(
        "--recipe",
        action="append",
        required=True,
        metavar="TEAM/RECIPE@N",
        help="or the name of a shipped recipe; given several times, a child by each, and one table",
    )
    parser.add_argument("--evaluation", required=True, metavar="TEAM/DATASET@N")
    parser.add_argument("--file", metavar="PATH", help="the file of the evaluation's rows, where the data has several")
    parser.add_argument("--calibration", metavar="TEAM/DATASET@N")
    parser.add_argument("--training", metavar="TEAM/DATASET@N", help="rows for steps that train")
    parser.add_argument("--teacher", metavar="TEAM/MODEL@N", help="whose answers are learned; the parent, if left out")
    parser.add_argument("--student", metavar="TEAM/MODEL@N", help="what the child begins as, where a step asks for it")
    parser.add_argument("--at-least", metavar="SHARE", help="of the parent's answers, kept by every step: 0.99")
    parser.add_argument("--loses-at-most", metavar="SHARE", help="of quality, lost by every step: 0.01 is one point")
    parser.add_argument(
        "--baseline", metavar="TEAM/DATASET@N", help="rows that monitors compare with; the evaluation's, if left out"
    )
    parser.add_argument(
        "--plan", type=Path, metavar="FILE", help="evaluate the child by it, as `pressmark evaluate` does"
    )
    parser.add_argument(
        "--into", metavar="TEAM/MODEL", help="the model that receives the child; the parent's, if left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-wait", action="store_true", help="only request it")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Exit status 0 when a child came out, of several recipes at least one."""
    client = client_of(options)
    team, model, _ = split_version(options.parent)
    into_team, into_model = split_model(options.into or f"{team}/{model}")
    recipes = [one if "@" in one else publish_shipped(client, team, one) for one in options.recipe]
    asked = _asked(options)
    if len(recipes) > 1:
        requested = client.request_comparison(f"{into_team}/{into_model}", options.parent, recipes, **asked)
        say_what_is_at_stake(requested)
        return compared(client, requested, wait=not options.no_wait)
    body = {"parent": options.parent, "recipe": recipes[0], **asked}
    requested = client.post(f"teams/{into_team}/models/{into_model}/runs", body)
    say_what_is_at_stake(requested)
    print(f"Run {requested['id']} is queued.")
    if options.no_wait:
        return 0
    finished = watch(client, requested["id"])
    if finished["state"] != "succeeded":
        print(f"The run {finished['state']}: {finished['failure_code'] or ''} {finished['failure'] or ''}")
        return 1
    print(f"{finished['child']}, attempt {finished['attempt']}")
    if finished.get("ended_at_step"):
        print(finished["ended_at_step"])
    return 0


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What is said beside parent and recipes."""
    return {
        "evaluation": options.evaluation,
        "evaluation_file": options.file,
        "calibration": options.calibration,
        "training": options.training,
        "teacher": options.teacher,
        "student": options.student,
        "at_least": options.at_least,
        "loses_at_most": options.loses_at_most,
        "baseline": options.baseline,
        "seed": options.seed,
        "plan": None if options.plan is None else read_plan(options.plan),
    }


def say_what_is_at_stake(requested: dict[str, Any]) -> None:
    """Whose approval a run that was just requested makes stale, beside the answer; an older server does not say it."""
    for sentence in requested.get("makes_stale", ()):
        print(sentence, file=sys.stderr)


def watch(client: Client, run_id: str, timeout: float = 7200) -> dict[str, Any]:
    """Read the run until it has ended, showing how far it is."""

    def seen(state: dict[str, Any]) -> None:
        progress = state.get("progress") or {}
        if progress:
            show_progress(int(progress["done"]), int(progress["total"]), f"{progress['stage']:<12}")

    finished: dict[str, Any] = client.wait_for(f"runs/{run_id}", lambda s: s["state"] in FINISHED, seen, timeout)
    return finished


def read_plan(path: Path) -> dict[str, Any]:
    """A plan or price sheet from a file; the server says which member of it is wrong."""
    try:
        plan = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is no JSON: {error}.", hint="Write it as one JSON object.") from None
    if not isinstance(plan, dict):
        raise Invalid(f"{path} holds no JSON object.", hint="Write it as one JSON object.")
    return plan


def publish_shipped(client: Client, team: str, name: str) -> str:
    """A shipped recipe under its own name in the team; the one that is there when it has the same digest."""
    shipped = {item["name"]: item for item in client.get("recipes/shipped")["items"]}
    if name not in shipped:
        raise ApiError(
            404, {"detail": f"No recipe {name!r} ships.", "hint": f"There are: {', '.join(sorted(shipped))}."}
        )
    published = client.get(f"teams/{team}/recipes")["items"]
    for row in published:
        if row["digest"] == shipped[name]["digest"]:
            return str(row["recipe"])
    return str(client.post(f"teams/{team}/recipes", {"slug": name, "document": shipped[name]["document"]})["recipe"])
