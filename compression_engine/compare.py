"""Several recipes on one parent: a child by each, all judged on the same rows and timed in turns in one run, in one table.

Rules:
- each child is what `compress` makes of its recipe alone, to the byte, in a folder of its own with its RESULT.json;
- a recipe that fails stops none of the others; where none makes a child there is no table, and the error names every reason;
- what recipes have in common is done once: the parent's answers of the table, and the steps that they begin with;
- the folder appears whole or not at all; with a folder to go on in, what was finished before a kill is not done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from compression_engine.canonical import JSON, canonical
from compression_engine.carrying.door import carried_all
from compression_engine.comparing.children import Child, folder_of, make_children
from compression_engine.comparing.judging import Judged, judge_children
from compression_engine.comparing.requested import COMPARISON_NAME, Requested
from compression_engine.comparing.table import Table
from compression_engine.comparing.words import words_of
from compression_engine.data import read_rows
from compression_engine.errors import EngineError
from compression_engine.limits import limits, scratch
from compression_engine.placing import whole_folder
from compression_engine.progress import Progress, silent
from compression_engine.steps.work_files import alone_in, refuse_link
from compression_engine.steps.yardstick import Yardstick, open_parent

_PARENT = "parent"


@dataclass(frozen=True)
class Compared:
    """The content of comparison.json and what a person reads of it."""

    document: dict[str, JSON]
    plain: Sequence[str]


def compare_recipes(
    asked: Requested, *, output_folder: Path, resume: Path | None = None, progress: Progress = silent
) -> Compared:
    """Makes `output_folder` with a folder for each child and comparison.json.

    `resume`: a folder in which finished children and steps are kept, and gone on from after a kill. Raises EngineError
    (nothing_made where no recipe made a child; recipe_twice, option_unused, evaluation_seen, resume_differs ...).
    """
    asked.check()
    asked.training.check_device()
    progress("read", 0, 1, "reading the parent and the rows")
    rows = read_rows(asked.evaluation, asked.plan)
    with (
        alone_in(resume),
        carried_all({_PARENT: asked.parent}) as doors,
        whole_folder(output_folder) as folder,
        scratch("pressmark-compare-") as answers,
    ):
        path = doors.paths[_PARENT]
        assert path is not None
        opened = open_parent(path, rows, asked.plan)
        yardstick = Yardstick(
            opened, asked.plan, asked.budget, seed=asked.settings.seed, folder=answers, progress=progress
        )
        progress("read", 1, 1, f"{len(yardstick.encoder.rows):,} rows, {len(asked.recipes)} recipes")
        with _work_in(resume, folder) as work:
            children = make_children(asked, work, keeps=resume is not None, progress=progress)
            _refuse_nothing(children)
            placed = [_placed(child, folder, keeps=resume is not None) for child in children]
            for child in placed if resume is None else ():
                shutil.rmtree(folder_of(work, child.recipe))
        found = judge_children(yardstick, placed, asked.settings, progress)
        _refuse_nothing([one.child for one in found])
        original = doors.named({_PARENT: yardstick.file})[_PARENT]
        table = Table(asked, original, yardstick, [_dropped(one, folder) for one in found])
        progress("write", 0, 1, "writing the table")
        document = table.document()
        (folder / COMPARISON_NAME).write_bytes(canonical(document))
        plain = words_of(table)
    progress("write", 1, 1, "done")
    return Compared(document, plain)


@contextmanager
def _work_in(resume: Path | None, folder: Path) -> Iterator[Path]:
    """Where children are made: what is to be gone on from stays, else it goes with the call."""
    if resume is not None:
        refuse_link(resume)
        yield resume
        return
    work = folder / ".work"
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        limits().forget_folder(work)


def _placed(child: Child, folder: Path, *, keeps: bool) -> Child:
    """The child in the folder of the comparison; what is kept to go on from stays where it was as well."""
    if child.folder is None:
        return child
    target = folder / child.name
    if keeps:
        for path in child.folder.iterdir():
            limits().count(target / path.name, path.lstat().st_size)
        shutil.copytree(child.folder, target, symlinks=True)
    else:
        child.folder.rename(target)
    return replace(child, folder=target)


def _dropped(one: Judged, folder: Path) -> Judged:
    """A child that was made and then did not answer is none: its folder goes."""
    if one.child.error is None or one.child.folder is None:
        return one
    shutil.rmtree(folder / one.child.name)
    return replace(one, child=replace(one.child, folder=None, result=None))


def _refuse_nothing(children: Sequence[Child]) -> None:
    errors = [(child.name, child.error) for child in children if child.error is not None]
    if len(errors) < len(children):
        return
    if len(errors) == 1:
        raise errors[0][1]
    said = " ".join(f"{name}: {error.code}: {error.message}" for name, error in errors)
    hints = " ".join(dict.fromkeys(error.hint for _, error in errors))
    raise EngineError("nothing_made", f"None of the {len(errors)} recipes made a child. {said}", hints)
