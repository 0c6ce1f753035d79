"""`pressmark upgrade` on tables that other code made: it says so, and changes nothing."""

from __future__ import annotations

import pytest
from django.db import connection

from registry import guards
from registry.cli.main import main


def test_a_home_whose_tables_no_migration_leads_to_this_code_is_left_alone(
    committed_db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute('ALTER TABLE "catalog_correction" RENAME TO "catalog_correction_of_other_code"')
    try:
        assert main(["upgrade"]) == 1
        told = capsys.readouterr().err
        assert "The tables of this home were made by other code: catalog_correction differs" in told
        assert "Nothing was changed" in told
    finally:
        with connection.cursor() as cursor:
            cursor.execute('ALTER TABLE "catalog_correction_of_other_code" RENAME TO "catalog_correction"')
        guards.install()  # SQLite writes the new name into the guards that speak of the table
    assert guards.missing() == []
