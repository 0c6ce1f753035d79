"""`pressmark diff-versions`: two versions side by side in a shell."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Pressmark
from tests.world import World


def test_the_verb_tells_what_differs_and_names_what_is_the_same(
    pressmark: Pressmark,
    served: World,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parent = served.parent_version()
    child = served.child_version(parent)
    assert pressmark("carla", "diff-versions", str(parent), str(child)) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{parent}  {parent.digest}\n{child}  {child.digest}\n")
    assert f"- {parent.digest[:19]}" in said
    assert "The same:" in said
    assert "  = " not in said
    assert pressmark("carla", "diff-versions", str(parent), str(child), "--json", "--all") == 0
    assert json.loads(capsys.readouterr().out)["right"]["version"] == str(child)
    assert pressmark("carla", "diff-versions", str(parent), "nothing") == 1
