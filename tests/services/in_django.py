"""Run a function in an installation's own process, with Django set up before the module is imported.

python -m tests.services.in_django MODULE FUNCTION NUMBER...      prints what it returns, and its peak memory, as JSON
"""

from __future__ import annotations

import importlib
import json
import sys

import django

from tests.own_memory import peak_bytes


def main(words: list[str]) -> None:
    django.setup()
    module, function, *numbers = words
    said = getattr(importlib.import_module(module), function)(*map(int, numbers))
    print(json.dumps(said | {"peak_mb": peak_bytes() / 2**20}))


if __name__ == "__main__":
    main(sys.argv[1:])
