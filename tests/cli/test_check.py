"""`pressmark check` names, for what is wrong outside of this machine, what a person does about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import anchors, keys, notes
from audit.anchoring.base import AnchorError
from audit.witnessing import cosigning, witnesses
from audit.witnessing.cosignatures import CosignerKey
from registry.cli import check
from registry.cli.main import main
from tests.world import World

Remedy = Callable[[str], str]
WITNESS = CosignerKey("witness.example", b"\x05" * 32)


@pytest.fixture
def remedy(world: World, capsys: pytest.CaptureFixture[str]) -> Remedy:
    """What is to be done about the line that begins so."""
    world.checkpoint()

    def said(of: str) -> str:
        capsys.readouterr()
        assert main(["check", "--quiet"]) == 1
        after = capsys.readouterr().err.partition(of)[2]
        return after.partition("what to do: ")[2].partition("\n")[0]

    return said


def anchored(settings: Any, folder: Path, line: str) -> None:
    """The keeper's turn with one anchor, which fails."""
    settings.PRESSMARK_ANCHORS = folder / "anchors.txt"
    settings.PRESSMARK_ANCHORS.write_text(line + "\n")
    with pytest.raises(AnchorError):
        anchors.anchor_newest()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("gone folder {0}/not-mounted", "see that the folder is mounted"),
        ("gone git {0}/no-repository", "run `git push` by hand"),
        ("gone rfc3161 no-address", "see that the address of the authority answers"),
    ],
)
def test_an_anchor_that_fails_is_told_with_what_to_do_for_its_kind(
    remedy: Remedy, settings: Any, tmp_path: Path, line: str, what: str
) -> None:
    anchored(settings, tmp_path, line.format(tmp_path))
    told = remedy("anchor: gone")
    assert told.startswith(what)
    assert f"The line is in {tmp_path}/anchors.txt" in told


def test_an_anchor_that_holds_another_history_is_no_matter_of_a_mount(
    remedy: Remedy, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    other = notes.sign_checkpoint(keys.log_signer(), 1, b"\x07" * 32)
    (tmp_path / "archive" / f"{keys.log_signer().name.replace('/', '-')}-000000000001.note").write_bytes(other)
    anchored(settings, tmp_path, f"archive folder {tmp_path / 'archive'}")
    told = remedy("anchor: archive")
    assert "stop the keeper until you know" in told
    assert "pressmark verify-ledger --checkpoint" in told


@pytest.mark.parametrize(
    ("trouble", "what"),
    [
        (cosigning._sentence_of(404), "Give its operator the log key line"),
        (cosigning._sentence_of(403), "after a rotation beside the old one"),
        (cosigning._sentence_of(503), "Its operator looks at its log"),
        (cosigning._sentence_of(500), "See whether it runs"),
        ("does not cosign: it does not answer", "See whether it runs"),
    ],
)
def test_a_witness_that_does_not_cosign_is_told_with_what_to_do_and_its_address(
    remedy: Remedy, settings: Any, tmp_path: Path, trouble: str, what: str
) -> None:
    settings.PRESSMARK_WITNESSES = tmp_path / "witnesses"
    settings.PRESSMARK_WITNESSES.write_text(f"{WITNESS.key_line} http://127.0.0.1:9/w\n")
    witnesses.record_trouble(WITNESS.name, trouble)
    told = remedy("witness: witness.example")
    assert what in told
    assert "http://127.0.0.1:9/w" in told


def test_every_trouble_that_names_a_fault_has_a_remedy_of_its_own() -> None:
    source = Path(cosigning.__file__).read_text(encoding="utf-8")
    for part in check._REMEDIES_OF_WITNESSES:
        assert part in source, f"no witness is ever said to {part}"
