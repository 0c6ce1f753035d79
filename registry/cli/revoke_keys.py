"""`pressmark revoke-keys`: new keys because the old ones were lost or stolen. Two administrators."""

from __future__ import annotations

import argparse

from audit import services_interventions as interventions
from registry.cli import administrators
from registry.cli.keys import tell_new_keys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    administrators.add_arguments(parser, second=True)


def run(options: argparse.Namespace) -> int:
    """The old keys need not be there any more."""
    actor, second = administrators.first_of(options), administrators.second_of(options)
    interventions.revoke_keys(actor=actor, agreed_by=second, reason=administrators.reason_of(options))
    print("The old keys are revoked and set aside; every process of this installation signs with the new ones.")
    tell_new_keys(
        "Nobody vouches for the new ones. Tell everybody who checks bundles, by a way of your own, these two lines:"
    )
    print("\nand that the old lines count no more: who is not told goes on believing them.")
    print("Back up the folder keys/ now, apart from the rest.")
    return 0
