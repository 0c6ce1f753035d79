"""A beginning that all tests of a module share: told once, in a transaction around them, and taken back after the last of them.

Rules:
- a module asks for it by a fixture of the scope `module` that returns `once(build)`; its tests get copies of what `build` returned,
  so that none sees what another one did to a row in memory;
- each test writes into a transaction of its own inside that of the module, and into copies of its folders;
- tests of the module without the beginning, those with real commits among them, run before it (`tests/conftest.py` sorts them so).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from django.conf import settings
from django.db import transaction

from tests.world import Cast, World
from tests.worlds.audit import restore_keys_note

T = TypeVar("T")
FOLDERS = {
    "PRESSMARK_STORE": "store",
    "PRESSMARK_CHECKPOINTS": "checkpoints",
    "PRESSMARK_RUNS": "runs",
    "PRESSMARK_KEYS": "keys",
}


class Beginning:
    """What stands before each test of a module."""

    def __init__(self, folder: Path, unblock: Callable[[], AbstractContextManager[None]]) -> None:
        self.folder = folder
        self._unblock = unblock
        self._cast: Cast | None = None

    @property
    def cast(self) -> Cast:
        """The people, as one test may change them in memory."""
        assert self._cast is not None
        people = {name: copy(person) for name, person in self._cast.people.items()}
        return replace(self._cast, people=people, team=copy(self._cast.team))

    @contextmanager
    def open(self) -> Iterator[None]:
        """The transaction around the tests of the module."""
        with self._unblock():
            around = transaction.atomic()
            around._from_testcase = True  # type: ignore[attr-defined]  # as of a TestCase: units inside may be durable
            around.__enter__()
        try:
            shutil.copytree(settings.PRESSMARK_KEYS, self.folder / "keys")  # no test has its own yet
            with self._telling():
                restore_keys_note()
                self._cast = Cast.assemble()
            yield
        finally:
            with self._unblock():
                transaction.set_rollback(True)
                around.__exit__(None, None, None)

    def tell(self, build: Callable[[World], T]) -> T:
        """What `build` makes in a world, with its files."""
        with self._telling():
            return build(World(self.cast))

    def hand_over(self, folder: Path) -> None:
        """Copies of the folders for one test."""
        for name in FOLDERS.values():
            if (self.folder / name).is_dir():
                shutil.copytree(self.folder / name, folder / name)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        with self._unblock(), pytest.MonkeyPatch.context() as patch:
            for setting, name in FOLDERS.items():
                patch.setattr(settings, setting, self.folder / name)
            yield
