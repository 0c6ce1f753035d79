"""`pressmark verify BUNDLE`: the product's own offline verifier, without Django and without a network."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import audit

_OPTIONS = """\
  --key KEYLINE_OR_FILE      a key line that you kept outside the bundle; repeatable
  --checkpoint FILE          a checkpoint that you kept outside the bundle, older, equal or newer
  --proof FILE               a consistency proof between your checkpoint and the bundle's: for a newer one, or an older one
                             that the bundle does not lead on from (`pressmark prove-consistency` fetches it)
  --witness KEYLINE_OR_FILE  a witness that you trust and that must have cosigned; repeatable
  --receipt FILE_OR_FOLDER   a receipt that you were given, or a completed one; repeatable
  --not-before TIME          refuse a bundle that was sealed before this: 2026-03-01, 2026-03-01T12:00Z (ISO 8601)
  --json                     the answers as JSON

BUNDLE may also be the folder of a completed receipt.

exit status: 0 everything holds; 1 something is wrong; 2 wrong call; 3 nothing wrong, but something was not checked"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _OPTIONS
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="BUNDLE [--key ...] [--checkpoint ...] [--json]")


def run(options: argparse.Namespace) -> int:
    """Run the one-file verifier in a process of its own; its exit status is the answer."""
    verifier = Path(audit.__file__).with_name("offline_verify.py")
    return subprocess.run([sys.executable, "-I", str(verifier), *options.arguments], check=False).returncode
