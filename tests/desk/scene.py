"""The story that the pages tell in tests: a sentence model, its int8 child one released after the other."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.compression.models import Run
from registry.monitoring import queries as monitoring
from registry.monitoring import services as services_of_monitoring
from registry.monitoring.models import Incident, Monitor, Window
from registry.release import queries, services
from tests.world import World


@dataclass
class Scene:
    """What was made."""

    world: World
    model: RegisteredModel
    parent: ModelVersion
    child: ModelVersion
    run: Run | None


def uploaded_parent(world: World, model: RegisteredModel) -> ModelVersion:
    """A parent whose own past is declared and incomplete."""
    pairs = world.dataset_version(
        slug="sentence-pairs", uses=("training",), licence="CC-BY-SA-4.0", declared_digest="sha256:" + "5c" * 32,
        origin="Named on the model card of the publisher; the rows are not here.", personal_data="unknown",
    )  # fmt: skip
    files = {
        ("model.onnx", "weights"): world.tiny_onnx(1, 2048),
        ("tokenizer.json", "tokenizer"): b'{"version":"1.0"}\n',
        ("config.json", "configuration"): b'{"hidden_size":64}\n',
    }
    return world.version(
        model,
        files=files,
        training_data="incomplete",
        note="Exported once from the published weights.",
        edges=[EdgeSpec("data", dataset_version=pairs)],
    )


def released_parent(world: World) -> tuple[RegisteredModel, ModelVersion]:
    """The parent, waived for what is not known about it, approved and live."""
    model = world.governed_model("limited", slug="minilm")
    parent = uploaded_parent(world, model)
    for rule in blocking(world, parent):
        world.waiver(parent, rule)
    world.promoted(parent)
    return model, parent


def blocking(world: World, version: ModelVersion) -> list[str]:
    """The waivable rules that the gate blocks a version on."""
    verdict = services.evaluate_gate(actor=world.cast.carla, version=version, alias="production")
    rules = queries.verdict_document(verdict)["results"]
    return [rule["rule"] for rule in rules if rule["answer"] == "blocked" and rule["waivable"]]


def measured_child(world: World, parent: ModelVersion) -> ModelVersion:
    """A child with evidence as a run brings it, without the cost of a run."""
    calibration = world.dataset_version(slug="support-questions", uses=("calibration",), licence="CC0-1.0")
    child = world.derived_version(parent, data=[calibration])
    world.measure(child, parent)
    return child


def told(world: World, *, engine: bool = False) -> Scene:
    """The whole scene. With `engine` the child is made by a real run (needs `committed_db`)."""
    model, parent = released_parent(world)
    if not engine:
        child = measured_child(world, parent)
        return Scene(world, model, parent, child, None)
    run = world.executed(world.run(parent, evaluation=world.arrays_dataset(400)))
    assert run.child is not None, run.failure
    return Scene(world, model, parent, run.child, run)


def release_child(scene: Scene) -> None:
    """The child approved and live."""
    for rule in blocking(scene.world, scene.child):
        scene.world.waiver(scene.child, rule)
    scene.world.promoted(scene.child)


def watched(scene: Scene) -> Incident:
    """A monitor with a healthy window and a drifted one, counted in the frozen bins of the child."""
    monitor = scene.world.monitor(scene.child)
    baseline = monitoring.baseline_in_force(monitor)
    assert baseline is not None
    frozen = monitoring.document_of(baseline.digest)
    push(scene, monitor, "2026-w47", frozen, moved=())
    names = [feature["name"] for feature in frozen["features"]]
    return push(scene, monitor, "2026-w48", frozen, moved=names[-2:]).incident


def push(scene: Scene, monitor: Monitor, label: str, frozen: dict[str, Any], moved: Sequence[str]) -> Window:
    """A window of the baseline's size; in the features named, half of the rows went to the last bin."""
    features = []
    for feature in frozen["features"]:
        counts = list(feature["counts"])
        if feature["name"] in moved:
            taken = [count // 2 for count in counts[:-1]]
            counts = [count - less for count, less in zip(counts, taken, strict=False)] + [counts[-1] + sum(taken)]
        features.append(
            {"counts": counts, "edges": feature["edges"], "missing": feature["missing"], "name": feature["name"]}
        )
    end = timezone.now()
    return services_of_monitoring.record_window(
        actor=scene.world.cast.otto, monitor=monitor, label=label, started_at=end - datetime.timedelta(milliseconds=1),
        ended_at=end, version_digest=scene.child.digest,
        distribution={"features": features, "n": frozen["n"], "type": "pressmark/distribution/1"},
    )  # fmt: skip
