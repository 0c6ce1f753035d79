"""Whether rows to evaluate on were seen before, in training or calibration: by the bytes that the model gets of them.

Rules:
- two rows are the same when the encoded rows are, bit for bit, padding left out; labels do not count;
- a row stands by the first 16 bytes of its SHA-256; sorted, 100 million of them take 1.6 GB;
- rows that repeat another one within the evaluation are counted, since they make n look larger than what was tried; where a state
  is carried, a row is the same only where all rows before it in its sequence are;
- a single row that was seen makes the evaluation refused (evaluation_seen), unless it is allowed and then said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression_engine.data import Encoder
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


def row_digests(encoder: Encoder, progress: Progress) -> Digests:
    """The digest of every row, in the rows' order; 16 bytes each."""
    total = len(encoder.rows)
    found = np.empty(total, dtype=f"V{_DIGEST_BYTES}")
    for start in range(0, total, _ROWS_AT_ONCE):
        progress(STAGE, start, total, "rows told apart")
        end = min(start + _ROWS_AT_ONCE, total)
        parts = (hashlib.sha256(row).digest()[:_DIGEST_BYTES] for row in encoder.row_bytes(range(start, end)))
        found[start:end] = np.frombuffer(b"".join(parts), dtype=found.dtype)
    return found


def seen_rows(encoder: Encoder, others: Sequence[Encoder], progress: Progress) -> NDArray[np.bool_]:
    """Which rows stand in one of the other files."""
    ours = row_digests(encoder, progress)
    seen = np.zeros(len(ours), dtype=bool)
    for other in others:
        theirs = np.sort(_comparable(row_digests(other, progress)))
        places = np.minimum(np.searchsorted(theirs, _comparable(ours)), len(theirs) - 1)
        seen |= theirs[places] == _comparable(ours)
    progress(STAGE, len(ours), len(ours), f"{int(seen.sum())} rows were seen before")
    return seen


def distinct_rows(encoder: Encoder, sequences: NDArray[np.int64] | None, progress: Progress) -> int:
    """How many different rows the model gets; `sequences` numbers the row's sequence where a state is carried, [rows]."""
    digests = row_digests(encoder, progress)
    if sequences is not None:
        digests = _with_what_went_before(digests, sequences)
    count = len(np.unique(_comparable(digests)))
    progress(STAGE, len(digests), len(digests), f"{count} rows differ")
    return count


def measured(seen: NDArray[np.bool_], files: int) -> Found:
    """The share of rows that were seen: `rows_seen_share`. Exact, so without an interval."""
    count, n = int(seen.sum()), len(seen)
    words = (
        f"{count} of {n} rows stand in the data of training or calibration ({files} file{'s' if files > 1 else ''})."
    )
    figure = Measurement("rows_seen_share", count / n, "share", n, words, reason="a count of all rows has no interval")
    return Found(KIND, METHOD, [figure])


def refusal(encoder: Encoder, seen: NDArray[np.bool_], files: Sequence[Path]) -> DataError:
    """Why an evaluation on such rows is refused."""
    named = ", ".join(encoder.rows.name(int(index)) for index in np.flatnonzero(seen)[:_NAMED_MAX])
    more = int(seen.sum()) - _NAMED_MAX
    message = (
        f"{int(seen.sum())} of {len(seen)} rows were seen in training or calibration "
        f"({named}{f' and {more} more' if more > 0 else ''}; in {', '.join(path.name for path in files)})."
    )
    hint = "Leave them out, or allow them: the evidence then says how many there were."
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


def _comparable(digests: Digests) -> NDArray[np.bytes_]:
    # bytes strings are ordered, void is not; a fixed last byte keeps trailing zeros from being cut off
    padded = np.full((len(digests), _DIGEST_BYTES + 1), 1, dtype=np.uint8)
    padded[:, :_DIGEST_BYTES] = digests.view(np.uint8).reshape(-1, _DIGEST_BYTES)
    return padded.view(f"S{_DIGEST_BYTES + 1}").reshape(-1)
