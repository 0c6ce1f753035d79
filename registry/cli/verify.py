"""`pressmark verify BUNDLE`: the product's own offline verifier, without Django and without a network."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import audit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="BUNDLE [--key ...] [--checkpoint ...] [--json]")


def run(options: argparse.Namespace) -> int:
    """Run the one-file verifier in a process of its own; its exit status is the answer."""
    verifier = Path(audit.__file__).with_name("offline_verify.py")
    return subprocess.run([sys.executable, "-I", str(verifier), *options.arguments], check=False).returncode
