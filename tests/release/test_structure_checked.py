"""What a gate sees of a child that was too large to be run: that it was not, and what was compared instead."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import onnx
import pytest

from compression_engine.checking import structure_check
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from registry.digests import sha256
from registry.release import gates
from tests.engine import nets
from tests.release.test_gates import NOW, answer, inputs

MINE = sha256(b"mine")
RAN = {
    "kind": "structure", "metric": "generated_runs", "comparator": "at_least", "limit": "1", "bound": "point", "slices": "whole",
    "minimum_n": 1,
}  # fmt: skip
COMPARED = {**RAN, "metric": "compared_tensors"}
PRESENT = {"source": "measured", "max_age_days": 30}


def given(tmp_path: Path, *, fits: bool, monkeypatch: pytest.MonkeyPatch) -> gates.GateInputs:
    """The evidence that the engine gives for a child without evaluation rows, as a gate takes it."""
    (tmp_path / "parent").mkdir()
    onnx.save_model(nets.mlp(), str(tmp_path / "parent" / "model.onnx"), save_as_external_data=True, size_threshold=0)
    if not fits:
        monkeypatch.setattr(structure_check, "memory_at_hand_bytes", lambda **_: 1000.0)
    recipe = Recipe("r", (Step("quantize_weights"),))
    result = compress(tmp_path / "parent", recipe, output_folder=tmp_path / "child")
    documents: list[dict[str, Any]] = [entry["document"] for entry in result.document()["evidence"]]
    found = [
        gates.EvidenceInput(
            kind=document["kind"], source=document["source"], digest=sha256(document["kind"].encode()), version_digest=MINE,
            created_at=NOW - datetime.timedelta(days=1), figures=document["figures"],
            environment={row["name"]: row["value"] for row in document["environment"]},
        )
        for document in documents
    ]  # fmt: skip
    return inputs(evidence=found)


def test_a_rule_that_asks_for_fidelity_blocks_a_child_whose_structure_alone_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = given(tmp_path, fits=False, monkeypatch=monkeypatch)
    for kind in ("fidelity", "quality"):
        assert answer("evidence_present", found, kind=kind, **PRESENT).answer == "blocked"
    assert answer("evidence_present", found, kind="structure", **PRESENT).answer == "passed"


def test_a_rule_can_ask_that_a_child_was_run_and_one_that_was_compared_instead_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = given(tmp_path, fits=False, monkeypatch=monkeypatch)
    assert answer("figure", found, **RAN).answer == "blocked"
    assert "not fit into the memory" in answer("figure", found, **RAN).reason
    assert answer("figure", found, **COMPARED).answer == "passed"


def test_a_child_that_was_run_passes_that_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(tmp_path, fits=True, monkeypatch=monkeypatch)
    assert answer("figure", found, **RAN).answer == "passed"
    assert answer("figure", found, **COMPARED).answer == "blocked"
