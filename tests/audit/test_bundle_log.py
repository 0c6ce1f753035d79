"""Attacks by an operator: what the log says is left out, added or changed, and sealed again with the real keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit import offline_verify
from audit.offline_verify import FILES, SIGNATURE, STREAMS, Verdict
from registry.digests import canonical, parse_canonical, sha256
from tests.audit import bundle_builder as builder
from tests.audit.bundle_builder import DATASET, MODEL, Story
from tests.audit.verdicts import assert_no, edit, edit_entry, judge, positions_of, unit_of


@pytest.fixture
def story() -> Story:
    return builder.tell()


@pytest.mark.parametrize(("stream", "number"), [(MODEL, 0), (MODEL, 5), (MODEL, 11), (DATASET, 0), (DATASET, 5)])
def test_an_entry_left_out_of_a_stream_is_caught_and_its_number_named(story: Story, stream: str, number: int) -> None:
    story.positions.remove(positions_of(story, stream)[number])
    verdict = judge(builder.sealed(story))
    assert_no(verdict, STREAMS, f"stream {stream}: number {number + 1} of")
    assert verdict.answers[SIGNATURE].result == "yes"


def test_a_whole_stream_left_out_is_caught(story: Story) -> None:
    for position in positions_of(story, DATASET):
        story.positions.remove(position)
    assert_no(judge(builder.sealed(story)), STREAMS, f"stream {DATASET}: number 1, 2, 3, 4, 5 ... of 6")


def lower_end(story: Story, drop: bool) -> None:
    last = positions_of(story, MODEL)[-1]
    story.scope["ends"][1]["last_seq"] -= 1
    assert story.scope["ends"][1]["stream"] == MODEL
    story.ledger.documents[sha256(canonical(story.scope))] = canonical(story.scope)
    if drop:
        story.positions.remove(last)


@pytest.mark.parametrize("drop", [True, False])
def test_a_scope_whose_end_was_lowered_is_not_the_sealed_one(story: Story, drop: bool) -> None:
    lower_end(story, drop)
    assert_no(judge(builder.sealed(story)), STREAMS, "seals its scope")


def test_a_sealed_scope_that_ends_too_early_is_refuted_by_the_entries_shown(story: Story) -> None:
    old = sha256(canonical(story.scope))
    lower_end(story, drop=False)
    new = builder.ref("scope", canonical(story.scope))
    edit_entry(story, story.issued_at, lambda entry: entry["event"].update(refs=[new]))
    assert old != new["digest"]
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, f"stream {MODEL}: the scope ends at 11, but number 12 is older")


def test_a_scope_that_names_no_stream_is_caught(story: Story) -> None:
    story.scope["ends"] = []
    new = story.ledger.store("scope", canonical(story.scope))
    edit_entry(story, story.issued_at, lambda entry: entry["event"].update(refs=[new]))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, "names no stream")


def test_the_entry_that_issues_the_bundle_may_not_be_left_out(story: Story) -> None:
    story.positions.remove(story.issued_at)
    assert_no(judge(builder.sealed(story)), STREAMS, "seals its scope")


def test_the_scope_must_be_sealed_for_this_very_bundle(story: Story) -> None:
    record = {"id": builder.TEXT, "row": {}, "type": "audit.bundle/1"}
    edit_entry(story, story.issued_at, lambda entry: entry["event"].update(records=[record]))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, "seals its scope")


def test_a_checkpoint_from_before_the_issue_is_caught(story: Story) -> None:
    files = builder.content(story)
    files["log/checkpoint"] = story.ledger.checkpoint(story.issued_at)
    assert_no(judge(builder.sealed(story, files)), STREAMS, "manifest.json", f"the checkpoint has {story.issued_at}")
    story.positions.remove(story.issued_at)
    story.size = story.issued_at
    files = builder.content(story) | {"log/consistency.json": story.ledger.consistency(9, size=story.size)}
    assert_no(judge(builder.sealed(story, files)), STREAMS, "seals its scope")


def test_the_first_entry_may_not_be_left_out(story: Story) -> None:
    story.positions.remove(0)
    assert_no(judge(builder.sealed(story)), STREAMS, "position 0")


@pytest.mark.parametrize("change", [{"kind": "ledger.reborn"}, {"refs": []}])
def test_the_first_entry_must_create_the_ledger_and_seal_the_keys(story: Story, change: dict[str, Any]) -> None:
    edit_entry(story, 0, lambda entry: entry["event"].update(change))
    assert_no(judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size)), STREAMS)


def test_a_changed_entry_is_caught_and_its_position_named(story: Story) -> None:
    position = positions_of(story, MODEL)[3]
    real = builder.content(story)
    edit_entry(story, position, lambda entry: entry["event"].update(kind="version.renamed"))
    lines = b"".join(story.ledger.entries[at] + b"\n" for at in story.positions)
    verdict = judge(builder.sealed(builder.tell(), real | {"log/entries.jsonl": lines}))
    assert_no(verdict, STREAMS, f"position {position} ", "not in the tree")
    assert len(verdict.answers[STREAMS].reasons) == 1


def test_entries_in_another_order_are_caught(story: Story) -> None:
    files = builder.content(story)
    lines = files["log/entries.jsonl"].splitlines(keepends=True)
    lines[4], lines[5] = lines[5], lines[4]
    assert_no(judge(builder.sealed(story, files | {"log/entries.jsonl": b"".join(lines)})), STREAMS, "not in the tree")
    story.positions[4], story.positions[5] = story.positions[5], story.positions[4]
    assert_no(judge(builder.sealed(story)), STREAMS, "ascending")


def test_an_entry_shown_twice_is_caught(story: Story) -> None:
    story.positions.insert(5, story.positions[5])
    assert_no(judge(builder.sealed(story)), STREAMS, "stands twice")


def test_an_added_entry_that_is_not_in_the_tree_is_caught(story: Story) -> None:
    files = builder.content(story)
    added = edit(story.ledger.entries[2], lambda entry: entry.update(stream_seq=40))
    proofs: Any = parse_canonical(files["log/proofs.json"])
    proofs["proofs"].append({"path": proofs["proofs"][-1]["path"], "position": story.size - 1})
    files["log/entries.jsonl"] += added + b"\n"
    verdict = judge(builder.sealed(story, files | {"log/proofs.json": canonical(proofs)}))
    assert_no(verdict, STREAMS, f"position {story.size - 1} ", "not in the tree")


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'{"at"', b'{ "at"', 1),
        lambda line: line[:-1],
        lambda line: line.replace(b'"v":1}', b'"v":2}'),
        lambda line: line.replace(b'"team":null,', b""),
        lambda line: line.replace(b"version", "versi\u00f6n".encode()),
        lambda line: line.replace(b'"stream":"model', b'"stream":"MODEL'),
        lambda line: b"",
    ],
)
def test_an_entry_that_is_not_written_in_the_one_way_is_caught(story: Story, change: Callable[[bytes], bytes]) -> None:
    position = positions_of(story, MODEL)[2]
    story.ledger.entries[position] = change(story.ledger.entries[position])
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, f"(position {position})")


def test_entries_cut_in_the_middle_of_a_line_are_caught(story: Story) -> None:
    files = builder.content(story)
    files["log/entries.jsonl"] = files["log/entries.jsonl"][:-20]
    assert_no(judge(builder.sealed(story, files)), STREAMS, "log/entries.jsonl", "cut")


def test_a_number_that_the_log_itself_leaves_out_is_caught(story: Story) -> None:
    position = positions_of(story, DATASET)[2]
    edit_entry(story, position, lambda entry: entry.update(stream_seq=9))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, f"stream {DATASET}: number 3 of 6 is missing", "does not rise")


@pytest.mark.parametrize("member", ["at", "request", "actor"])
def test_events_of_a_unit_that_differ_are_caught(story: Story, member: str) -> None:
    value: Any = {"at": "2026-01-02T09:00:00.000000Z", "request": "other"}.get(member)
    if member == "actor":
        value = {"id": builder.TEXT, "on_behalf_of": None, "role": "viewer", "via": "api"}
    edit_entry(story, unit_of(story), lambda entry: entry["event"].update({member: value}))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, f"position {unit_of(story)} ", "differs from its unit")


def test_a_unit_that_is_torn_apart_is_caught(story: Story) -> None:
    first: Any = parse_canonical(story.ledger.entries[unit_of(story)])
    shared = {name: first["event"][name] for name in ("actor", "at", "request", "unit")}
    later = unit_of(story) + 3
    assert later in story.positions

    def join(entry: Any) -> None:
        entry["event"].update(shared)
        entry["at"] = first["at"]

    edit_entry(story, later, join)
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, "torn apart")


def test_time_that_goes_back_without_a_word_is_caught(story: Story) -> None:
    position = positions_of(story, MODEL)[4]
    assert position - 1 in story.positions
    edit_entry(story, position, lambda entry: entry.update(at="2020-01-02T03:04:05.000000Z"))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, "its time is before")


def test_an_event_id_used_twice_is_caught(story: Story) -> None:
    edit_entry(story, unit_of(story), lambda entry: entry["event"].update(id=builder.uuid(0x1000)))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, "event id stands twice")


def test_a_document_that_an_entry_refers_to_may_not_be_missing(story: Story) -> None:
    files = builder.content(story)
    digest = next(d for d, data in story.ledger.documents.items() if b"pressmark/test/1" in data)
    del files["documents/" + digest[7:]]
    assert_no(judge(builder.sealed(story, files)), FILES, digest[7:], "refers to it as version")


def test_a_document_under_another_name_is_caught(story: Story) -> None:
    files = builder.content(story) | {"documents/" + "0" * 64: b"x"}
    assert_no(judge(builder.sealed(story, files)), FILES, "not the SHA-256")


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"value": "Freigabe verweigert"}, "does not fit its commitment"),
        ({"salt": "AAAA"}, "salt"),
        ({"id": builder.uuid(5)}, "sealed by no entry"),
    ],
)
def test_a_text_that_was_changed_is_caught(story: Story, change: dict[str, str], hint: str) -> None:
    files = builder.content(story)
    files["texts.json"] = edit(files["texts.json"], lambda value: value["texts"][0].update(change))
    assert_no(judge(builder.sealed(story, files)), FILES, "texts.json", hint)


@pytest.mark.parametrize("kind", offline_verify.ERA_KINDS)
def test_keys_change_in_the_stream_of_the_instance_only(story: Story, kind: str) -> None:
    edit_entry(story, positions_of(story, MODEL)[1], lambda entry: entry["event"].update(kind=kind))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, f"{kind} belongs into the stream instance")


def left_out(story: Story, *changes: dict[str, Any]) -> dict[str, bytes]:
    """The files of a bundle without the document of its first version, which is named as gone; once for each change."""
    files = builder.content(story)
    document = builder.version_document(0)
    del files["documents/" + sha256(document)[7:]]
    row = builder.ref("version", document) | {"reason": "purged"}
    rows = [row | change for change in changes]
    return files | {"not_included.json": canonical({"documents": rows, "type": "pressmark/not_included/1"})}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"reason": "lost"}, "is not known"),
        ({"reason": "too_large"}, "not too large"),
        ({"reason": "withheld"}, "may not be withheld"),
        ({"digest": "sha256:" + "0" * 64}, "no entry refers"),
        ({"name": "other"}, "no entry refers"),
        ({"size_bytes": 7}, "no entry refers"),
        ({"digest": sha256(builder.version_document(1)), "size_bytes": 40}, "in the bundle all the same"),
    ],
)
def test_a_list_of_what_is_not_included_must_be_true(story: Story, change: dict[str, Any], hint: str) -> None:
    assert judge(builder.sealed(story, left_out(story, {}))).exit_code == 0
    assert_no(judge(builder.sealed(story, left_out(story, change))), FILES, "not_included.json", hint)


def test_what_is_not_included_is_named_once(story: Story) -> None:
    assert_no(judge(builder.sealed(story, left_out(story, {}, {}))), FILES, "not_included.json", "stands twice")


def test_a_document_of_another_size_than_the_entry_says_is_caught(story: Story) -> None:
    position = positions_of(story, MODEL)[0]
    edit_entry(story, position, lambda entry: entry["event"]["refs"][0].update(size_bytes=1))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, FILES, "not the size", f"position {position} ")


def test_a_text_opened_twice_is_caught(story: Story) -> None:
    files = builder.content(story)
    files["texts.json"] = edit(files["texts.json"], lambda value: value["texts"].append(value["texts"][0]))
    assert_no(judge(builder.sealed(story, files)), FILES, "texts.json", "stands twice")


def test_the_scope_itself_may_not_be_missing(story: Story) -> None:
    files = builder.content(story)
    del files["documents/" + sha256(canonical(story.scope))[7:]]
    assert_no(judge(builder.sealed(story, files)), STREAMS, "the scope is missing")


def test_streams_of_a_scope_stand_in_order(story: Story) -> None:
    story.scope["ends"].reverse()
    new = story.ledger.store("scope", canonical(story.scope))
    edit_entry(story, story.issued_at, lambda entry: entry["event"].update(refs=[new]))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, "ascending")


def test_a_scope_cannot_be_sealed_before_the_entries_it_speaks_of(story: Story) -> None:
    story.scope["size"] += 1
    new = story.ledger.store("scope", canonical(story.scope))
    edit_entry(story, story.issued_at, lambda entry: entry["event"].update(refs=[new]))
    verdict = judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))
    assert_no(verdict, STREAMS, "sealed before them")


@pytest.mark.parametrize("path", ["log/proofs.json", "log/consistency.json"])
def test_proofs_to_another_size_than_the_checkpoint_are_caught(story: Story, path: str) -> None:
    files = builder.content(story)
    files[path] = edit(files[path], lambda value: value.update(size=story.size + 1))
    assert_no(judge(builder.sealed(story, files)), STREAMS, f"{path}: proofs", f"the checkpoint has {story.size}")


def test_paths_of_proofs_are_hashes_in_hex(story: Story) -> None:
    files = builder.content(story)
    path = "log/proofs.json"
    files[path] = edit(files[path], lambda value: value["proofs"][3]["path"].append("x"))
    assert_no(judge(builder.sealed(story, files)), STREAMS, f"{path}: position {story.positions[3]}: path")


def test_without_any_readable_entry_documents_are_not_called_intact(story: Story) -> None:
    files = builder.content(story) | {"log/entries.jsonl": b""}
    verdict = judge(builder.sealed(story, files))
    assert_no(verdict, STREAMS, "0 entries, but 21 proofs")
    assert verdict.answers[FILES].result == "not checked"


# --- what the bundle is about


def about(story: Story, subject: Any) -> Story:
    edit_entry(story, story.issued_at, lambda entry: entry["event"]["records"][0]["row"].update(subject=subject))
    return story


def judge_again(story: Story) -> Verdict:
    """With a checkpoint of this very history."""
    return judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(story.size))


def test_a_scope_without_the_stream_that_the_bundle_is_about_is_a_no(story: Story) -> None:
    assert judge_again(about(story, MODEL)).exit_code == 0
    assert_no(judge_again(about(story, builder.OTHER)), STREAMS, f"is about {builder.OTHER}")


@pytest.mark.parametrize("subject", [None, 7, [], {}, "", "model"])
def test_a_bundle_about_nothing_is_a_no(story: Story, subject: Any) -> None:
    assert_no(judge_again(about(story, subject)), STREAMS, "does not say what the bundle is about")


def test_a_monitor_whose_stream_the_scope_leaves_out_is_told(story: Story) -> None:
    monitor = {"id": builder.uuid(77), "row": {}, "type": "monitoring.monitor/1"}
    edit_entry(story, positions_of(story, MODEL)[1], lambda entry: entry["event"].update(records=[monitor]))
    verdict = judge_again(about(story, MODEL))
    assert verdict.exit_code == 0
    assert [note for note in verdict.notes if f"monitor:{monitor['id']}" in note]


def test_the_time_when_the_scope_was_sealed_is_said(story: Story) -> None:
    verdict = judge_again(story)
    sealed_at = parse_canonical(story.ledger.entries[story.issued_at])["at"]
    assert verdict.as_dict()["issued_at"] == sealed_at
    assert f"sealed {sealed_at} over the first {story.scope['size']} entries" in offline_verify.show(verdict)
