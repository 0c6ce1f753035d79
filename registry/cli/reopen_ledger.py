"""`pressmark reopen-ledger`: a ledger that may not be signed on goes on under a new origin, and seals where the old one ended."""

from __future__ import annotations

import argparse
from pathlib import Path

from audit import services_interventions as interventions
from audit.models import Intervention, Ledger
from registry.cli import administrators
from registry.cli.keys import tell_new_keys


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
    administrators.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One administrator."""
    given = [path.read_bytes() for path in options.checkpoint]
    actor = administrators.first_of(options)
    reason = administrators.reason_of(options)
    act = interventions.reopen_ledger(actor=actor, reason=reason, copied=options.copied, given=given)
    print(f"The ledger goes on as {Ledger.objects.get(ended_at=None).origin}.")
    _tell_what_was_before(act)
    if options.copied:
        tell_new_keys(
            "Nobody vouches for the new keys. Tell everybody who checks bundles of this copy these two lines:"
        )
    else:
        tell_new_keys("Keep these two lines outside this machine. Whoever knows the old ones can follow to these:")
    print("\nBack up the folder keys/ now, apart from the rest.")
    return 0


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
