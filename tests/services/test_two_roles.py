"""PostgreSQL with two roles: the owner migrates, the application's role does all the rest and cannot write the ledger by itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests.services.installation import Installation

pytestmark = pytest.mark.postgres

OWNER, APP = "two_roles_owner", "two_roles_app"
_BORN = """
import django, json
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0, interactive=False)
from audit import keys, services
from registry.ids import uuid7
instance = uuid7()
log, issuer = services.make_keys(services.origin_of(instance, 1), keys.folder())
services.create_ledger(instance=instance, log=log, issuer=issuer)
"""
_LIVED = """
import django, json
django.setup()
import tests.worlds.audit as hand
hand.restore_keys_note = lambda: None
from audit import checkpoints
from audit.verification import replay, verify_ledger
from registry import guards
from tests.world import Cast, World
guards.demand()
World(Cast.assemble()).story()
signed = checkpoints.sign_next()
report = verify_ledger.verify()
print(json.dumps({"signed": signed.size, "size": report.size, "flaws": [str(f) for f in report.flaws],
                  "differences": [str(d) for d in replay.compare()]}))
"""
FORBIDDEN = [
    "INSERT INTO audit_entry SELECT * FROM audit_entry WHERE position = 0",
    "UPDATE audit_entry SET at = ''",
    "DELETE FROM audit_entry",
    "TRUNCATE audit_entry",
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "ALTER TABLE registry_approval DISABLE TRIGGER ALL",
    "DROP TRIGGER pressmark_guard_audit_checkpoint_update ON audit_checkpoint",
    "SET session_replication_role = replica",
    "CREATE OR REPLACE FUNCTION pressmark_append(text[], text[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE audit_entry_2 (position bigint)",
    "UPDATE audit_checkpoint SET note = ''",
    "DELETE FROM audit_key",
]


@pytest.fixture
def addresses(postgres_url: str) -> Iterator[tuple[str, str]]:
    """The same new database, as its owner and as the application."""
    place = urlsplit(postgres_url)
    with contextlib.closing(psycopg2.connect(postgres_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for role in (OWNER, APP):
                cursor.execute(f"CREATE ROLE {role} LOGIN")
            cursor.execute(f"CREATE DATABASE two_roles OWNER {OWNER}")
            yield tuple(f"postgresql://{role}@{place.hostname}:{place.port}/two_roles" for role in (OWNER, APP))
            cursor.execute("DROP DATABASE two_roles WITH (FORCE)")
            for role in (OWNER, APP):
                cursor.execute(f"DROP ROLE {role}")


def refusal(address: str, statement: str) -> str:
    """What the database says to a statement; empty when it did it."""
    with contextlib.closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(statement)
        except psycopg2.Error as error:
            return str(error)
    return ""


@pytest.mark.long
def test_the_application_lives_a_whole_story_under_its_own_role_and_cannot_touch_the_ledger(
    addresses: tuple[str, str], tmp_path: Path
) -> None:
    owner, app = addresses
    with Installation(tmp_path / "home", database_url=owner) as installation:
        installation.environment["PRESSMARK_DATABASE_APP_ROLE"] = APP
        installation.call("-c", _BORN)
        installation.environment["PRESSMARK_DATABASE_URL"] = app
        said: dict[str, Any] = json.loads(installation.call("-c", _LIVED).splitlines()[-1])
    assert said["flaws"] == said["differences"] == []
    assert said["signed"] == said["size"] > 60
    for statement in FORBIDDEN:
        assert refusal(app, statement), f"the application's role may {statement}"
