"""The report's table of all derived versions: from which parents, by which steps, what was left, and where a budget ended it."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pypdf import PdfReader

from audit import services
from audit.reports import derived, pdf
from registry.catalog.edges import EdgeSpec
from registry.catalog.services import attach_evidence
from registry.compression import queries
from registry.compression.training import TrainingAsked
from registry.digests import parse_canonical
from tests.catalog.test_attach_evidence import declared
from tests.compression.test_students_in_runs import labelled
from tests.desk.trained_runs import step
from tests.world import World
from tests.worlds.catalog import figure

pytestmark = pytest.mark.usefixtures("committed_db")
PLAN = {
    "type": "pressmark/evaluation_plan/1", "measures": ["size", "fidelity"], "task": "classification",
    "scores": "logits", "output": "y", "label": "label", "slices": ["group"],
}  # fmt: skip


def test_each_derived_version_has_its_parents_by_role_its_steps_what_was_kept_and_its_worst_group(
    world: World,
) -> None:
    parent = world.parent_version(world.governed_model(slug="digits"))
    pruned = step("prune_unstructured", sparsity_per_mille=970, min_elements=1, scope="layer")
    run = world.executed(
        world.run(
            parent,
            model=parent.model,
            recipe=world.recipe("too-much", {"seed": 3, "steps": [step("convert_fp16"), pruned]}),
            evaluation=labelled(world, 200, 21, "evaluation"),
            plan=PLAN,
            training=TrainingAsked(loses_at_most="0.05"),
        )
    )
    assert run.child is not None, queries.run_log(run)
    for said in ("2", "the last"):  # what somebody declares is no word about the run, whatever it says
        stated = declared(run.child.digest, kind="step", environment=[{"name": "step", "value": said}])
        attach_evidence(actor=world.cast.ada, version=run.child, document=stated)
    begun = EdgeSpec("student-start", ("distilled", "quantized"), parent=run.child)
    world.version(parent.model, seed=9, edges=[begun, EdgeSpec("teacher", ("distilled",), parent=parent)])
    data = services.report_of(services.issue_assessment(actor=world.cast.carla, model=parent.model))
    report: Any = parse_canonical(data)
    first, second = report["compression"]["derived"]
    assert (first["number"], first["methods"], first["ended"]) == (2, ["convert_fp16"], "after 1 of 2 steps")
    assert first["budget"] == "every step loses at most 0.05 of the quality by the labels"
    assert re.fullmatch(r"Same first answer: [\d.]+ % \(.*\), n = 200", first["kept"])
    assert re.fullmatch(r"-?[\d.]+ points \(.*\), n = 200", first["lost"])
    assert re.fullmatch(r"group = (red|blue): lost -?[\d.]+ points \(.*\), n = 100", first["worst"])
    assert first["smaller"].endswith("×")
    edges = {
        one["number"]: [(e["role"], e["parent"]["number"], e["grade"]) for e in one["edges"]] for one in (first, second)
    }
    assert edges == {2: [("base", 1, "executed")], 3: [("student-start", 2, "declared"), ("teacher", 1, "declared")]}
    assert (second["methods"], second["recipe"], second["kept"]) == ([], "", "")
    client = Client()
    client.force_login(world.cast.people["carla"])
    page = client.get(reverse("audit:assessment", args=["search", "digits"])).content.decode()
    assert "which ended it after 1 of 2 steps" in page
    undated = client.get(reverse("audit:assessment", args=["search", world.version().model.slug])).content.decode()
    assert "<dt>First to expire</dt><dd>nothing dated</dd>" in undated
    text = " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.render(data))).pages).split())
    assert "All derived versions" in text
    assert "teacher: version 1, distilled declared" in text
    assert "which ended it after 1 of 2 steps" in text


def test_the_worst_group_lost_most_by_labels_and_kept_least_where_nobody_labelled() -> None:
    def of(metric: str, group: str, value: str, unit: str) -> dict[str, Any]:
        return figure(metric, value, unit, n=9, slice=[{"name": "group", "value": group}])

    kept = [figure("step_top1_agreement", "0.8", "share", n=18)]
    kept += [of("step_top1_agreement", "red", "0.9", "share"), of("step_top1_agreement", "blue", "0.7", "share")]
    lost = [of("step_quality_lost", "red", "3", "point"), of("step_quality_lost", "blue", "-1", "point")]
    assert derived._worst([*kept, *lost]) == "group = red: lost 3 points, n = 9"
    assert derived._worst(kept) == "group = blue: kept 70 %, n = 9"
    assert derived._worst(kept[:1]) == ""
