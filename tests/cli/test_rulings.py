"""The verbs about licences, over a real server: register a text, rule on it, approve, end, correct a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.catalog.queries import effective_terms, stated
from registry.provenance.models import LicenceRuling
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]
ANSWER = "commercial_use=allowed:Section 2 grants use for any purpose."


def test_a_text_is_registered_ruled_on_approved_and_ended(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    text, opinion = tmp_path / "eula.txt", tmp_path / "opinion.txt"
    text.write_text("You may use it.")
    opinion.write_text("Counsel agrees.")
    assert pressmark("ada", "register-licence", "search", "LicenseRef-eula", "--text", str(text)) == 0
    assert "commercial_use    unknown" in capsys.readouterr().out
    version = served.version(served.model("net"), licence="LicenseRef-eula")
    ruling = ["author-ruling", "LicenseRef-eula", ANSWER, "--document", str(opinion), "--reason", "Read with counsel."]
    assert pressmark("ada", *ruling) == 1
    assert "Compliance Officer" in capsys.readouterr().err
    # ada's refused try attached the document; its bytes may be attached once, and the one that is there is taken
    assert pressmark("carla", *ruling) == 0
    assert str(LicenceRuling.objects.get().document_id) == served_document("LicenseRef-eula")
    key = str(LicenceRuling.objects.get().pk)
    assert key in capsys.readouterr().out
    assert pressmark("root", "approve-ruling", key, "--look") == 0
    assert "1 version of 1 team, 0 of them live" in capsys.readouterr().out
    for who in ("carla", "omar"):
        assert pressmark(who, "approve-ruling", key) == 1
        said = capsys.readouterr()
        assert "for the whole instance" in said.err
        assert "Ask somebody who may" in said.err
        assert "It changes the terms" not in said.out, "whoever may not approve it is told so before the effect"
    assert effective_terms(version).answers["commercial_use"] == "unknown"
    assert pressmark("root", "approve-ruling", key) == 0
    assert effective_terms(version).answers["commercial_use"] == "allowed"
    assert pressmark("root", "end-ruling", key, "--reason", "The text was withdrawn.") == 0
    assert effective_terms(version).answers["commercial_use"] == "unknown"


def served_document(expression: str) -> str:
    from registry.provenance.models import Document, Licence

    licence = Licence.objects.get(expression=expression)
    return str(Document.objects.get(about=licence.pk, kind="legal-opinion").pk)


def test_answers_that_are_none_are_refused_before_anything_is_sent(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    assert pressmark("carla", "author-ruling", "MIT", "free", "--document", "x", "--reason", "y") == 1
    assert "TERM=ANSWER:SENTENCE" in capsys.readouterr().err


def test_correct_version_says_anew_what_was_registered(pressmark: Pressmark, served: World, capsys: Said) -> None:
    version = served.version(served.model("net"))
    words = ["correct-version", "search/net@1", "--licence", "cc-by-nc-4.0", "--reason", "The card says so."]
    assert pressmark("otto", *words) == 1
    assert pressmark("ada", *words) == 0
    assert "Correction 1 of search/net@1" in capsys.readouterr().out
    assert stated([version.pk])[version.pk].correction == 1
