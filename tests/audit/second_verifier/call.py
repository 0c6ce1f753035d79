"""What the caller gives: key lines, a checkpoint, a proof, receipts and a time.

Rule: what cannot be read at all is a wrong call, and nothing is judged.
"""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

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


_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<clock>\d\d:\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,6}))?)?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?)?",
    re.ASCII,
)


def _not_before(given: str) -> str | None:
    if not given:
        return None
    parts = _MOMENT.fullmatch(given)
    try:
        if parts is None or int(parts["minutes"] or 0) > 59 or int(parts["hours"] or 0) > 23:
            raise ValueError
        read = f"{parts['day']} {parts['clock'] or '00:00'}:{parts['second'] or '00'}.{parts['fraction'] or '0'}"
        moment = datetime.datetime.strptime(read, "%Y-%m-%d %H:%M:%S.%f")
        ahead = datetime.timedelta(hours=int(parts["hours"] or 0), minutes=int(parts["minutes"] or 0))
        moment = moment + ahead if parts["sign"] == "-" else moment - ahead
    except (ValueError, OverflowError):
        raise Unreadable(f"{given!r} is neither a date nor a time") from None
    return f"{moment.isoformat(timespec='microseconds')}Z"


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
