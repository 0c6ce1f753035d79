"""The verbs about documents and purges, over a real server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry import storage
from registry.access.models import Role
from registry.client import Client
from registry.provenance.models import Document
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]


def test_a_file_is_attached_and_comes_back_byte_by_byte(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.dataset("papers")
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF-1.7\n...")
    words = ("attach-document", "dataset:search/papers", str(report), "--kind", "legal-opinion", "--title", "Opinion")
    assert pressmark("ada", *words) == 0
    row = Document.objects.get()
    assert f"{row.pk}  legal-opinion (application/pdf) about search/papers" in capsys.readouterr().out
    client = Client(os.environ["PRESSMARK_SERVER"], os.environ["PRESSMARK_TOKEN"])
    assert [found["title"] for found in client.documents("dataset:search/papers")] == ["Opinion"]
    client.download_document(str(row.pk), tmp_path / "back.pdf", row.digest)
    assert (tmp_path / "back.pdf").read_bytes() == report.read_bytes()
    assert pressmark("ada", *words) == 1
    assert "attached to search/papers" in capsys.readouterr().err
    assert pressmark("ada", *words[:2], str(tmp_path / "none.pdf"), "--kind", "other") == 1
    assert "There is no file" in capsys.readouterr().err
    assert pressmark("otto", "attach-document", "dataset:search/papers", str(report), "--kind", "other") == 1
    assert "role" in capsys.readouterr().err


def test_a_purge_needs_two_people_and_can_be_named_by_what_it_is_about(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    rows = served.dataset_version(slug="papers")
    about = "dataset_version:search/papers@1"
    served.person("clara", Role.COMPLIANCE_OFFICER)
    assert pressmark("clara", "confirm-purge", about) == 1
    assert "no purge of" in capsys.readouterr().err
    assert pressmark("carla", "request-purge", about, "--reason", "Consent withdrawn.") == 0
    assert "Nothing goes before somebody else" in capsys.readouterr().out
    assert pressmark("carla", "confirm-purge", about) == 1
    assert "somebody else has to confirm" in capsys.readouterr().err
    assert pressmark("carla", "confirm-purge", about, "--withdraw") == 0
    assert pressmark("carla", "request-purge", about, "--reason", "Consent withdrawn after all.") == 0
    assert pressmark("clara", "confirm-purge", about) == 0
    assert f"{rows.size_bytes} of them" in capsys.readouterr().out
    assert not storage.is_stored(str(rows.digest))
