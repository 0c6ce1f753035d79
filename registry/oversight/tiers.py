"""The questionnaire by which a use case gets its tier: what such a document may say, and which tier its answers give.

Rules:
- each answer sets a floor, and the highest floor is the tier; no answer can lower what another one asks for;
- every question is answered with one of its own answers; a table under which nothing can have the highest tier is refused;
- the language has a number: a table in a language that is not known here gives no tier.
No Django here: the same document is read by reports and by anybody outside.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from registry.digests import CanonicalError, canonical

TIER_TABLE_TYPE = "pressmark/tier_table/1"
ORDER = ("minimal", "limited", "high")
"""Tiers, the least care first."""


class TierTableError(ValueError):
    """A table, or answers to one, that give no tier; the message says where and why."""


@dataclass(frozen=True)
class Answer:
    """One possible answer, the floor that it sets, and why."""

    id: str
    text: str
    tier: str
    reason: str


@dataclass(frozen=True)
class Question:
    """One question with its answers."""

    id: str
    question: str
    help: str
    answers: tuple[Answer, ...]

    def answer(self, answer_id: str) -> Answer | None:
        return next((a for a in self.answers if a.id == answer_id), None)


@dataclass(frozen=True)
class Questionnaire:
    """A checked tier table."""

    title: str
    about: str
    questions: tuple[Question, ...]
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class TierResult:
    """The tier that follows, and the answers that decide it (those whose floor it is), as they stand in the table."""

    tier: str
    deciding: tuple[tuple[Question, Answer], ...]


def parse(document: Any) -> Questionnaire:
    """A checked questionnaire; TierTableError names the first thing that is wrong."""
    try:
        canonical(document)
    except CanonicalError as error:
        raise TierTableError(str(error)) from None
    found = sorted(_validator().iter_errors(document), key=lambda e: [str(p) for p in e.absolute_path])
    if found:
        where = "/".join(str(p) for p in found[0].absolute_path) or "the document"
        raise TierTableError(f"{where}: {found[0].message}")
    questions = tuple(_question(q) for q in document["questions"])
    _refuse_doubles("question", [q.id for q in questions])
    for question in questions:
        _refuse_doubles(f"answer of '{question.id}'", [a.id for a in question.answers])
    if not any(a.tier == ORDER[-1] for q in questions for a in q.answers):
        raise TierTableError(f"no answer leads to the tier {ORDER[-1]}, so the table could not tell what is dangerous")
    return Questionnaire(document["title"], document["about"], questions, document)


def tier_of(floors: Iterable[str]) -> str:
    """The highest of some floors."""
    return max(floors, key=ORDER.index)


def judge(table: Questionnaire, answers: Sequence[Mapping[str, str]]) -> TierResult:
    """The tier that follows from answers `[{"question": id, "answer": id}]`; TierTableError where one is missing or unknown."""
    given: dict[str, str] = {}
    for row in answers:
        if row["question"] in given:
            raise TierTableError(f"the question '{row['question']}' is answered twice")
        given[row["question"]] = row["answer"]
    unknown = sorted(set(given) - {q.id for q in table.questions})
    if unknown:
        raise TierTableError(f"the table asks no question '{unknown[0]}'")
    chosen = [(question, _chosen(question, given)) for question in table.questions]
    tier = tier_of(answer.tier for _, answer in chosen)
    return TierResult(tier, tuple((q, a) for q, a in chosen if a.tier == tier))


def _chosen(question: Question, given: Mapping[str, str]) -> Answer:
    if question.id not in given:
        raise TierTableError(f"the question '{question.id}' is not answered ({question.question})")
    answer = question.answer(given[question.id])
    if answer is None:
        known = ", ".join(a.id for a in question.answers)
        raise TierTableError(f"'{given[question.id]}' is no answer to '{question.id}'; there are: {known}")
    return answer


def _question(document: Mapping[str, Any]) -> Question:
    answers = tuple(Answer(**a) for a in document["answers"])
    return Question(document["id"], document["question"], document["help"], answers)


def _refuse_doubles(what: str, ids: Sequence[str]) -> None:
    doubled = next((i for i in ids if ids.count(i) > 1), None)
    if doubled is not None:
        raise TierTableError(f"the {what} {doubled!r} stands twice; give each a name of its own")


@cache
def _validator() -> Draft202012Validator:
    text = files("registry.oversight").joinpath("schemas/tier_table-1.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def ready_made() -> dict[str, Any]:
    """The table that ships, as a document to start from."""
    text = files("registry.oversight").joinpath("tier_tables/default.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
