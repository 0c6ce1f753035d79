"""`pressmark answer-tier-table TEAM/USE_CASE [QUESTION=ANSWER ...]`: the questions in force, or answers that give the tier."""

from __future__ import annotations

import argparse
import json

from registry.cli.questionnaires import answers_of, print_questions, print_tier, split_use_case
from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("use_case", metavar="TEAM/USE_CASE")
    parser.add_argument("answers", metavar="QUESTION=ANSWER", nargs="*", help="prints the questions, if left out")
    parser.add_argument("--reason", help="on what the answers rest")
    parser.add_argument("--tier", default="", help="by hand: higher than what the answers give")
    parser.add_argument("--json", action="store_true", help="the use case with its answers as JSON")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Answer all questions at once; those that are not named keep the answer that was given before."""
    client = client_of(options)
    team, slug = split_use_case(options.use_case)
    path = f"teams/{team}/use-cases/{slug}"
    before = {row["question"]: row["answer"] for row in client.get(path)["answers"] or []}
    if not options.answers and not options.tier:
        return print_questions(client, before)
    if not options.reason:
        raise Invalid("Nobody said on what the answers rest.", hint="Add --reason TEXT.")
    body = {"answers": answers_of(options.answers, before), "reason": options.reason, "tier": options.tier}
    row = client.post(path, body)
    if options.json:
        print(json.dumps(row, indent=1))
    else:
        print_tier(row)
    return 0
