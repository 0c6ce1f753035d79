"""The gate and what was measured on the target: as it was asked for, lately, and with fresh rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registry.digests import sha256
from registry.release import gates
from tests.release.test_gates import DAY, DOCUMENT, FIGURE, NOW, OTHER, PRESENT, answer, evidence, figure, inputs

THERE = {"settings_digest": sha256(b"two threads"), "host_digest": sha256(b"edge box")}
ASKED: dict[str, Any] = {
    "max_age_days": 30, **THERE,
    "limits": [{"metric": "latency_p95_ms", "comparator": "at_most", "limit": "20", "bound": "high"}],
}  # fmt: skip


def on_target(value: str = "12", **members: Any) -> gates.EvidenceInput:
    latency = figure("latency_p95_ms", value, low="11", high=value)
    return evidence("target", latency, **{"source": "declared", "environment": THERE, **members})


def test_a_measurement_on_the_target_as_it_was_asked_for_passes_and_is_named() -> None:
    found = answer("target_evidence", inputs(evidence=[on_target()]), **ASKED)
    assert (found.answer, found.inputs) == ("passed", (DOCUMENT,))
    anywhere = {"max_age_days": None, "settings_digest": None, "host_digest": None, "limits": []}
    assert answer("target_evidence", inputs(evidence=[on_target(environment={})]), **anywhere).answer == "passed"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "Nothing was measured for this version on the host"),
        ([on_target(version_digest=OTHER)], "Nothing was measured"),
        ([evidence("timing", figure("latency_p95_ms", "12"))], "Nothing was measured"),
        ([on_target(created_at=NOW - 31 * DAY)], "31 days ago"),
        ([on_target(environment={**THERE, "settings_digest": OTHER})], "other serving settings"),
        ([on_target(environment={**THERE, "host_digest": OTHER})], "other host"),
        ([on_target(environment={})], "other serving settings (unknown)"),
        ([on_target("21")], "On its target, 'latency_p95_ms' is as much as 21"),
        ([replace(on_target(), figures=[figure("latency_p50_ms", "3")])], "holds no figure 'latency_p95_ms'"),
    ],
)
def test_a_target_that_was_not_measured_or_lately_or_so_or_within_limits_blocks(given: list[Any], said: str) -> None:
    found = answer("target_evidence", inputs(evidence=given), **ASKED)
    assert found.answer == "blocked"
    assert said in found.reason


def test_a_newer_measurement_under_other_settings_makes_the_one_that_was_asked_for_stale() -> None:
    other = on_target(created_at=NOW, environment={**THERE, "settings_digest": OTHER})
    assert answer("target_evidence", inputs(evidence=[on_target(), other]), **ASKED).answer == "blocked"
    earlier = replace(other, created_at=NOW - 2 * DAY)
    assert answer("target_evidence", inputs(evidence=[earlier, on_target()]), **ASKED).answer == "passed"


def test_a_target_measured_with_rows_that_the_version_had_seen_blocks_unless_the_rule_accepts_them() -> None:
    tainted = on_target(created_at=NOW, environment={**THERE, "seen_rows": "12"})
    for given in ([tainted], [on_target(), tainted]):  # an older one does not stand in: the newest alone is asked
        found = answer("target_evidence", inputs(evidence=given), **ASKED)
        assert (found.answer, found.inputs) == ("blocked", (DOCUMENT,))
        assert "had seen 12 rows" in found.reason
        assert answer("target_evidence", inputs(evidence=given), **ASKED, seen_rows="refused").answer == "blocked"
        assert answer("target_evidence", inputs(evidence=given), **ASKED, seen_rows="accepted").answer == "passed"
    fresh = on_target(environment={**THERE, "seen_rows": "0"})
    assert answer("target_evidence", inputs(evidence=[fresh]), **ASKED).answer == "passed"


def test_a_target_measured_with_what_many_left_out_rows_left_blocks_unless_the_rule_accepts_it() -> None:
    thinned = on_target(environment={**THERE, "left_out_rows": "2", "evaluated_rows": "100"})
    found = answer("target_evidence", inputs(evidence=[on_target(created_at=NOW - 2 * DAY), thinned]), **ASKED)
    assert found.answer == "blocked"
    assert "2 of 102 rows could not be used" in found.reason
    assert answer("target_evidence", inputs(evidence=[thinned]), **ASKED, left_out_rows="accepted").answer == "passed"
    few = on_target(environment={**THERE, "left_out_rows": "1", "evaluated_rows": "100"})
    assert answer("target_evidence", inputs(evidence=[few]), **ASKED).answer == "passed"


def test_a_target_measured_with_rows_that_nobody_here_holds_says_so() -> None:
    strange = on_target(environment={**THERE, "unregistered_rows": "60"})
    found = answer("target_evidence", inputs(evidence=[strange]), **ASKED)
    assert (found.answer, "no dataset here holds" in found.reason) == ("passed", True)


def test_what_the_target_measured_is_no_measurement_of_ours() -> None:
    given = inputs(evidence=[on_target()])
    there = {**FIGURE, "kind": "target", "metric": "latency_p95_ms", "comparator": "at_most", "limit": "20"}
    assert answer("figure", given, **there).answer == "blocked"
    assert answer("evidence_present", given, **{**PRESENT, "kind": "target"}).answer == "blocked"
