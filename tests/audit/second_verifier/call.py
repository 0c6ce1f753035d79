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


def _not_before(given: str) -> str | None:
    if not given or forms.time(given):
        return given or None
    if forms.date(given):
        return f"{given}T00:00:00.000000Z"
    raise Unreadable(f"{given!r} is neither a date nor a time of the form 2026-01-02T03:04:05.000000Z")


def read_call(
    keys: Sequence[str] = (),
    witnesses: Sequence[str] = (),
    checkpoint: bytes | None = None,
    proof: bytes | None = None,
    receipts: Sequence[Path | bytes] = (),
    not_before: str = "",
) -> Call:
    try:
        return Call(
            [read_key_line(line, PLAIN) for line in keys],
            None if checkpoint is None else read_checkpoint(checkpoint),
            None if proof is None else read_consistency(proof),
            [read_key_line(line, WITNESS) for line in witnesses],
            [(f"{number}", read_given(one)) for number, one in enumerate(receipts, 1)],
            _not_before(not_before),
        )
    except (Unreadable, OSError) as error:
        raise WrongCall(str(error)) from error
