"""`pressmark register-use-case TEAM/USE_CASE [QUESTION=ANSWER ...]`: a purpose for models, and how much care it asks for."""

from __future__ import annotations

import argparse
import json

from registry.cli.questionnaires import answers_of, print_questions, print_tier, split_use_case
from registry.cli.remote import add_server_arguments, client_of
from registry.errors import Invalid

_SAID = ("purpose", "sector", "jurisdiction", "owner")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("use_case", metavar="TEAM/USE_CASE")
    parser.add_argument(
        "answers",
        metavar="QUESTION=ANSWER",
        nargs="*",
        help="to the tier table in force; prints its questions, if left out",
    )
    parser.add_argument("--purpose", help="what models are for there, in a sentence or two")
    parser.add_argument("--sector", help="such as 'customer support'; sealed in clear")
    parser.add_argument("--jurisdiction", help="such as EU; sealed in clear")
    parser.add_argument("--owner", help="user name of the person who answers for it")
    parser.add_argument("--users", default="", help="who works with the answers")
    parser.add_argument("--prohibited", default="", help="what models must not be used for there")
    parser.add_argument(
        "--tier", default="", help="by hand: higher than the answers give, or any where no table is in force"
    )
    parser.add_argument("--reason", default="", help="on what the answers rest; of a tier by hand, why")
    parser.add_argument("--json", action="store_true", help="the use case as JSON")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Register it; its tier follows from the answers."""
    client = client_of(options)
    team, slug = split_use_case(options.use_case)
    if not options.answers and not options.tier:
        return print_questions(client, {})
    missing = [f"--{name}" for name in _SAID if not getattr(options, name)]
    if missing:
        raise Invalid(f"Not everything is said about {options.use_case}.", hint=f"Add {', '.join(missing)}.")
    body = {name: getattr(options, name) for name in (*_SAID, "users", "prohibited", "tier", "reason")}
    client.post(f"teams/{team}/use-cases", {**body, "slug": slug, "answers": answers_of(options.answers)})
    row = client.get(f"teams/{team}/use-cases/{slug}")
    if options.json:
        print(json.dumps(row, indent=1))
    else:
        print_tier(row)
    return 0
