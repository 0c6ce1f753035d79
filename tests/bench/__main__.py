"""`python -m tests.bench NAME [--quick] [--json]`: runs a benchmark; exit 1 if a row does not hold its target."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from tests.bench import data_quality, evaluation, governance, ledger, quantization
from tests.bench.harness import Row, table

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "data-quality": data_quality.run,
    "evaluation": evaluation.run,
    "governance": governance.run,
    "ledger": ledger.run,
    "quantization": quantization.run,
}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows; the figures say how many")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = BENCHMARKS[options.name](options.quick)
    print(json.dumps([row.document() for row in rows], indent=1) if options.json else table(rows))
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
