"""`pressmark answer-tier-table TEAM/USE_CASE [QUESTION=ANSWER ...]`: the questions in force, or answers that give the tier."""

from __future__ import annotations

import argparse
from typing import Any

from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("use_case", metavar="TEAM/USE_CASE")
    parser.add_argument("answers", metavar="QUESTION=ANSWER", nargs="*", help="prints the questions, if left out")
    parser.add_argument("--reason", help="on what the answers rest")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Answer all questions at once; those that are not named keep the answer that was given before."""
    client = client_of(options)
    team, slash, slug = options.use_case.partition("/")
    if not slash:
        raise Invalid(f"{options.use_case!r} names no use case.", hint="Write it like search/support.")
    path = f"teams/{team}/use-cases/{slug}"
    if not options.answers:
        return _print_questions(client, client.get(path))
    given = [answer.partition("=") for answer in options.answers]
    if not options.reason or not all(sep for _, sep, _ in given):
        raise Invalid(
            "Answers are QUESTION=ANSWER, and --reason says on what they rest.", hint="Run it without answers."
        )
    kept = {row["question"]: row["answer"] for row in client.get(path)["answers"] or []}
    kept |= {question: answer for question, _, answer in given}
    body = {"answers": [{"question": q, "answer": a} for q, a in kept.items()], "reason": options.reason}
    row = client.post(path, body)
    print(f"{row['team']}/{row['slug']}  tier {row['tier']}")
    for deciding in row["deciding"]:
        print(f"    {deciding['question']}={deciding['answer']}: {deciding['reason']}")
    return 0


def _print_questions(client: Any, use_case: dict[str, Any]) -> int:
    newest = [row for row in client.get("tier-tables")["items"] if row["in_force_at"] and not row["ended_at"]]
    if not newest:
        raise Invalid("No tier table is in force.", hint="`pressmark author-tier-table` writes the one that ships.")
    given = {row["question"]: row["answer"] for row in use_case["answers"] or []}
    for question in client.get(f"tier-tables/{newest[0]['number']}")["document"]["questions"]:
        print(f"{question['id']}: {question['question']}")
        for answer in question["answers"]:
            mark = "*" if given.get(question["id"]) == answer["id"] else " "
            print(f"  {mark} {answer['id']:12} {answer['text']} ({answer['tier']})")
    return 0
