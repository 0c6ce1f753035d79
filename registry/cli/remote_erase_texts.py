"""`pressmark erase-texts`: what somebody typed, or what names somebody, is erased; every proof still verifies."""

from __future__ import annotations

import argparse
from typing import Any

from registry.cli.remote import add_server_arguments, client_of
from registry.client import Client
from registry.errors import Invalid

_SHOWN_CHARACTERS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids of texts, as --dry-run shows them")
    parser.add_argument("--by", metavar="NAME", help="everything that this actor typed: user name or id")
    parser.add_argument(
        "--holding", metavar="WORDS", help="with --dry-run: texts that hold these words, such as a name"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why; kept beside the erasure, so it names nobody")
    parser.add_argument("--dry-run", action="store_true", help="list what would go, and erase nothing")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Erase, or list what would go."""
    if sum(map(bool, (options.ids, options.by, options.holding))) != 1:
        raise Invalid("Say which texts in one way.", hint="Give ids, or --by NAME, or --holding WORDS --dry-run.")
    if options.dry_run:
        return show(client_of(options), options)
    if options.holding:
        raise Invalid(
            "Words alone erase nothing.", hint="Look with --dry-run first; then give the ids of those that go."
        )
    if not (options.reason or "").strip():
        raise Invalid("Erasing asks for a reason.", hint="Say --reason TEXT, and name nobody in it.")
    body = {"ids": options.ids, "by": options.by or "", "reason": options.reason}
    erased = erase(client_of(options), body)
    print(f"{erased} texts are erased. Their commitments stay, and every proof still verifies.")
    return 0


def erase(client: Client, body: dict[str, Any]) -> int:
    """Call until nothing is left: a unit holds what fits into it."""
    erased = 0
    while True:
        done = client.post("texts/erase", body)
        erased += int(done["erased"])
        if not done["left"]:
            return erased


def show(client: Client, options: argparse.Namespace) -> int:
    """What would go, one line each."""
    asked = [("id", key) for key in options.ids]
    asked += [(name, value) for name, value in (("by", options.by), ("holding", options.holding)) if value]
    answer = client.get("texts", asked)
    for row in answer["items"]:
        words = " ".join(row["value"].split())
        shown = words if len(words) <= _SHOWN_CHARACTERS else words[: _SHOWN_CHARACTERS - 3] + "..."
        print(f"{row['id']}  {row['purpose']:<12} {row['stream']:<48} {shown}")
    more = answer["count"] - len(answer["items"])
    print(f"{answer['count']} texts" + (f", {more} of them not shown" if more else "") + "; nothing is erased.")
    return 0
