"""The second verifier from a shell: `python -m tests.audit.second_verifier BUNDLE_OR_FOLDER [--key ...] ...`."""

import argparse
import sys
from collections.abc import Sequence

from .findings import WrongCall
from .verify import verify


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="second_verifier")
    parser.add_argument("target")
    for name in ("key", "witness", "receipt"):
        parser.add_argument(f"--{name}", action="append", default=[])
    for name in ("checkpoint", "proof", "not-before"):
        parser.add_argument(f"--{name}")
    a = parser.parse_args(arguments)
    try:
        findings = verify(a.target, a.key, a.checkpoint, a.proof, a.witness, a.receipt, a.not_before)
    except WrongCall as error:
        print(f"wrong call: {error}", file=sys.stderr)
        return 2
    for answer, result in findings.results.items():
        print(f"{answer}: {result}")
    for answer, reason in [*findings.against, *findings.unchecked]:
        print(f"  {answer}: {reason}")
    for note in findings.notes:
        print(f"  note: {note}")
    return findings.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
