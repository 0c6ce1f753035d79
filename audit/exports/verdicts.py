"""A gate's verdict as in-toto test-result v0.1: which rules an evaluated version passed, under which policy. Pure.

Rules:
- one statement per verdict, for a verdict is one run of one set of tests over the evidence that there was; what no gate has
  judged is neither passed nor failed, and has only its evidence statement;
- result: a verdict that passed is PASSED, one that passed with a waiver is WARNED, one that was blocked is FAILED;
- tests are the policy's rules by their ids: those that hold passed, those that a waiver excuses are warned of, those that block
  failed; a rule that asks nothing of this version was not run and stands in no list;
- `configuration` names the policy, and each piece of evidence that a rule was decided from, by digest;
- the verdict document itself, with the reason of every rule, is bound under a name of ours, which readers of the format pass over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.exports.shapes import STATEMENT_TYPE, TEST_RESULT
from audit.snapshots import Record
from registry.digests import hex_of

VERDICT_MEMBER = "urn:pressmark:verdict"
_RESULTS = {"passed": "PASSED", "passed-with-waiver": "WARNED", "blocked": "FAILED"}
_LISTS = {"passed": "passedTests", "waived": "warnedTests", "blocked": "failedTests"}
_JSON_TYPE = "application/json"


def test_result(
    record: Record, verdict: Mapping[str, Any], evidence: Mapping[str, Record], subjects: list[dict[str, Any]]
) -> dict[str, Any]:
    """The statement about one verdict; `evidence` is that of the model by digest."""
    tests: dict[str, list[str]] = {name: [] for name in _LISTS.values()}
    for result in verdict["results"]:
        if result["answer"] in _LISTS:
            tests[_LISTS[result["answer"]]].append(str(result["rule"]))
    return {
        "_type": STATEMENT_TYPE,
        "predicate": {
            "configuration": [_policy(record, verdict), *_evidence(verdict, evidence)],
            "result": _RESULTS[str(verdict["outcome"])],
            **tests,
            VERDICT_MEMBER: _resource(f"urn:pressmark:verdict:{record.id}", "verdict", str(record.row["digest"])),
        },
        "predicateType": TEST_RESULT,
        "subject": subjects,
    }


def _policy(record: Record, verdict: Mapping[str, Any]) -> dict[str, Any]:
    policy = verdict["policy"]
    name = f"policy {policy['slug']}@{policy['number']}"
    return _resource(f"urn:pressmark:policy:{record.row['policy_id']}", name, str(policy["digest"]))


def _evidence(verdict: Mapping[str, Any], known: Mapping[str, Record]) -> list[dict[str, Any]]:
    """The evidence that rules were decided from, each once, in the order of the rules."""
    used = dict.fromkeys(digest for result in verdict["results"] for digest in result["inputs"])
    rows = [(digest, known[digest]) for digest in used if digest in known]
    return [_resource(f"urn:pressmark:evidence:{e.id}", f"evidence {e.row['kind']}", digest) for digest, e in rows]


def _resource(uri: str, name: str, digest: str) -> dict[str, Any]:
    return {"digest": {"sha256": hex_of(digest)}, "mediaType": _JSON_TYPE, "name": name, "uri": uri}
