"""The small share of the mutant battery; `python -m tests.battery ledger` runs it whole."""

from __future__ import annotations

import random

import pytest

from audit import offline_verify
from tests.audit.both import opinions_on
from tests.battery import mutants


def test_no_mutant_gets_four_yes_and_no_clean_bundle_a_no() -> None:
    rows = mutants.run(small=True)
    assert len(rows) > 15  # every class has a row
    assert [row for row in rows if not row.holds] == []


def test_the_battery_sees_a_verifier_that_looks_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_verify.Verdict, "no", lambda *_: None)
    case = next(mutants.cases(small=True))
    found = list(mutants.bundle_mutants.flipped(case))
    for mutant in random.Random(1).sample(found, 3):
        assert opinions_on(mutant.make(), **mutant.outside)[0].exit_code != mutant.expected
