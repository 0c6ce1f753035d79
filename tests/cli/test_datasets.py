"""The verbs about data, over a real server: register a file or a folder, correct what was said, fetch one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.digests import sha256
from registry.provenance.models import DatasetVersion
from registry.provenance.stated import stated_in
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]


def test_a_folder_is_registered_and_corrected_and_a_wrong_call_says_what_to_do(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "one.csv").write_text("x,y\n1,2\n")
    (folder / "two.csv").write_text("x,y\n3,4\n5,6\n")
    said = ["--licence", "MIT", "--origin", "Written for a test.", "--use", "training"]
    assert pressmark("ada", "register-dataset-version", "search/rows", str(folder), *said) == 1
    capsys.readouterr()
    assert pressmark("ada", "register-dataset-version", "search/rows", str(folder), "--new", *said) == 0
    version = DatasetVersion.objects.get()
    assert f"search/rows@1  3 rows  {version.digest}" in capsys.readouterr().out
    assert {f.path: f.digest for f in version.files.all()} == {
        "a/one.csv": sha256(b"x,y\n1,2\n"), "two.csv": sha256(b"x,y\n3,4\n5,6\n"),
    }  # fmt: skip
    wrong = ["correct-dataset-version", "search/rows@1", "--reason", "Read again."]
    assert pressmark("carla", *wrong, "--use", "training", "--use", "evaluation") == 1
    assert "--widen-uses" in capsys.readouterr().err
    assert pressmark("carla", *wrong, "--personal-data", "yes", "--licence", "CC0-1.0") == 0
    assert "Correction 1 of search/rows@1 counts" in capsys.readouterr().out
    known = stated_in(DatasetVersion.objects.get())
    assert (known.answers["personal_data"], known.licence.expression, known.uses) == ("yes", "CC0-1.0", ["training"])
