"""An anchor that writes each checkpoint as a new file into a folder, such as a mount that is written once."""

from __future__ import annotations

import os
from pathlib import Path

from audit.anchoring.base import AnchorError, Task


def put(task: Task) -> None:
    """`<origin>-<size>.note`, never over another file; the largest one there must be continued by this ledger."""
    folder = Path(task.target)
    if not folder.is_dir():
        raise AnchorError(f"{folder} is no folder: create or mount it")
    there = sorted(folder.glob(f"{task.file_stem}-*.note"))
    try:
        if there:
            task.demand_continued(there[-1].read_bytes(), str(there[-1]))
        target = folder / f"{task.file_stem}-{task.checkpoint.size:016d}.note"
        if target in there:
            return
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
            file.write(task.note)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AnchorError(f"{folder}: {error.strerror}") from None
