"""`pressmark confirm-move`: this installation was moved here, the old place is no more; it goes on under the same origin."""

from __future__ import annotations

import argparse

from audit import services_interventions as interventions
from registry.cli import administrators

_WARNING = """
The installation must never run at the old place again, from no copy and no backup of it: two that sign under
one origin are two histories, and whoever holds a checkpoint of each can prove it. If the old one still runs, stop it
now, and run `pressmark reopen-ledger --copied` on one of the two."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    administrators.add_arguments(parser, reason=False)


def run(options: argparse.Namespace) -> int:
    """One administrator."""
    old, new = interventions.confirm_move(actor=administrators.first_of(options))
    print(f"Moved: it was used at {old.path if old else 'no known place'}, now it is at {new.path}.")
    print(_WARNING)
    return 0
