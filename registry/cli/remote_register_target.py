"""`pressmark register-target TEAM/TARGET --runtime TEXT --hardware TEXT`: a place where versions run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from registry.cli.remote import add_server_arguments, client_of, split_model
from registry.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TEAM/TARGET", help="the same name again is its next number")
    parser.add_argument("--runtime", required=True, metavar="TEXT", help="such as 'onnxruntime 1.20'")
    parser.add_argument("--hardware", required=True, metavar="TEXT", help="such as '8 cores AVX-512, 16 GB'")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="NAME=VALUE", help="of serving; more than once"
    )
    parser.add_argument(
        "--limit", action="append", default=[], metavar="NAME=VALUE", help="that it keeps; more than once"
    )
    parser.add_argument("--safeguards", default="", metavar="TEXT", help="what stands around it")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Register it."""
    team, slug = split_model(options.target)
    row = client_of(options).register_target(
        team, slug, options.runtime, options.hardware, settings=_pairs(options.setting), limits=_pairs(options.limit),
        safeguards=options.safeguards,
    )  # fmt: skip
    print(f"{row['target']}  {row['id']}")
    return 0


def _pairs(said: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in said:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise Invalid(f"{word!r} is no setting.", hint="Write NAME=VALUE.")
        found[name] = value
    return found
