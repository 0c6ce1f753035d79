"""`python -m tests.battery NAME [--small] [--json]`: attacks and kills at full size; exit 1 if one row does not hold.

A battery is a set of modules, each with `run(small) -> list[Row]`. Each starts what it needs (PostgreSQL included) by itself, and a
small share of it is part of the everyday suite.
"""

from __future__ import annotations

import argparse
import importlib
import json

from tests.bench.harness import Row, table

BATTERIES: dict[str, list[str]] = {
    "engine": ["fuzzing"],
    "evaluation": ["evaluations"],
    "governance": ["governance"],
    "ledger": ["as_of", "mutants", "witnesses", "tampering", "writers", "kills"],
}


def run(name: str, small: bool) -> list[Row]:
    """Every row of a battery, module by module."""
    rows: list[Row] = []
    for module in BATTERIES[name]:
        rows += importlib.import_module(f"tests.battery.{module}").run(small)
    return rows


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery", description=__doc__)
    parser.add_argument("name", choices=sorted(BATTERIES))
    parser.add_argument("--small", action="store_true", help="the share that the everyday suite runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.name, options.small)
    print(json.dumps([row.document() for row in rows], indent=1) if options.json else table(rows))
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
