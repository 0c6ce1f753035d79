"""A rule that names rows and plan: whoever asks for an evaluation does not choose what the gate goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registry.digests import sha256
from registry.release import gates
from tests.release.test_gates import DOCUMENT, FIGURE, NOW, OTHER, PRESENT, answer, fidelity, figure, inputs

ASKED_ROWS, ASKED_PLAN = sha256(b"held out"), sha256(b"plan")
NAMED = {"dataset_digest": ASKED_ROWS, "plan_digest": ASKED_PLAN}


def found_on(rows: str, plan: str | None, **members: Any) -> gates.EvidenceInput:
    environment = {} if plan is None else {"plan": plan}
    return replace(fidelity().evidence[0], datasets=[rows], environment=environment, **members)


@pytest.mark.parametrize("check", ["figure", "evidence_present"])
@pytest.mark.parametrize(("rows", "plan"), [(OTHER, ASKED_PLAN), (ASKED_ROWS, OTHER), (ASKED_ROWS, None)])
def test_evidence_over_other_rows_or_by_another_plan_than_a_rule_names_does_not_count(
    check: str, rows: str, plan: str | None
) -> None:
    rule = FIGURE if check == "figure" else {**PRESENT, "kind": "fidelity"}
    easy = found_on(rows, plan, created_at=NOW)
    found = answer(check, inputs(evidence=[easy]), **rule, **NAMED)
    assert (found.answer, found.inputs) == ("blocked", (DOCUMENT,))
    assert "only over other rows or by another plan" in found.reason
    assert answer(check, inputs(evidence=[found_on(ASKED_ROWS, ASKED_PLAN), easy]), **rule, **NAMED).answer == "passed"
    assert answer(check, inputs(evidence=[easy]), **rule).answer == "passed"
    assert answer(check, inputs(evidence=[easy]), **rule, dataset_digest=None, plan_digest=None).answer == "passed"


def test_newer_evidence_over_easier_rows_does_not_stand_in_for_that_over_the_rows_that_are_named() -> None:
    bad = replace(found_on(ASKED_ROWS, None), figures=[figure("cosine_mean", "0.4", low="0.3", high="0.5")])
    given = inputs(evidence=[bad, found_on(OTHER, None, created_at=NOW)])
    found = answer("figure", given, **FIGURE, dataset_digest=ASKED_ROWS)
    assert (found.answer, "is only 0.3" in found.reason) == ("blocked", True)


def test_one_file_of_the_rows_that_are_named_does_not_stand_in_for_all_and_is_named_by_its_own_digest() -> None:
    by_file = found_on(ASKED_ROWS, None, files={ASKED_ROWS: OTHER})
    given = inputs(evidence=[by_file])
    assert answer("figure", given, **FIGURE, dataset_digest=ASKED_ROWS).answer == "blocked"
    assert answer("figure", given, **FIGURE, dataset_digest=OTHER).answer == "passed"
