"""`pressmark --help` leads each reader to the verbs of his own day, and a slip of the fingers to the verb that was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import registry.cli
from registry.cli.main import main
from registry.cli.verbs import GROUPS, VERBS


def help_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [60, 200])
def test_the_help_names_every_verb_once_under_the_group_of_its_readers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    page = help_page(capsys, monkeypatch, columns)
    found: dict[str, list[str]] = {}
    title = ""
    lines = page[page.index(next(iter(GROUPS))) :].splitlines()
    for line in lines:
        if line and not line.startswith((" ", "`")):
            title = line
        elif named := re.match(r"  ([a-z-]+) {2}", line):
            found.setdefault(title, []).append(named[1])
    assert found == {title: [verb.name for verb in verbs] for title, verbs in GROUPS.items()}
    assert max(len(line) for line in lines if line not in GROUPS) <= columns


def test_a_verb_stands_in_one_group_and_every_module_of_a_verb_is_one() -> None:
    names = [verb.name for verb in VERBS]
    assert len(set(names)) == len(names)
    folder = Path(registry.cli.__file__).parent
    with_run = {path.stem for path in folder.glob("*.py") if "\ndef run(" in path.read_text()}
    assert {verb.module.rpartition(".")[2] for verb in VERBS} == with_run


def test_a_word_that_is_no_verb_is_told_the_nearest_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aprove-policy"]) == 2
    said = capsys.readouterr().err
    assert "there is no verb 'aprove-policy'; did you mean approve-policy" in said
    assert "choose from" not in said


def test_a_word_like_no_verb_is_sent_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zzz"]) == 2
    assert "`pressmark --help` lists them" in capsys.readouterr().err
