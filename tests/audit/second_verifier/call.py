"""What the caller gives: key lines, a checkpoint, a proof, receipts and a time.

Rule: what cannot be read at all is a wrong call, and nothing is judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import forms
from .findings import WrongCall
from .forms import Unreadable
from .keys import PLAIN, WITNESS, Key, read_key_line
from .notes import Checkpoint, read_checkpoint
from .outside import Consistency, read_consistency
from .receipts import Given, read_given


@dataclass
class Call:
    keys: list[Key] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    proof: Consistency | None = None
    witnesses: list[Key] = field(default_factory=list)
    receipts: list[tuple[str, Given]] = field(default_factory=list)
    not_before: str | None = None


def _key_lines(given: str) -> list[str]:
    if given.count("+") >= 2 and not Path(given).is_file():
        return [given]
    lines = [line.strip() for line in Path(given).read_text("utf-8").split("\n")]
    return [line.split()[0] for line in lines if line and not line.startswith("#")]


def _keys(given: Sequence[str], kind: int) -> list[Key]:
    return [read_key_line(line, kind) for one in given for line in _key_lines(one)]


def _not_before(given: str | None) -> str | None:
    if given is None or forms.time(given):
        return given
    if forms.date(given):
        return f"{given}T00:00:00.000000Z"
    raise Unreadable(f"{given!r} is neither a date nor a time of the form 2026-01-02T03:04:05.000000Z")


def read_call(
    keys: Sequence[str] = (),
    checkpoint: str | None = None,
    proof: str | None = None,
    witnesses: Sequence[str] = (),
    receipts: Sequence[str] = (),
    not_before: str | None = None,
) -> Call:
    try:
        return Call(
            _keys(keys, PLAIN),
            read_checkpoint(Path(checkpoint).read_bytes()) if checkpoint else None,
            read_consistency(Path(proof).read_bytes()) if proof else None,
            _keys(witnesses, WITNESS),
            [(one, read_given(Path(one))) for one in receipts],
            _not_before(not_before),
        )
    except (Unreadable, OSError, UnicodeDecodeError) as error:
        raise WrongCall(str(error)) from error
