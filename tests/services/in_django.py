"""Run a function in an installation's own process, with Django set up before the module is imported.

python -m tests.services.in_django MODULE FUNCTION NUMBER...      prints what it returns, and its peak memory, as JSON
"""

from __future__ import annotations

import importlib
import json
import resource
import sys

import django


def main(words: list[str]) -> None:
    django.setup()
    module, function, *numbers = words
    said = getattr(importlib.import_module(module), function)(*map(int, numbers))
    print(json.dumps(said | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main(sys.argv[1:])
