"""What a bundle is about, and what it must hold for that: a model, one version of it, the whole instance; report and statements."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from audit import dsse
from audit.offline_verify import FILES, STREAMS, WrongCall
from registry.digests import canonical, sha256
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.both import agreed, opinions_on
from tests.audit.bundle_builder import DATASET, MODEL, OTHER, Story
from tests.audit.verdicts import assert_no, edit_entry, judge_story, positions_of

STATEMENT = "statements/run-1.dsse.json"


def issued_about(story: Story, **row: Any) -> Story:
    """The operator seals another subject."""
    edit_entry(story, story.issued_at, lambda entry: entry["event"]["records"][0]["row"].update(row))
    return story


def rescoped(story: Story, ends: list[dict[str, Any]]) -> Story:
    """The operator seals another scope."""
    story.scope["ends"] = ends
    scope = story.ledger.store("scope", canonical(story.scope))
    edit_entry(story, story.issued_at, lambda entry: entry["event"].update(refs=[scope]))
    return issued_about(story, scope_digest=scope["digest"])


def without(story: Story, stream: str) -> Story:
    """A stream left out of the scope, and of the bundle."""
    story.positions = [at for at in story.positions if not builder.in_stream(story.ledger, at, stream)]
    return rescoped(story, [end for end in story.scope["ends"] if end["stream"] != stream])


# --- the whole instance


def test_a_bundle_of_the_instance_says_what_it_is_about() -> None:
    verdict = judge_story(stories.KINDS["instance"]()).as_dict()
    assert (verdict["subject"], verdict["version"]) == ("instance", None)
    assert {end["stream"] for end in verdict["scope"]["ends"]} == {"instance", MODEL, OTHER, DATASET}


@pytest.mark.parametrize("stream", [MODEL, OTHER, DATASET])
def test_the_instance_has_every_stream(stream: str) -> None:
    assert_no(judge_story(without(stories.KINDS["instance"](), stream)), STREAMS, "whole instance", "is missing")


def test_the_instance_has_every_stream_in_its_scope() -> None:
    story = stories.KINDS["instance"]()
    rescoped(story, [end for end in story.scope["ends"] if end["stream"] != OTHER])
    assert_no(judge_story(story), STREAMS, f"its scope leaves {OTHER} out")


def test_the_instance_has_every_position() -> None:
    story = builder.tell()
    assert_no(judge_story(issued_about(story, subject="instance")), STREAMS, "position 2, 6, 10, 14, 18 ... is missing")


def test_a_rotation_cannot_be_left_out_of_a_bundle_of_the_instance() -> None:
    story = stories.rotated(subject="instance")
    first = story.ledger.eras[1].first
    story.positions.remove(first)
    files = builder.content(story)
    del files[f"keys/keys-{first}.note"]
    assert_no(judge_story(story, files), STREAMS, f"position {first} is missing", "stream instance: number 2")


# --- one version


def test_a_bundle_of_one_version_says_so_and_withholds_documents_of_others() -> None:
    story = stories.KINDS["version"]()
    verdict = judge_story(story)
    assert (verdict.subject, verdict.version) == (MODEL, builder.version_id(2))
    assert verdict.notes == ["5 documents are named as not included: withheld"]


def test_a_version_that_the_stream_does_not_know_is_a_no() -> None:
    story = issued_about(stories.KINDS["version"](), version_id=builder.version_id(99))
    assert_no(judge_story(story), STREAMS, f"no entry of {MODEL} holds it")


def test_a_version_is_one_of_a_model() -> None:
    for subject in ("instance", DATASET):
        verdict = judge_story(issued_about(stories.KINDS["version"](), subject=subject))
        assert_no(verdict, STREAMS, f"a version of {subject}")


@pytest.mark.parametrize("version", ["", "x", 7, [], builder.version_id(2).upper()])
def test_a_version_is_an_id_or_null(version: Any) -> None:
    assert_no(judge_story(issued_about(builder.tell(), version_id=version)), STREAMS, "does not say what")


def test_the_row_of_a_bundle_seals_its_scope_too() -> None:
    story = issued_about(builder.tell(), scope_digest="sha256:" + "0" * 64)
    assert_no(judge_story(story), STREAMS, "seals another scope")
    gone = builder.tell()
    edit_entry(gone, gone.issued_at, lambda entry: entry["event"]["records"][0]["row"].pop("version_id"))
    assert_no(judge_story(gone), STREAMS, "does not say what")


def test_the_documents_of_the_version_itself_are_not_withheld() -> None:
    story = stories.KINDS["version"]()
    own = builder.version_document(2)
    files = builder.content(story)
    del files["documents/" + sha256(own)[7:]]
    rows = json.loads(files["not_included.json"])
    rows["documents"] = sorted(
        [*rows["documents"], builder.ref("version", own) | {"reason": "withheld"}], key=lambda row: row["digest"]
    )
    files["not_included.json"] = canonical(rows)
    assert_no(judge_story(story, files), FILES, "may not be withheld")


def test_statements_in_a_bundle_of_one_version_are_about_it() -> None:
    story = stories.KINDS["version"]()
    files = builder.content(story)
    files[STATEMENT] = dsse.sign_envelope(story.ledger.issuer, builder.statement(3))
    assert_no(judge_story(story, files), FILES, f"{STATEMENT}: it is not about version {builder.version_id(2)}")


# --- the scope of a model is closed


def test_a_stream_that_the_models_records_name_is_in_its_scope() -> None:
    verdict = judge_story(without(builder.tell(), DATASET))
    assert_no(verdict, STREAMS, f"names the {DATASET}, which the scope leaves out", "names the dataset of version")


def test_a_bundle_of_one_version_tells_which_streams_it_leaves_out() -> None:
    verdict = judge_story(without(stories.KINDS["version"](), DATASET))
    assert verdict.exit_code == 0
    assert any(f"names the {DATASET}, which the scope leaves out" in note for note in verdict.notes)


@pytest.mark.parametrize("column", ["licence_id", "recipe_id", "policy_id", "use_case_id"])
def test_every_column_that_names_a_stream_counts(column: str) -> None:
    story = builder.tell()
    named = builder.uuid(0x999)
    position = positions_of(story, MODEL)[1]
    edit_entry(story, position, lambda entry: entry["event"]["records"][0]["row"].update({column: named}))
    assert_no(judge_story(story), STREAMS, f"names the {column[:-3]}:{named}")


@pytest.mark.parametrize(
    ("column", "kind", "counts"),
    [
        ("evaluation_id", "catalog.evidence/1", True),
        ("out_of_distribution_id", "compression.run/2", True),
        ("baseline_id", "compression.run/2", True),
        ("baseline_id", "monitoring.window/1", False),
    ],
)
def test_data_that_a_run_names_is_in_the_scope_and_a_baseline_of_monitoring_is_none(
    column: str, kind: str, counts: bool
) -> None:
    story = builder.tell()
    record = {"id": builder.uuid(0x998), "row": {column: builder.uuid(0x999)}, "type": kind}
    edit_entry(story, positions_of(story, MODEL)[1], lambda entry: entry["event"]["records"].append(record))
    opinion = agreed(*opinions_on(builder.sealed(story), keys=[story.ledger.log.key_line], checkpoint=newest(story)))
    assert (opinion.exit_code, f"names the dataset of version {builder.uuid(0x999)}" in opinion.told) == (
        (1, True) if counts else (0, False)
    )


def newest(story: Story) -> bytes:
    return story.ledger.checkpoint(story.size)


# --- report and statements


def test_the_report_is_the_one_that_an_entry_seals() -> None:
    story = builder.tell()
    for path, data in (("report.json", b"{}"), ("report.pdf", builder.REPORT)):
        files = builder.content(story) | {path: data}
        assert_no(judge_story(story, files), FILES, f"{path}: not a report that an entry of the bundle seals")


def report_of(story: Story) -> int:
    return next(at for at in story.positions if b'"kind":"report.issued"' in story.ledger.entries[at])


def other_assessment(story: Story) -> None:
    """The report that is handed out is about another model, whatever stands in its place."""
    key = builder.uuid(0x777)
    edit_entry(story, report_of(story), lambda e: e["event"]["records"][0]["row"].update(assessment_id=key))


def assessment_elsewhere(story: Story) -> None:
    """The assessment stands in the bundle, but in another stream than the one that it is about."""
    edit_entry(story, positions_of(story, MODEL)[0], lambda e: e["event"]["records"].pop())
    record = {"id": builder.ASSESSMENT, "row": {"stream": MODEL}, "type": "audit.assessment/1"}
    edit_entry(story, positions_of(story, DATASET)[0], lambda e: e["event"]["records"].append(record))


def no_record(story: Story) -> None:
    edit_entry(story, report_of(story), lambda e: e["event"]["records"].clear())


@pytest.mark.parametrize("change", [other_assessment, assessment_elsewhere, no_record])
def test_a_report_about_something_else_is_no_report_of_this_bundle(change: Callable[[Story], None]) -> None:
    story = builder.tell()
    change(story)
    assert_no(judge_story(story), FILES, "of no assessment in")
    known = {"keys": [story.ledger.log.key_line], "checkpoint": newest(story)}
    assert agreed(*opinions_on(builder.sealed(story), **known)).exit_code == 1
    whole = builder.tell(subject="instance")
    change(whole)
    known = {"keys": [whole.ledger.log.key_line], "checkpoint": newest(whole)}
    assert agreed(*opinions_on(builder.sealed(whole), **known)).exit_code == 0


@pytest.mark.parametrize(("same", "exit_code"), [(True, 0), (False, 1)])
def test_both_forms_of_the_report_are_sealed_by_the_same_entry(same: bool, exit_code: int) -> None:
    story, data = builder.tell(), b"%PDF of a report"
    pdf = story.ledger.store("report_pdf", data)
    if same:
        edit_entry(story, report_of(story), seals([builder.ref("report_json", builder.REPORT), pdf]))
    else:
        edit_entry(story, positions_of(story, MODEL)[3], seals([pdf]))
    files = builder.content(story) | {"report.pdf": data}
    known = {"keys": [story.ledger.log.key_line], "checkpoint": newest(story)}
    assert agreed(*opinions_on(builder.sealed(story, files), **known)).exit_code == exit_code


def seals(refs: list[dict[str, Any]]) -> Callable[[Any], None]:
    """A report.issued entry, or one that becomes one, with these refs."""
    return lambda entry: entry["event"].update(kind="report.issued", refs=refs)


def test_a_bundle_may_have_no_report() -> None:
    story = builder.tell()
    files = builder.content(story)
    del files["report.json"]
    assert judge_story(story, files).exit_code == 0


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"subject": [{"digest": {"sha256": "0" * 64}, "name": "x"}]}, "which no entry of the bundle seals"),
        ({"subject": []}, "no in-toto statement about anything"),
        ({"subject": None}, "no in-toto statement"),
        ({"subject": [{"name": "x"}]}, "no in-toto statement"),
        ({"subject": [{"digest": {"sha256": 5}}]}, "no in-toto statement"),
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "no in-toto statement about anything"),
    ],
)
def test_a_real_statement_about_something_else_is_caught(change: dict[str, Any], hint: str) -> None:
    story = builder.tell()
    payload = json.dumps(json.loads(builder.STATEMENT) | change).encode()
    files = builder.content(story) | {STATEMENT: dsse.sign_envelope(story.ledger.issuer, payload)}
    assert_no(judge_story(story, files), FILES, STATEMENT, hint)


# --- an old bundle


def test_an_old_bundle_passed_off_as_new_is_refused_by_the_time_that_is_asked_for() -> None:
    story = builder.tell()
    sealed_at = judge_story(story).issued_at
    assert judge_story(story, not_before=sealed_at).exit_code == 0
    assert judge_story(story, not_before="2026-01-02").exit_code == 0
    for asked in ("2026-01-03", sealed_at.replace("000000Z", "000001Z")):
        assert_no(judge_story(story, not_before=asked), STREAMS, f"it was sealed {sealed_at}", "an older bundle")
    for wrong in ("yesterday", "2026-1-2", "2026-02-30", "2026-01-02T25:00Z"):
        with pytest.raises(WrongCall, match="--not-before"):
            judge_story(story, not_before=wrong)


def test_a_newer_checkpoint_with_its_proof_tells_that_the_log_has_grown() -> None:
    story = builder.tell()
    verdict = judge_story(story, checkpoint=story.ledger.checkpoint(), proof=story.ledger.consistency(story.size))
    assert verdict.exit_code == 0
    assert [note for note in verdict.notes if f"from {story.size} to {len(story.ledger.entries)} entries" in note]
