"""The ground that tests stand on: a ledger born with the keys of FORMATS section 8, and the cast.

ada the engineer, omar the approver, carla the compliance officer, otto the operator, root the administrator, and eve, who is in no
team and may see nothing.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connections
from django.test import TransactionTestCase

from audit import keys
from audit.services import create_ledger, origin_of
from audit.signing import Signer, issuer_name
from registry import guards
from registry.access import services as access
from registry.access.models import Team
from tests.services.fixtures import postgres_url, valkey_url
from tests.world import Cast, World
from tests.worlds.audit import restore_keys_note
from tests.worlds.once import FOLDERS, Beginning

__all__ = ["postgres_url", "valkey_url"]

T = TypeVar("T")
BEGUN = pytest.StashKey[Beginning]()

INSTANCE = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def make_test_keys() -> tuple[Signer, Signer]:
    """The keys of FORMATS section 8, as files where the product looks for them."""
    folder = Path(settings.PRESSMARK_KEYS)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    origin = origin_of(INSTANCE, 1)
    log, issuer = Signer.from_seed(origin, b"\x01" * 32), Signer.from_seed(issuer_name(origin), b"\x02" * 32)
    log.save(folder / keys.LOG_FILE)
    issuer.save(folder / keys.ISSUER_FILE)
    keys.forget()
    return log, issuer


def write_first_entry() -> None:
    log, issuer = make_test_keys()
    create_ledger(instance=INSTANCE, log=log, issuer=issuer)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, and only them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The everyday suite leaves out what takes minutes; `--long` runs just that.

    Files with a share of a battery go first: one that is begun last is waited for while other processes idle. Within a file, tests
    with a beginning in common go last.
    """
    wanted = bool(config.getoption("--long"))
    kept, left_out = [], []
    for item in items:
        (kept if (item.get_closest_marker("long") is not None) == wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
    shares = {item.path for item in items if item.get_closest_marker("slow")}
    place = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (item.path not in shares, place[item.path], "once" in item.fixturenames))  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Entry 0 stands in the test database before the first test."""
    with django_db_blocker.unblock():
        write_first_entry()


@pytest.fixture(scope="module")
def once(
    request: pytest.FixtureRequest,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Callable[[World], T]], T]]:
    """`once(build)` makes what all tests of the module begin with; see `tests.worlds.once`."""
    beginning = Beginning(tmp_path_factory.mktemp("once"), django_db_blocker.unblock)
    with beginning.open():
        request.node.stash[BEGUN] = beginning
        yield beginning.tell
        del request.node.stash[BEGUN]


def begun(request: pytest.FixtureRequest) -> Beginning | None:
    """The beginning of the test's module, if it has one by now."""
    module = request.node.getparent(pytest.Module)
    return None if module is None else module.stash.get(BEGUN, None)


@pytest.fixture(autouse=True)
def _own_folders(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> None:
    """Each test has keys, a store (with the keys note of entry 0), checkpoints, runs and a cache of its own."""
    cache.clear()
    if beginning := begun(request):
        beginning.hand_over(tmp_path)
        for setting, name in FOLDERS.items():
            setattr(settings, setting, tmp_path / name)
        return
    settings.PRESSMARK_STORE = tmp_path / "store"
    settings.PRESSMARK_CHECKPOINTS = tmp_path / "checkpoints"
    settings.PRESSMARK_RUNS = tmp_path / "runs"
    shared = Path(settings.PRESSMARK_KEYS)
    if (shared / keys.LOG_FILE).is_file():
        settings.PRESSMARK_KEYS = tmp_path / "keys"
        shutil.copytree(shared, settings.PRESSMARK_KEYS)
        restore_keys_note()


@pytest.fixture(scope="session", autouse=True)
def _files_may_be_lost_with_the_machine() -> Iterator[None]:
    """No test outlives a loss of power, so none waits for the disk, as their SQLite does not; what they start still does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _emptied_tables_are_born_again() -> Iterator[None]:
    """Tests whose commits are real empty the tables afterwards: the only place where guards are dropped."""
    empty = TransactionTestCase._fixture_teardown

    def empty_and_begin_again(case: TransactionTestCase) -> None:
        for name in connections:
            connections[name].close()
        guards.drop()
        try:
            empty(case)
        finally:
            guards.install()
        write_first_entry()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_and_begin_again)
        yield


@pytest.fixture
def committed_db(transactional_db: None) -> None:
    """A database whose commits are real."""


@pytest.fixture
def cast(db: None, request: pytest.FixtureRequest) -> Cast:
    """The people, with their roles in the team `search`."""
    beginning = begun(request)
    return Cast.assemble() if beginning is None else beginning.cast


@pytest.fixture
def world(cast: Cast) -> World:
    """Builds any situation in one line, through services only."""
    return World(cast)


@pytest.fixture
def outsider_team(cast: Cast) -> Team:
    """Another team, in which nobody of the cast is."""
    return access.create_team(actor=cast.root, slug="elsewhere")
