"""`python -m tests.bench NAME [--quick] [--only PART] [--json]`: runs a benchmark; exit 1 if a row does not hold its target.

`python -m tests.bench table FILE... [--write PAGE]` writes what `--json` printed as tables.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from tests.bench import data_quality, evaluation, governance, identity, ledger, page, quantization, training
from tests.bench.harness import Row, table

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "data-quality": data_quality.run,
    "evaluation": evaluation.run,
    "governance": governance.run,
    "identify": identity.run,
    "ledger": ledger.run,
    "quantization": quantization.run,
    "training": training.run,
}

PARTED: dict[str, Callable[[bool, str], list[Row]]] = {"quantization": quantization.run, "training": training.run}
"""Benchmarks of which one part can be run alone."""
PARTS = {"quantization": tuple(quantization.PARTS), "training": tuple(training.PARTS)}


def main() -> int:
    """The command line."""
    if sys.argv[1:2] == ["table"]:
        return page.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows; the figures say how many")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", metavar="PART", help="; ".join(f"{name}: {', '.join(PARTS[name])}" for name in PARTS))
    options = parser.parse_args()
    if options.only is not None and options.only not in PARTS.get(options.name, ()):
        parser.error(
            f"{options.name} has no part {options.only}: {', '.join(PARTS.get(options.name, ())) or 'it has none'}"
        )
    alone = options.only is not None
    rows = PARTED[options.name](options.quick, options.only) if alone else BENCHMARKS[options.name](options.quick)
    print(json.dumps([row.document() for row in rows], indent=1) if options.json else table(rows))
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
