"""Whether rows to evaluate on were seen before, in training or calibration: by the bytes that the model gets of them.

Rules:
- two rows are the same when the encoded rows are, bit for bit, padding left out; labels do not count;
- a row stands by the first 16 bytes of its SHA-256; sorted, 100 million of them take 1.6 GB;
- rows that repeat another one within the evaluation are counted, since they make n look larger than what was tried; where a state
  is carried, a row is the same only where all rows before it in its sequence are;
- a single row that was seen makes the evaluation refused (evaluation_seen), unless it is allowed and then said;
- rows that are nearly the same (`data.alike`), or lie nearer to one that was seen than chance brings them (`data.nearness`), are
  counted and shown, and refuse nothing: tables of few values hold such rows without anybody having copied one, so how many of the
  rows are distinct stands beside the number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compression_engine.data import Encoder
from compression_engine.data.nearness import near_rows
from compression_engine.errors import DataError
from compression_engine.measure.context import Found
from compression_engine.progress import Progress
from compression_engine.result import Measurement

KIND = "seen"
METHOD = "rows_compared_by_digest"
STAGE = "seen"
_DIGEST_BYTES = 16
_ROWS_AT_ONCE = 1024
_NAMED_MAX = 5
Digests = NDArray[np.void]


@dataclass(frozen=True)
class Seen:
    """Which rows stand in data that was seen, [rows]: the same, and nearly the same (those that are the same among them)."""

    same: NDArray[np.bool_]
    near: NDArray[np.bool_]
    distinct: int
    """How many of all rows differ from one another, bit for bit."""
    files: int


class Tellable(Protocol):
    """Rows that can be told apart: the bytes that equal rows have in common, and those that nearly equal ones have."""

    @property
    def rows(self) -> Sized: ...
    def row_bytes(self, indices: range) -> list[bytes]: ...
    def alike_bytes(self, indices: range) -> list[bytes]: ...


def row_digests(encoder: Tellable, progress: Progress, *, alike: bool = False) -> Digests:
    """The digest of every row, in the rows' order, or of the form that nearly equal rows share; 16 bytes each."""
    total = len(encoder.rows)
    found = np.empty(total, dtype=f"V{_DIGEST_BYTES}")
    bytes_of = encoder.alike_bytes if alike else encoder.row_bytes
    for start in range(0, total, _ROWS_AT_ONCE):
        progress(STAGE, start, total, "rows told apart")
        end = min(start + _ROWS_AT_ONCE, total)
        parts = (hashlib.sha256(row).digest()[:_DIGEST_BYTES] for row in bytes_of(range(start, end)))
        found[start:end] = np.frombuffer(b"".join(parts), dtype=found.dtype)
    return found


def seen_rows(encoder: Tellable, others: Sequence[Tellable], progress: Progress) -> Seen:
    """Which rows stand in one of the other files."""
    ours = comparable(row_digests(encoder, progress))
    same = _found(ours, others, progress)
    near = same | _found(comparable(row_digests(encoder, progress, alike=True)), others, progress, alike=True)
    near |= _nearby(encoder, others, progress)
    progress(STAGE, len(ours), len(ours), f"{int(same.sum())} rows were seen before")
    return Seen(same, near, len(np.unique(ours)), len(others))


def _nearby(encoder: Tellable, others: Sequence[Tellable], progress: Progress) -> NDArray[np.bool_]:
    """Which rows lie too near to one of the others; none where a file holds texts, or columns of several kinds."""
    points = [one.points() if isinstance(one, Encoder) else None for one in (encoder, *others)]
    known = [one for one in points if one is not None]
    if len(known) < len(points):
        return np.zeros(len(encoder.rows), dtype=bool)
    return near_rows(known[0], known[1:], lambda done, total: progress(STAGE, done, total, "rows held against rows"))


def _found(
    ours: NDArray[np.bytes_], others: Sequence[Tellable], progress: Progress, *, alike: bool = False
) -> NDArray[np.bool_]:
    found = np.zeros(len(ours), dtype=bool)
    for other in others:
        theirs = np.sort(comparable(row_digests(other, progress, alike=alike)))
        places = np.minimum(np.searchsorted(theirs, ours), len(theirs) - 1)
        found |= theirs[places] == ours
    return found


def distinct_rows(encoder: Encoder, sequences: NDArray[np.int64] | None, progress: Progress) -> int:
    """How many different rows the model gets; `sequences` numbers the row's sequence where a state is carried, [rows]."""
    digests = row_digests(encoder, progress)
    if sequences is not None:
        digests = _with_what_went_before(digests, sequences)
    count = len(np.unique(comparable(digests)))
    progress(STAGE, len(digests), len(digests), f"{count} rows differ")
    return count


def measured(seen: Seen) -> Found:
    """`rows_seen_share` (share), `near_seen_rows` and `distinct_rows` (row). Exact, so without an interval."""
    count, near, n = int(seen.same.sum()), int(seen.near.sum()), len(seen.same)
    where = f"the data of training or calibration ({seen.files} file{'s' if seen.files > 1 else ''})"
    exact = "a count of all rows has no interval"
    same = f"{count} of {n} rows stand in {where}."
    alike = (
        f"{near} of {n} rows stand there or differ from one there by less than half a percent in every number, by less than rows "
        "of this kind differ by chance, or by case and spacing of their text alone"
        + ("; in a table of few values such rows come without a copy." if near else ".")
    )
    rest = ": the rest repeats one of these." if seen.distinct < n else "."
    distinct = f"{seen.distinct} of {n} rows are distinct{rest}"
    figures = [
        Measurement("rows_seen_share", count / n, "share", n, same, reason=exact),
        Measurement("near_seen_rows", near, "row", n, alike, reason=exact),
        Measurement("distinct_rows", seen.distinct, "row", n, distinct, reason=exact),
    ]
    return Found(KIND, METHOD, figures, method_version="3")


def refusal(encoder: Encoder, seen: Seen, files: Sequence[Path]) -> DataError:
    """Why an evaluation on such rows is refused."""
    named = ", ".join(encoder.rows.name(int(index)) for index in np.flatnonzero(seen.same)[:_NAMED_MAX])
    more = int(seen.same.sum()) - _NAMED_MAX
    message = (
        f"{int(seen.same.sum())} of {len(seen.same)} rows were seen in training or calibration "
        f"({named}{f' and {more} more' if more > 0 else ''}; in {', '.join(path.name for path in files)})."
    )
    hint = "Leave them out, or allow them (in a shell --allow-seen): the evidence then says how many there were."
    return DataError("evaluation_seen", message, hint)


def _with_what_went_before(digests: Digests, sequences: NDArray[np.int64]) -> Digests:
    """For each row the digest of its sequence up to it: a carried state makes the same row another one."""
    found = np.empty_like(digests)
    raw = digests.view(np.uint8).reshape(-1, _DIGEST_BYTES)
    starts = np.diff(sequences, prepend=sequences[:1] - 1) != 0
    chained = b""
    for index in range(len(digests)):
        chained = hashlib.sha256((b"" if starts[index] else chained) + raw[index].tobytes()).digest()[:_DIGEST_BYTES]
        found[index] = np.void(chained)
    return found


def comparable(digests: Digests) -> NDArray[np.bytes_]:
    """The digests as what can be sorted and compared."""
    # bytes strings are ordered, void is not; a fixed last byte keeps trailing zeros from being cut off
    padded = np.full((len(digests), _DIGEST_BYTES + 1), 1, dtype=np.uint8)
    padded[:, :_DIGEST_BYTES] = digests.view(np.uint8).reshape(-1, _DIGEST_BYTES)
    return padded.view(f"S{_DIGEST_BYTES + 1}").reshape(-1)
