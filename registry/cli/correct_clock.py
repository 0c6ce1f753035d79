"""`pressmark correct-clock`: entries carry the clock's time again, after it was wrong once. Two administrators."""

from __future__ import annotations

import argparse

from audit import services_interventions as interventions
from registry.cli import administrators
from registry.digests import time_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    administrators.add_arguments(parser, second=True)


def run(options: argparse.Namespace) -> int:
    """The clock itself must be right already."""
    actor, second = administrators.first_of(options), administrators.second_of(options)
    act = interventions.correct_clock(actor=actor, agreed_by=second, reason=administrators.reason_of(options))
    assert act.old_at is not None
    assert act.new_at is not None
    print(
        f"The last entry was of {time_text(act.old_at)}; from {time_text(act.new_at)} on entries carry the clock's time."
    )
    return 0
