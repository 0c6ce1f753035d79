"""Act 7: a version that is pruned, and one of it that learns from the original; the lineage names both parents.

140 sentences and a minute do not teach a sentence encoder: both are shown as they are, and nobody asks to release them.
"""

from __future__ import annotations

from typing import Any

from registry.cli.demonstration.making import MODEL, made
from registry.cli.demonstration.narrator import Narrator
from registry.cli.demonstration.people import TEAM, People
from registry.cli.demonstration.stage import DemoFailed

PRUNED, DISTILLED = "a-quarter-pruned", "half-the-layers-taught"
_RECIPES: dict[str, tuple[str, dict[str, int | str]]] = {
    PRUNED: ("prune_structured", {"compensation": "weights", "share_per_mille": 250}),
    DISTILLED: (
        "distill",
        {"batch_size": 16, "epochs": 2, "layers_by": "place", "learning_rate_per_million": 200},
    ),
}


def prune_and_distil(
    people: People, original: dict[str, Any], data: dict[str, str], tell: Narrator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the pruned child of the original and the student that comes of it, each with its figures and edges."""
    for name in _RECIPES:
        _publish(people, name)
    asked = {"evaluation": data["evaluation"], "baseline": data["baseline"]}
    rows = data["calibration"]
    pruned = made(
        people, asked | {"parent": original["ref"], "recipe": f"{TEAM}/{PRUNED}@1", "calibration": rows}, tell
    )
    _tell(pruned, tell)
    taught = {"parent": pruned["ref"], "recipe": f"{TEAM}/{DISTILLED}@1", "training": rows, "teacher": original["ref"]}
    student = made(people, asked | taught, tell)
    _tell(student, tell)
    parents = _parents(people, student)
    if parents != {"base": pruned["digest"], "teacher": original["digest"]}:
        raise DemoFailed(f"the lineage of {student['ref']} names other parents: {parents}")
    tell.say(f"{student['ref']} has two parents: {pruned['ref']} (base) and {original['ref']} (teacher), both executed")
    return pruned, student


def _publish(people: People, name: str) -> None:
    method, given = _RECIPES[name]
    parameters = [{"name": word, "value": value} for word, value in given.items()]
    document = {
        "type": "pressmark/recipe/1", "name": name, "seed": 0, "steps": [{"method": method, "parameters": parameters}],
    }  # fmt: skip
    people["ada"].post(f"teams/{TEAM}/recipes", {"slug": name, "document": document})


def _parents(people: People, version: dict[str, Any]) -> dict[str, str]:
    """The versions that the lineage names as parents of this one: digest by role."""
    path = f"teams/{TEAM}/models/{MODEL}/versions/{version['number']}/lineage"
    found = people["ada"].get(path)
    digests = {node["key"]: node["digest"] for node in found["nodes"]}
    edges = [edge for edge in found["edges"] if edge["child"] == found["root"] and edge["role"] != "data"]
    return {edge["role"]: digests[edge["parent"]] for edge in edges}


def _tell(child: dict[str, Any], tell: Narrator) -> None:
    """What it costs, beside what it was made from."""
    told = summary(child)
    tell.say(
        f"beside its base: {told['size_ratio']:.2f} times smaller, {told['latency_ratio']:.2f} of the latency, "
        f"cosine {told['cosine_mean']:.3f}"
    )


def summary(child: dict[str, Any]) -> dict[str, Any]:
    """What the demo's summary keeps of one of the two; the figures are those against its base."""
    figures = {name: float(child["figures"][name]["value"]) for name in ("size_ratio", "cosine_mean", "latency_ratio")}
    return {"version": child["ref"], "digest": child["digest"]} | figures


def line(kept: dict[str, Any]) -> str:
    """The same in the table at the end."""
    return f"{kept['version']}  {kept['digest'][:19]}, {kept['size_ratio']:.2f} times smaller than its base"
