"""The second verifier from a shell: `python -m tests.audit.second_verifier BUNDLE_OR_FOLDER [--key ...] ...`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .findings import Findings, WrongCall
from .forms import Unreadable
from .keys import PLAIN, WITNESS, read_key_line
from .verify import verify


def _key_lines(given: str, kind: int) -> list[str]:
    """A key line itself, or those of a file: no empty lines, no `#` lines, nothing after white space."""
    try:
        return [read_key_line(given, kind).line]
    except Unreadable:
        lines = [line.split() for line in Path(given).read_text("utf-8").split("\n")]
    found = [words[0] for words in lines if words and not words[0].startswith("#")]
    if not found:
        raise WrongCall(f"{given} holds no key line")
    return found


def _judged(a: argparse.Namespace) -> Findings:
    try:
        return verify(
            a.target,
            keys=[line for one in a.key for line in _key_lines(one, PLAIN)],
            witnesses=[line for one in a.witness for line in _key_lines(one, WITNESS)],
            checkpoint=Path(a.checkpoint).read_bytes() if a.checkpoint else None,
            proof=Path(a.proof).read_bytes() if a.proof else None,
            receipts=[Path(one) if Path(one).is_dir() else Path(one).read_bytes() for one in a.receipt],
            not_before=a.not_before,
        )
    except (OSError, UnicodeDecodeError) as error:
        raise WrongCall(str(error)) from error


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="second_verifier")
    parser.add_argument("target")
    for name in ("key", "witness", "receipt"):
        parser.add_argument(f"--{name}", action="append", default=[])
    for name in ("checkpoint", "proof", "not-before"):
        parser.add_argument(f"--{name}", default="")
    a = parser.parse_args(arguments)
    try:
        findings = _judged(a)
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
