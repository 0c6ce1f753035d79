"""The same bundle has the same bytes in two processes of an installation of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import ledger_bundles


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_build_the_same_bytes_and_both_verify(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    ids = ledger_bundles.call(home, "fill", "120", "40")
    for key in ids.values():
        first, second = (ledger_bundles.call(home, "build", key, "1") for _ in range(2))
        assert first["digest"] == second["digest"]
        assert first["items"] > 40
        assert ledger_bundles.verify(home, second["path"]) == 0
