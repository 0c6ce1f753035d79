"""The questions of a tier table on a terminal: printing them, and reading answers as QUESTION=ANSWER."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.client import Client
from registry.errors import Invalid


def split_use_case(reference: str) -> tuple[str, str]:
    """`team/use-case` in its two parts."""
    team, slash, slug = reference.partition("/")
    if not slash or not team or not slug:
        raise Invalid(f"{reference!r} names no use case.", hint="Write it like search/support.")
    return team, slug


def answers_of(words: Sequence[str], before: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """QUESTION=ANSWER words, over answers that were given before, as a server takes them."""
    kept = dict(before or {})
    for word in words:
        question, equals, answer = word.partition("=")
        if not equals or not question or not answer:
            raise Invalid(f"{word!r} is no answer; answers are QUESTION=ANSWER.", hint="Run it without answers.")
        kept[question] = answer
    return [{"question": question, "answer": answer} for question, answer in kept.items()]


def print_questions(client: Client, given: Mapping[str, str]) -> int:
    """The questions of the table in force, with each answer and the tier that it asks for at least."""
    newest = [row for row in client.get("tier-tables")["items"] if row["in_force_at"] and not row["ended_at"]]
    if not newest:
        raise Invalid(
            "No tier table is in force.",
            hint="`pressmark author-tier-table` writes the one that ships; until somebody approved it, a tier is set by hand.",
        )
    for question in client.get(f"tier-tables/{newest[0]['number']}")["document"]["questions"]:
        print(f"{question['id']}: {question['question']}")
        for answer in question["answers"]:
            mark = "*" if given.get(question["id"]) == answer["id"] else " "
            print(f"  {mark} {answer['id']:12} {answer['text']} ({answer['tier']})")
    return 0


def print_tier(row: Mapping[str, Any]) -> None:
    """A use case with its tier, and the answers that make it so."""
    by = "by hand" if not row["tier_by_answers"] else f"by answers to tier table {row['tier_table']}"
    if row["tier_by_answers"] not in (None, row["tier"]):
        by += f", which say {row['tier_by_answers']}"
    stale = "" if row["answers_in_force"] or not row["tier_by_answers"] else "; another table is in force, answer again"
    print(f"{row['team']}/{row['slug']}  tier {row['tier']}  ({by}{stale})")
    for deciding in row["deciding"]:
        print(f"    {deciding['question']}={deciding['answer']}: {deciding['reason']}")
