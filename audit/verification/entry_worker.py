"""The second process of a verification: reads entries ahead of the first and writes what it finds to standard output.

    python -P -m audit.verification.entry_worker END KIND...

It answers to nobody but the process that started it (see `audit.verification.entry_feed`), and ends with it.
"""

from __future__ import annotations

import importlib
import os
import sys

import django


def main(end: int, special: frozenset[str]) -> None:
    """Write everything, or as much as is wanted."""
    django.setup()
    feed = importlib.import_module("audit.verification.entry_feed")
    patterns = importlib.import_module("audit.verification.entry_patterns")
    images = importlib.import_module("registry.images")
    try:
        feed.write_items(end, patterns.Patterns(images.record_types()), special, sys.stdout.buffer)
    except BrokenPipeError:  # the first process knows enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main(int(sys.argv[1]), frozenset(sys.argv[2:]))
