"""A file of JSON that is nested without end is refused in a sentence by every verb that reads one, before a server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.cli import main

VERBS = {
    "register-version": ["search/m", "{model}", "--licence", "MIT", "--base", "search/m@1", "--result", "{deep}"],
    "dry-run-policy": ["{deep}"],
    "author-policy": ["high", "{deep}"],
    "author-tier-table": ["{deep}"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_document_that_is_nested_without_end_is_refused_in_words(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRESSMARK_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("PRESSMARK_TOKEN", "none")
    (deep := tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    (model := tmp_path / "model.onnx").write_bytes(b"x")
    words = [word.format(deep=deep, model=model) for word in VERBS[verb]]
    assert main.main([verb, *words]) == 1
    said = capsys.readouterr().err
    assert "deep.json" in said
    assert "what to do" in said


def test_a_result_without_end_is_not_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PRESSMARK_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("PRESSMARK_TOKEN", "none")
    (model := tmp_path / "model.onnx").write_bytes(b"x")
    words = ["search/m", str(model), "--licence", "MIT", "--base", "search/m@1", "--result", "/dev/zero"]
    assert main.main(["register-version", *words]) == 1
    assert "no plain file" in capsys.readouterr().err
