"""The statements of a bundle obey the formats of others, name what they are about, and say what the gate said."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from audit import dsse, keys
from audit.exports import shapes
from audit.exports.statements import to_bytes
from registry.catalog.models import ModelVersion
from registry.digests import hex_of
from registry.release import services as release
from registry.release.queries import verdict_document
from tests.audit.handed_over import files_of, issued
from tests.world import World

Statements = dict[str, dict[str, Any]]


@pytest.fixture
def statements(world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path) -> Statements:
    """Every statement of a bundle by file name, its signature checked."""
    files = files_of(issued(world, story[0]), tmp_path)
    key = keys.issuer_signer().public
    return {p: json.loads(dsse.open_envelope(data, key)) for p, data in files.items() if p.startswith("statements/")}


def test_results(statements: Statements) -> Statements:
    return {p: s for p, s in statements.items() if s["predicateType"] == shapes.TEST_RESULT}


test_results.__test__ = False  # type: ignore[attr-defined]  # a helper, whatever its name says


def test_every_verdict_is_a_test_result_about_its_version(
    story: tuple[ModelVersion, ModelVersion], statements: Statements
) -> None:
    verdicts = {f"statements/verdict-{v.pk}.dsse.json": v for version in story for v in version.verdicts.all()}
    found = test_results(statements)
    assert found.keys() == verdicts.keys()
    for path, statement in found.items():
        verdict = verdicts[path]
        document: Any = verdict_document(verdict)
        assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
        digests = [subject["digest"]["sha256"] for subject in statement["subject"]]
        assert digests[0] == hex_of(verdict.version.digest)
        assert digests[1:] == [hex_of(a.digest) for a in verdict.version.artifacts.order_by("path")]
        predicate = statement["predicate"]
        by_answer = {
            answer: [r["rule"] for r in document["results"] if r["answer"] == answer]
            for answer in ("passed", "waived", "blocked")
        }
        assert predicate["passedTests"] == by_answer["passed"]
        assert predicate["warnedTests"] == by_answer["waived"]
        assert predicate["failedTests"] == by_answer["blocked"]
        wanted = {"passed": "PASSED", "passed-with-waiver": "WARNED", "blocked": "FAILED"}[verdict.outcome]
        assert predicate["result"] == wanted
        assert predicate["urn:pressmark:verdict"]["digest"]["sha256"] == hex_of(verdict.digest)


def test_a_test_result_names_the_policy_and_the_evidence_that_decided(
    story: tuple[ModelVersion, ModelVersion], statements: Statements
) -> None:
    verdict = story[1].verdicts.order_by("-pk")[0]
    predicate = statements[f"statements/verdict-{verdict.pk}.dsse.json"]["predicate"]
    first, *rest = predicate["configuration"]
    assert first["digest"]["sha256"] == hex_of(verdict.policy_digest)
    assert first["uri"] == f"urn:pressmark:policy:{verdict.policy_id}"
    document: Any = verdict_document(verdict)
    known = {e.digest: e.kind for e in story[1].evidence.all()}
    used = dict.fromkeys(d for r in document["results"] for d in r["inputs"] if d in known)
    assert len(used) > 2
    named = {f"sha256:{r['digest']['sha256']}": r["name"] for r in rest}
    assert {d: f"evidence {known[d]}" for d in used}.items() <= named.items()


def test_a_blocked_version_failed_and_says_by_which_rules(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    bare = world.child_version(story[0], seed=91, evidence=False)
    verdict = release.evaluate_gate(actor=world.cast.ada, version=bare, alias="production")
    assert verdict.outcome == "blocked"
    files = files_of(issued(world, story[0]), tmp_path)
    data = files[f"statements/verdict-{verdict.pk}.dsse.json"]
    predicate = json.loads(dsse.open_envelope(data, keys.issuer_signer().public))["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["failedTests"]
    assert not set(predicate["failedTests"]) & set(predicate["passedTests"])


def test_what_no_gate_has_judged_is_neither_passed_nor_failed(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    unjudged = world.version(story[0].model, seed=92)
    row = world.evidence(unjudged, "size", [])
    files = files_of(issued(world, story[0]), tmp_path)
    assert f"statements/evidence-{row.pk}.dsse.json" in files
    about = [p for p in files if p.startswith("statements/verdict-")]
    assert len(about) == sum(v.verdicts.count() for v in story)


def test_every_statement_obeys_its_format_and_every_break_of_it_is_found(statements: Statements) -> None:
    assert {s["predicateType"] for s in statements.values()} == {
        shapes.SLSA_PROVENANCE, shapes.TEST_RESULT, "urn:pressmark:predicate:evidence:1",
    }  # fmt: skip
    for statement in statements.values():
        shapes.check(statement)
    run = next(s for p, s in statements.items() if "/run-" in p)
    verdict = next(s for p, s in statements.items() if "/verdict-" in p)
    breaks = [
        (run, lambda s: s.pop("_type")),
        (run, lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
        (run, lambda s: s.update(subject=[])),
        (run, lambda s: s["subject"][0].pop("digest")),
        (run, lambda s: s["subject"][0]["digest"].update(sha256="sha256:" + "0" * 64)),
        (run, lambda s: s["subject"][1].update(name=s["subject"][0]["name"])),
        (run, lambda s: s["predicate"]["buildDefinition"].pop("buildType")),
        (run, lambda s: s["predicate"]["buildDefinition"].update(resolvedDependencies=[{"name": "nothing"}])),
        (run, lambda s: s["predicate"]["runDetails"].pop("builder")),
        (run, lambda s: s["predicate"]["runDetails"]["metadata"].update(startedOn="yesterday")),
        (verdict, lambda s: s["predicate"].pop("configuration")),
        (verdict, lambda s: s["predicate"].update(result="passed")),
        (verdict, lambda s: s["predicate"].update(result="PASSED", failedTests=["a"])),
        (verdict, lambda s: s["predicate"].update(result="FAILED", failedTests=[])),
        (verdict, lambda s: s["predicate"].update(result="WARNED", warnedTests=[])),
        (verdict, lambda s: s["predicate"].update(passedTests=["a", "a"])),
        (verdict, lambda s: s["predicate"].update(skippedTests=[])),
    ]  # fmt: skip
    for number, (statement, change) in enumerate(breaks):
        broken = copy.deepcopy(statement)
        change(broken)
        with pytest.raises(shapes.ShapeError):
            to_bytes(broken)
            pytest.fail(f"break {number} was not found")


def test_no_file_can_take_the_name_of_a_version(world: World, tmp_path: Path) -> None:
    model = world.model()
    weights = world.tiny_onnx()
    version = world.version(
        model,
        files={("model.onnx", "weights"): weights, (f"{model}@1", "other"): b"I am a version", ("x", "other"): b"x"},
    )
    world.policy()
    files = files_of(issued(world, version), tmp_path)
    assert f"documents/{hex_of(version.digest)}" in files
    run = world.executed_child(version).made_by_runs.get()
    files = files_of(issued(world, version), tmp_path)
    data = files[f"statements/run-{run.pk}.dsse.json"]
    statement = json.loads(dsse.open_envelope(data, keys.issuer_signer().public))
    names = [subject["name"] for subject in statement["subject"]]
    assert names[0] == f"{model}@2"
    assert all(name.startswith(f"{model}@2/") for name in names[1:])
