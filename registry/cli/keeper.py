"""`pressmark keeper`: the loops alone."""

from __future__ import annotations

import argparse
import signal

from audit import keeper
from registry import guards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(options: argparse.Namespace) -> int:
    """Turn until SIGTERM."""
    guards.demand()
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    keeper.run(lambda: bool(stopping))
    return 0
