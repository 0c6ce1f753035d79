"""`pressmark keys`: every key line of this installation, and from which position to which each signs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import pairwise

from audit import eras
from audit.eras import Era
from audit.models import Key
from registry.errors import Unavailable

_WHY = {
    "ledger.created": "the first keys",
    "key.rotated": "rotated; the keys before vouch for these",
    "key.revoked": "the keys before are revoked: lost or stolen; nobody vouches for these",
    "ledger.reopened": "a new origin",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    """Oldest first; the last ones are in force."""
    try:
        found = eras.read()
    except eras.EraError as error:
        raise Unavailable(
            f"The keys cannot be known: at position {error.position} {error}.",
            hint="See `pressmark verify-ledger`; restore database and store/ from one backup.",
        ) from None
    said = list(_described(found))
    if options.json:
        print(json.dumps(said, indent=1))
        return 0
    for era in said:
        until = "on, in force" if era["last_position"] is None else f"to {era['last_position']}"
        print(f"{era['origin']} from position {era['first_position']} {until}: {era['why']}")
        print(f"  {era['log']}\n  {era['issuer']}")
    return 0


def _described(found: list[Era]) -> Iterator[dict[str, str | int | bool | None]]:
    revoked = set(Key.objects.exclude(revoked_at=None).values_list("key_line", flat=True))
    for era, after in pairwise([*found, None]):
        assert era is not None
        why = _WHY[era.kind]
        if era.kind == "ledger.reopened":
            why += "; the keys before vouch for these" if era.vouched else ", of a copy; nobody vouches for these"
        yield {
            "origin": era.origin,
            "first_position": era.first,
            "last_position": None if after is None else after.first - 1,
            "kind": era.kind,
            "why": why,
            "vouched": era.vouched,
            "revoked": era.keys.log.key_line in revoked,
            "log": era.keys.log.key_line,
            "issuer": era.keys.issuer.key_line,
        }


def tell_new_keys(heading: str) -> None:
    """What an act that brought new keys says at its end."""
    print(f"\n{heading}")
    for row in Key.objects.filter(last_position=None).order_by("-use"):
        print(f"  {row.key_line}")
