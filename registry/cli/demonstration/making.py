"""Acts 1 to 4: people and purpose, data and licences, the parent, the compressed child."""

from __future__ import annotations

from typing import Any

from registry.cli import remote_compress, remote_register_version
from registry.cli.demonstration.narrator import Narrator
from registry.cli.demonstration.people import TEAM, People
from registry.cli.demonstration.stage import DemoFailed, Stage

MODEL = "minilm"
USE_CASE = "help-centre-search"
RECIPE = "smaller-same-speed"
_SENTENCES = {
    "calibration": ("prose-calibration", ["calibration", "training"], "calibration.jsonl"),
    "evaluation": ("prose-evaluation", ["evaluation"], "evaluation.jsonl"),
    "baseline": ("prose-baseline", ["baseline", "evaluation"], "baseline.jsonl"),
}
_ORIGIN = (
    "English prose cut into sentences from the language reference that ships inside Python's standard library "
    "(pydoc_data.topics), Copyright Python Software Foundation."
)
_UNKNOWN_ORIGIN = (
    "The model card names about twenty public collections (S2ORC, Stack Exchange, MS MARCO, SNLI and others), more than a "
    "billion sentence pairs. Their exact states, shares and terms are not stated; we do not hold them."
)


def people_and_purpose(stage: Stage, people: People, tell: Narrator) -> None:
    """Act 1."""
    people.arrive(stage)
    people["carla"].post(
        f"teams/{TEAM}/use-cases",
        {
            "slug": USE_CASE, "tier": "limited", "sector": "software", "jurisdiction": "EU", "owner": "carla",
            "purpose": "Find the help article that answers a customer's question.",
            "users": "Customers of the help centre, through the search box.",
            "prohibited": "Ranking people, or deciding anything about a person.",
            "reason": "A wrong article costs a customer a minute.",
        },
    )  # fmt: skip
    tell.say(f"team {TEAM} with an engineer, an approver, a compliance officer and an operator")
    tell.say(f"use case {USE_CASE}, tier limited; Carla answers for it")


def data_and_licences(stage: Stage, people: People, tell: Narrator) -> dict[str, str]:
    """Act 2. Returns references by use, and `training` for what the parent was trained on."""
    ada = people["ada"]
    references = {}
    for use, (slug, uses, name) in _SENTENCES.items():
        upload = ada.upload(stage.input / "sentences" / name)
        ada.post(f"teams/{TEAM}/datasets", {"slug": slug, "title": f"English reference prose, for {use}"})
        version = ada.post(
            f"teams/{TEAM}/datasets/{slug}/versions",
            {
                "licence": "PSF-2.0", "origin": _ORIGIN, "uses": uses, "digest": upload["digest"],
                "collection": "Every sentence of 20 to 300 characters, without doubles; topics are split between the datasets.",
                "personal_data": "no", "consent": "no", "third_party_works": "yes",
            },
        )  # fmt: skip
        references[use] = version["ref"]
        tell.say(f"{version['ref']}: {version['row_count']} rows, PSF-2.0, {version['digest'][:19]}")
    references["training"] = _unknown_training_data(people, tell)
    return references


def _unknown_training_data(people: People, tell: Narrator) -> str:
    ada = people["ada"]
    ada.post(f"teams/{TEAM}/datasets", {"slug": "minilm-training-mix", "title": "What the parent was trained on"})
    version = ada.post(
        f"teams/{TEAM}/datasets/minilm-training-mix/versions",
        {
            "licence": "LicenseRef-pressmark-unknown", "origin": _UNKNOWN_ORIGIN, "uses": ["training"],
            "state_unknown": True, "personal_data": "unknown", "third_party_works": "yes",
        },
    )  # fmt: skip
    tell.say(f"{version['ref']}: declared only, terms unknown, and shown as that")
    return str(version["ref"])


def register_parent(stage: Stage, people: People, data: dict[str, str], tell: Narrator) -> dict[str, Any]:
    """Act 3, first half: streaming upload of three files as one version, then our own measurement of it."""
    ada = people["ada"]
    ada.post(
        f"teams/{TEAM}/models",
        {"slug": MODEL, "title": "Sentence encoder of the help centre", "owner": "ada", "use_case": USE_CASE},
    )
    body = {
        "licence": "Apache-2.0",
        "training_data": "incomplete",
        "note": "all-MiniLM-L6-v2, exported once to ONNX with pooling inside the graph.",
        "edges": [{"role": "data", "dataset_version": data["training"], "operations": []}],
    }
    version = remote_register_version.register(ada, TEAM, MODEL, stage.input / "minilm", body, {})
    tell.say(f"{version['ref']}: {version['size_bytes'] / 1e6:.1f} MB, {version['digest'][:19]}, structure checked")
    run = ada.post(f"teams/{TEAM}/models/{MODEL}/versions/1/evaluations", {"evaluation": data["baseline"]})
    _finished(people, run["id"])
    tell.say("measured as it is: size, latency, memory, and how its answers are distributed")
    return version


def compress(people: People, parent: dict[str, Any], data: dict[str, str], tell: Narrator) -> dict[str, Any]:
    """Act 4: recipe, run, child. Returns the child with its figures by metric."""
    ada = people["ada"]
    recipe = remote_compress.publish_shipped(ada, TEAM, RECIPE)
    body = {"parent": parent["ref"], "recipe": recipe, "evaluation": data["evaluation"], "baseline": data["baseline"]}
    child = made(people, body, tell)
    _tell_figures(child, tell)
    return child


def made(people: People, body: dict[str, Any], tell: Narrator) -> dict[str, Any]:
    """The child of a run that is asked for with these members, when it is there; with its figures by metric."""
    ada = people["ada"]
    requested = ada.post(f"teams/{TEAM}/models/{MODEL}/runs", body | {"seed": 0})
    tell.say(f"recipe {body['recipe']}; run {requested['id']} is queued, the worker takes it ...")
    run = _finished(people, requested["id"])
    number = str(run["child"]).rpartition("@")[2]
    child: dict[str, Any] = ada.get(f"teams/{TEAM}/models/{MODEL}/versions/{number}")
    figures = {}
    for evidence in run["evidence"]:
        for figure in evidence["document"]["figures"]:
            if not figure["slice"]:
                figures[figure["metric"]] = figure | {"kind": evidence["kind"]}
    child["figures"] = figures
    tell.say(
        f"{child['ref']} came back in attempt {run['attempt']}: {child['size_bytes'] / 1e6:.1f} MB, {child['digest'][:19]}"
    )
    return child


def _finished(people: People, run_id: str) -> dict[str, Any]:
    run = remote_compress.watch(people["ada"], run_id, timeout=600)
    if run["state"] != "succeeded":
        raise DemoFailed(f"the run {run['state']}: {run['failure_code']} {run['failure']}")
    return run


def _tell_figures(child: dict[str, Any], tell: Narrator) -> None:
    for metric in ("size_ratio", "cosine_mean", "cosine_min", "latency_ratio", "peak_memory_ratio"):
        figure = child["figures"].get(metric)
        if figure is None:
            raise DemoFailed(f"the run brought no {metric}")
        interval = f" [{_short(figure['low'])} to {_short(figure['high'])}]" if figure["low"] else ""
        tell.say(f"{metric:<18} {_short(figure['value'])}{interval}  n={figure['n']}")


def _short(value: str | None) -> str:
    return "-" if value is None else value[:7]
