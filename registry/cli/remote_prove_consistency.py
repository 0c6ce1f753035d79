"""`pressmark prove-consistency OLD NEW`: the proof that a newer state of the ledger continues an older one, for `verify --proof`.

One reason: who holds a checkpoint that is newer than a bundle, or older and not led on from in it, needs it for "streams whole".
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

from audit import offline_verify
from registry.cli.places import write_private
from registry.cli.remote import add_server_arguments, client_of
from registry.digests import canonical
from registry.errors import Conflict, Invalid

_CHECKPOINT = "log/checkpoint"
_HINT = "Give a number of entries, a file with a checkpoint, or the zip of a bundle."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "a number of entries, a file with a checkpoint, or a bundle"
    parser.add_argument("old", metavar="OLD", help=what)
    parser.add_argument("new", metavar="NEW", help="the same; the order of the two does not matter")
    parser.add_argument("--output", type=Path, metavar="FILE", help="pressmark-proof-OLD-NEW.json, if left out")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for the proof between the two sizes, and keep it as the verifier takes it."""
    old, new = sorted((_size(options.old), _size(options.new)))
    if old == new:
        raise Invalid(
            f"Both are over {old} entries: no proof is needed.", hint="`pressmark verify` compares the roots."
        )
    target = options.output or Path(f"pressmark-proof-{old}-{new}.json")
    if target.exists():
        raise Conflict(f"{target} is there already.", hint="Name another file with --output.")
    answer = client_of(options).get("ledger/consistency", [("old", str(old)), ("new", str(new))])
    data = canonical(answer)
    try:
        offline_verify.read_consistency(data, "the server's answer")
    except offline_verify.Bad as error:
        raise Conflict(f"{error}.", hint="Is it a Pressmark server of at least this version?") from None
    write_private(target, data)
    print(f"{target}: from {old} to {new} entries")
    print(f"Check with it: pressmark verify BUNDLE --key KEYLINE --checkpoint FILE --proof {target}")
    return 0


def _size(given: str) -> int:
    """How many entries a number, a checkpoint or the checkpoint in a bundle speaks of."""
    if given.isascii() and given.isdigit():
        return int(given)
    path = Path(given)
    try:
        data = _bundled(path) if zipfile.is_zipfile(path) else path.read_bytes()
        return offline_verify.read_checkpoint(data, given).size
    except offline_verify.Bad as error:
        raise Invalid(f"{error}.", hint=_HINT) from None
    except FileNotFoundError:
        raise Invalid(f"{given} is no number and no file.", hint=_HINT) from None


def _bundled(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_CHECKPOINT) as file:
            return file.read(offline_verify.NOTE_LIMIT + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):
        raise Invalid(f"{path} is no bundle: it holds no {_CHECKPOINT}.", hint=_HINT) from None
