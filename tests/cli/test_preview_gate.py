"""`pressmark preview-gate`: what a version lacks, from a shell."""

from __future__ import annotations

import json

import pytest

from registry.release.models import Verdict
from tests.cli.conftest import Pressmark
from tests.world import World


def test_what_blocks_is_told_with_who_can_mend_it_and_no_verdict_is_kept(
    pressmark: Pressmark, served: World, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = served.parent_version()
    served.promoted(parent)
    child = served.child_version(parent, evidence=False)
    verdicts = Verdict.objects.count()
    assert pressmark("ada", "preview-gate", str(child)) == 3
    told = capsys.readouterr().out
    assert "for 'production': blocked" in told
    assert "blocked  smaller: 'size_ratio' was not measured" in told
    assert (
        "sign a waiver: an exception with a reason and an end (approver or compliance officer of the team; not" in told
    )
    assert "3. to do: the approval is granted (1 approver of the team" in told
    assert pressmark("ada", "preview-gate", str(parent), "--json") == 0
    assert json.loads(capsys.readouterr().out)["serves"] is True
    assert pressmark("ada", "preview-gate", str(child), "--alias", "7") == 1
    assert "no name for an alias" in capsys.readouterr().err
    assert Verdict.objects.count() == verdicts
