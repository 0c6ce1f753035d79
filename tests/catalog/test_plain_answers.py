"""May I use this, change it, pass it on, train with its outputs? Answered from terms, with who decides and what to do."""

from __future__ import annotations

import pytest

from registry.catalog.plain_answers import PlainAnswer, plain_answers
from registry.provenance.licences import pack
from tests.catalog.test_terms import along, source


def answers(*parts: tuple[str, str | None, str], own: str = "Apache-2.0") -> dict[str, PlainAnswer]:
    """The answers for a version under `own`, made from (name, licence, role)."""
    kinds = {"data": "dataset"}
    sources = [source(key, licence, kinds.get(role, "version"), ("training",)) for key, licence, role in parts]
    found = along(source("child", own), *sources, links=[("child", key, role) for key, _, role in parts])
    return {answer.id: answer for answer in plain_answers(found)}


def test_a_permissive_model_may_be_used_and_its_notice_must_be_kept() -> None:
    found = answers()
    assert {key: answer.word for key, answer in found.items()} == {
        "commercial": "yes", "change": "yes, if", "pass-on": "yes, if", "train": "yes",
    }  # fmt: skip
    assert [ground.term for ground in found["pass-on"].keep] == ["redistribution", "notice"]
    assert found["commercial"].to_do == []


def test_non_commercial_data_says_no_names_the_data_the_path_and_what_to_do() -> None:
    found = answers(("rows", "CC-BY-NC-4.0", "data"))["commercial"]
    assert (found.word, found.deciding[0].source, found.deciding[0].licence) == ("no", "rows", "CC-BY-NC-4.0")
    assert found.deciding[0].because == ("data: rows",)
    assert found.to_do == ["Train or calibrate again without rows, or ask its owner for another licence."]


@pytest.mark.parametrize(
    ("licence", "way_on"),
    [
        ("Zlib", "Ask a compliance officer for a ruling on Zlib"),
        ("LicenseRef-pressmark-unknown", "Find out which licence base is really under"),
        (None, "Register what base is"),
    ],
)
def test_what_is_not_known_is_no_yes_and_says_who_can_find_out(licence: str | None, way_on: str) -> None:
    found = answers(("base", licence, "base"))["commercial"]
    assert found.word == "not known"
    assert found.to_do[0].startswith(way_on)


def test_two_licences_that_each_want_derivatives_leave_passing_on_unknown() -> None:
    found = answers(("one", "CC-BY-SA-4.0", "base"), ("other", "GPL-3.0-only", "merge-input"))["pass-on"]
    assert found.word == "not known"
    assert "counsel" in found.to_do[0]


def test_a_teacher_that_forbids_outputs_is_named_with_another_way() -> None:
    found = answers(("tutor", "LicenseRef-pressmark-llama-2-community", "teacher"))["commercial"]
    assert found.word == "no"
    assert found.to_do == ["Distil from a teacher other than tutor, or ask its owner for leave."]


def test_no_licence_of_the_pack_gets_a_milder_word_than_its_own_decisive_term() -> None:
    for name, entry in pack().entries.items():
        found = {answer.id: answer.word for answer in plain_answers(along(source("child", name), links=[]))}
        if entry.terms["commercial_use"].answer == "forbidden":
            assert found["commercial"] == "no", name
        if entry.terms["commercial_use"].answer == "unknown":
            assert found["commercial"] in ("not known", "no"), name
        if entry.terms["output_use"].answer == "unknown":
            assert found["train"] == "not known", name
