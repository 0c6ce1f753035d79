"""`pressmark reopen-ledger`: a ledger that may not be signed on goes on under a new origin, and seals where the old one ended."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from audit import checkpoints, eras, past
from audit import services_interventions as interventions
from audit.models import Intervention, Ledger
from audit.refusal import LedgerRefused
from audit.witnessing import cosigning
from registry.cli import administrators
from registry.cli.keys import tell_new_keys
from registry.errors import Conflict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    why = parser.add_mutually_exclusive_group(required=True)
    why.add_argument(
        "--restored", action="store_true", help="an old backup was restored, and what came after it is lost"
    )
    why.add_argument("--copied", action="store_true", help="this is a copy, and the installation it is of goes on")
    parser.add_argument(
        "--checkpoint", action="append", default=[], type=Path, metavar="FILE",
        help="a checkpoint of the old origin that was kept elsewhere; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--although-whole", action="store_true",
        help="even though nothing is wrong with the ledger here; it cannot be undone",
    )  # fmt: skip
    administrators.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One administrator."""
    given = [path.read_bytes() for path in options.checkpoint]
    actor = administrators.first_of(options)
    finished = interventions.finish_reopening(actor=actor, copied=options.copied)
    if finished is not None:
        print("It was reopened already, by an attempt that was interrupted; what was left to do is done now.")
        _tell(finished)
        return 0
    reason = administrators.reason_of(options)
    if not options.although_whole:
        _demand_trouble(given, copied=options.copied)
    if not given and not options.copied:  # what a witness showed of the lost history is sealed with the loss
        cosigning.refuse_other_history(eras.read, checkpoints.root_or_none)
    act = interventions.reopen_ledger(actor=actor, reason=reason, copied=options.copied, given=given)
    _tell(act)
    return 0


def _tell(act: Intervention) -> None:
    """What it is now, what was before, and the new keys."""
    print(f"The ledger goes on as {Ledger.objects.get(ended_at=None).origin}.")
    _tell_what_was_before(act)
    if act.kind == Intervention.Kind.LEDGER_COPIED:
        tell_new_keys(
            "Nobody vouches for the new keys. Tell everybody who checks bundles of this copy these two lines:"
        )
    else:
        tell_new_keys("Keep these two lines outside this machine. Whoever knows the old ones can follow to these:")
    print("\nBack up the folder keys/ now, apart from the rest.")


def _demand_trouble(given: Sequence[bytes], *, copied: bool) -> None:
    """Nobody ends the origin of a ledger that goes on by itself, or sets its keys aside, by trying a verb out."""
    try:
        checkpoints.demand_continuity()
    except LedgerRefused:
        return
    ledger = Ledger.objects.get(ended_at=None)
    before = past.read(ledger, given)
    if before.epoch > ledger.epoch or (before.last is not None and before.last.size > before.agreed_size):
        return
    if copied:
        hint = "Run this on the copy, not here. If this is the copy, and nothing tells it from the original, add --although-whole."
    else:
        hint = "If an old backup was restored with its checkpoints, give a newer one that was kept elsewhere: --checkpoint FILE."
    raise Conflict(
        "Nothing is wrong here: the ledger stands in its place and continues its last checkpoint.", hint=hint
    )


def _tell_what_was_before(act: Intervention) -> None:
    if act.old_size is None:
        print("Nothing was ever signed under the old origin.")
        return
    print(f"The last checkpoint of {act.old_origin} was over {act.old_size} entries;", end=" ")
    print(f"this ledger continues what was signed up to {act.agreed_size}.")
    if act.kind == Intervention.Kind.LEDGER_RESTORED and act.old_size > (act.agreed_size or 0):
        print(
            f"Entries from position {act.agreed_size} on that were sealed before are lost, and provably so: tell who needs to know."
        )
