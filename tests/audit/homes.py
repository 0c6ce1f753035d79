"""Installations of their own, with a database file (or a PostgreSQL database) that can be backed up, restored and copied for real.

One is set up by `pressmark init` for a whole session; each test gets a copy of it that nobody has signed in yet.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from tests.services.installation import Installation
from tests.world import PASSWORD

_SECOND = """
import django
django.setup()
from registry.access import services as access
from registry.access.models import Actor
from registry.events import Caller
root = Caller(actor_id=Actor.objects.get(username="admin").pk, via="cli")
person = access.create_actor(actor=root, username="rhea", password="{password}")
access.grant_membership(actor=root, person=person, role="administrator", team=None)
"""
_numbers = itertools.count()


class Home(Installation):
    """An installation whose verbs are run as people run them."""

    def __enter__(self) -> Home:
        return self

    def pressmark(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb of the command line."""
        return self._run("-m", "registry.cli.main", *words)

    def acts(self, *words: str) -> list[Any]:
        """What `tests.audit.home_acts` answers to each word, as far as it came."""
        return [json.loads(line) for line in self._run("-m", "tests.audit.home_acts", *words).stdout.splitlines()]

    def talk(self, *words: str) -> subprocess.Popen[str]:
        """The same, as a process that stays and is talked to."""
        command = [sys.executable, "-m", "tests.audit.home_acts", *words]
        return subprocess.Popen(
            command, env=self.environment, cwd=self.home, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @staticmethod
    def tell(process: subprocess.Popen[str]) -> None:
        """Let it go on."""
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()

    @staticmethod
    def heard(process: subprocess.Popen[str]) -> Any:
        """Its next line."""
        assert process.stdout is not None
        return json.loads(process.stdout.readline())

    def administrator(self, second: bool = False) -> list[str]:
        """The options by which administrators log in."""
        file = str(self.home / "password")
        one = ["--administrator", "admin", "--password-file", file, "--reason", "A test."]
        return [*one, "--second", "rhea", "--second-password-file", file] if second else one

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, env=self.environment, cwd=self.home, capture_output=True, text=True, check=False)

    # --- the database ---

    def back_up(self) -> str:
        """A copy of the database as it is now; its name."""
        if self._database_url:
            return _clone(self._database_url)
        target = self.home / f"backup-{next(_numbers)}.sqlite3"
        source, copy = sqlite3.connect(self.home / "pressmark.sqlite3"), sqlite3.connect(target)
        with contextlib.closing(source), contextlib.closing(copy):
            source.backup(copy)
        return str(target)

    def restore(self, name: str) -> None:
        """Put a copy in the place of the database."""
        if self._database_url:
            self._use(_clone(name))
            return
        for suffix in ("", "-wal", "-shm"):
            (self.home / f"pressmark.sqlite3{suffix}").unlink(missing_ok=True)
        shutil.copyfile(name, self.home / "pressmark.sqlite3")

    def copy_to(self, folder: Path) -> Home:
        """The whole home and its database, elsewhere."""
        shutil.copytree(self.home, folder)
        return Home(folder, database_url=_clone(self._database_url) if self._database_url else "")

    def _use(self, database_url: str) -> None:
        self._database_url = self.environment["PRESSMARK_DATABASE_URL"] = database_url


def born(folder: Path) -> Home:
    """A new one, with two administrators."""
    url = os.environ.get("PRESSMARK_TEST_DATABASE_URL", "")
    home = Home(folder, database_url=_new_database(url) if url else "")
    folder.mkdir()
    (folder / "password").write_text(PASSWORD)
    done = home.pressmark("init", "--administrator", "admin", "--password-file", str(folder / "password"))
    assert done.returncode == 0, done.stderr
    home.call("-c", _SECOND.format(password=PASSWORD))
    return home


@contextlib.contextmanager
def copy_of(template: Home, folder: Path) -> Iterator[Home]:
    """A copy that nobody has signed in yet, so that it takes its own place as its seat."""
    home = template.copy_to(folder)
    (folder / "checkpoints" / "seat.json").unlink()
    try:
        yield home
    finally:
        home.__exit__()


def _new_database(url: str, template: str = "template1") -> str:
    name = f"home_{os.getpid()}_{next(_numbers)}"
    with contextlib.closing(psycopg2.connect(_named(url, "postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return _named(url, name)


def _clone(url: str) -> str:
    return _new_database(url, urlsplit(url).path.lstrip("/"))


def _named(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
