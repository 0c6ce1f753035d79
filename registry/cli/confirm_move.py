"""`pressmark confirm-move`: this installation was moved here, the old place is no more; it goes on under the same origin."""

from __future__ import annotations

import argparse

from audit import services_interventions as interventions
from audit.seat import Seat
from registry.cli import administrators

_WARNING = """
The installation must never run at the old place again, not from a copy and not from a backup of it: two that sign
under one origin are two histories, and whoever holds a checkpoint of each can prove it. If the old one still runs, stop
one of the two now; the one that shall go on beside the other needs `pressmark reopen-ledger --copied`."""
_HOST = ", on another host"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    administrators.add_arguments(parser, reason=False)


def run(options: argparse.Namespace) -> int:
    """One administrator."""
    old, new = interventions.confirm_move(actor=administrators.first_of(options))
    print(_told(old, new))
    if old is None or not _is_same_place(old, new):
        print(_WARNING)
    return 0


def _is_same_place(old: Seat, new: Seat) -> bool:
    return (old.path, old.host) == (new.path, new.host)


def _told(old: Seat | None, new: Seat) -> str:
    """What changed: the place, the host, or nothing."""
    if old is None:
        return f"Confirmed: nothing said where it was used before; from now on it is {new.path} on this host."
    if _is_same_place(old, new):
        return f"Nothing had moved: it was used at {new.path} on this host, and still is."
    if old.path != new.path:
        return f"Moved: it was used at {old.path}, now it is at {new.path}{_HOST if old.host != new.host else ''}."
    return f"Moved: it was used at {old.path} on another host, now on this one."
