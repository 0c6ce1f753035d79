"""`pressmark rotate-keys`: new keys from now on, vouched for by the old ones. No restart is needed."""

from __future__ import annotations

import argparse

from audit import services_interventions as interventions
from registry.cli import administrators
from registry.cli.keys import tell_new_keys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    administrators.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One administrator."""
    actor = administrators.first_of(options)
    interventions.rotate_keys(actor=actor, reason=administrators.reason_of(options))
    print("The keys are rotated; every process of this installation signs with the new ones.")
    tell_new_keys("Keep these two lines outside this machine. Whoever knows the old ones can follow to these:")
    print("\nBack up the folder keys/ now, apart from the rest.")
    return 0
