"""Verbs keep the receipts that they get; `pressmark receipt` lists them, makes them stand alone, and checks them offline."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from audit import checkpoints, keys, notes
from audit.models import Checkpoint, Entry
from audit.services import origin_of
from audit.signing import Signer, issuer_name
from registry.cli import receipt as verb
from registry.cli import receipts
from registry.cli.main import main
from registry.client import Client
from registry.errors import Conflict, Invalid
from tests.cli.conftest import Pressmark
from tests.conftest import INSTANCE
from tests.world import World
from tests.worlds.audit import rewrite_entry


def kept(configuration: Path) -> list[Path]:
    return sorted((configuration / "receipts").glob("*.note"))


def known_outside(folder: Path) -> list[str]:
    """Key and checkpoint as the holder got them by another way."""
    key, checkpoint = folder / "log.key", folder / "checkpoint"
    key.write_text(keys.log_signer().key_line + "\n")
    checkpoint.write_text(Checkpoint.objects.order_by("-size")[0].note)
    return ["--key", str(key), "--checkpoint", str(checkpoint)]


def signed_at_seven(root: bytes) -> bytes:
    """A receipt of one entry at position 7."""
    issuer = Signer.from_seed(issuer_name(origin_of(INSTANCE, 1)), b"\x02" * 32)
    return notes.sign_receipt(issuer, 7, 1, root, "2026-01-02T03:04:05.000000Z")


# --- keeping ---


def test_a_verb_keeps_the_receipt_of_its_act_for_this_user_alone(
    pressmark: Pressmark, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pressmark("ada", "register-model", "search/kept") == 0
    (path,) = kept(configuration)
    said = capsys.readouterr()
    assert said.out == "Registered search/kept.\n"
    assert said.err == f"receipt kept: {path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    receipt = notes.open_receipt(path.read_bytes(), keys.issuer_signer().public)
    assert path.name == f"{INSTANCE}-1-{receipt.first}.note"
    assert b'"model.registered"' in bytes(Entry.objects.get(position=receipt.first).entry)
    assert [p.name for p in path.parent.iterdir() if p != path] == [path.with_suffix(".act").name]


def test_a_receipt_that_differs_from_one_at_its_place_never_replaces_it(configuration: Path) -> None:
    def header(root: bytes) -> str:
        return base64.b64encode(signed_at_seven(root)).decode()

    for root in (b"\x01" * 32, b"\x01" * 32, b"\x02" * 32):
        receipts.keep(header(root))
    first, second = kept(configuration)
    assert (first.name, second.name) == (f"{INSTANCE}-1-7-2.note", f"{INSTANCE}-1-7.note")
    assert first.read_bytes() != second.read_bytes()


def test_a_receipt_that_cannot_be_kept_is_printed_and_the_act_is_not_called_failed(
    pressmark: Pressmark, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration.mkdir(parents=True)
    (configuration / "receipts").write_text("a file where the folder should be")
    assert pressmark("ada", "register-model", "search/kept") == 0
    said = capsys.readouterr()
    assert "Registered" in said.out
    assert "could not be kept" in said.err
    printed = said.err.strip().splitlines()[-1]
    assert notes.open_receipt(base64.b64decode(printed), keys.issuer_signer().public).count == 1


@pytest.mark.parametrize(
    "origin", ["pressmark/../../../etc/1", "pressmark/01890a5d-ac96-774b-bcce-b302099a8057/1/../x", "x"]
)
def test_a_server_cannot_choose_where_a_receipt_is_written(
    configuration: Path, capsys: pytest.CaptureFixture[str], origin: str
) -> None:
    note = f"pressmark/receipt/1\n{origin}\n7\n1\n{'A' * 43}=\n2026-01-02T03:04:05.000000Z\n\n— x AAAA\n".encode()
    receipts.keep(base64.b64encode(note).decode())
    assert "could not be kept" in capsys.readouterr().err
    assert not configuration.exists()


def test_the_client_keeps_receipts_for_whoever_uses_it_as_a_library(served: World, live_server: object) -> None:
    client = Client(live_server.url)  # type: ignore[attr-defined]
    client.log_in("ada", "correct horse battery staple")
    client.post("teams/search/models", {"slug": "by-library", "title": "", "owner": None, "use_case": None})
    unit = last_receipt_first(client.receipts)
    assert len(client.receipts) == 1
    assert b'"model.registered"' in bytes(Entry.objects.get(position=unit).entry)


def last_receipt_first(headers: list[str]) -> int:
    return notes.parse_receipt_body(notes.parse_note(base64.b64decode(headers[-1])).text).first


# --- listing, completing, verifying ---


def test_a_receipt_is_completed_and_believed_after_everything_of_ours_is_gone(
    pressmark: Pressmark, configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pressmark("ada", "register-model", "search/kept") == 0
    checkpoints.sign_next()
    (note,) = kept(configuration)
    assert main(["receipt", "list"]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line.endswith("not completed  register-model search/kept")
    assert main(["receipt", "complete", str(note)]) == 0
    folder = note.with_suffix("")
    assert f"{folder}\n" in capsys.readouterr().out
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        f"entries/{Entry.objects.count() - 1}.json", "keys/keys-0.note",
        f"proofs/{Entry.objects.count() - 1}.tlog-proof", "receipt.note",
    ]  # fmt: skip
    assert all(p.stat().st_mode & 0o077 == 0 for p in folder.rglob("*") if p.is_file())
    assert main(["receipt", "list"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("  completed      register-model search/kept (model.registered)")
    known = known_outside(tmp_path)
    assert main(["receipt", "verify", note.stem, *known]) == 0
    assert main(["receipt", "verify", str(folder)]) == 3
    entry = next((folder / "entries").iterdir())
    entry.write_bytes(entry.read_bytes().replace(b'"via":"api"', b'"via":"cli"'))
    assert main(["receipt", "verify", str(folder), *known]) == 1


def test_all_completes_what_is_not_yet_and_one_refusal_stops_none_of_the_others(
    pressmark: Pressmark, configuration: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "PENDING_SECONDS", 0.0)
    for name in ("one", "two"):
        assert pressmark("ada", "register-model", f"search/{name}") == 0
    checkpoints.sign_next()
    assert pressmark("ada", "register-model", "search/three") == 0
    one, two, three = (receipts.read(path.read_bytes()) for path in sorted(kept(configuration), key=_first))
    rewrite_entry(one.first, b'"one"', b'"eno"', leaf=True)
    capsys.readouterr()
    assert main(["receipt", "complete", "--all"]) == 1
    said = capsys.readouterr()
    assert f"{one.name}: The ledger holds other entries" in said.err
    assert f"{three.name}: The keeper has not signed a checkpoint" in said.err
    assert two.name in said.out
    assert "1 completed, 2 not." in said.out
    rewrite_entry(one.first, b'"eno"', b'"one"', leaf=True)
    checkpoints.sign_next()
    assert main(["receipt", "complete", "--all"]) == 0
    assert main(["receipt", "complete", "--all"]) == 0
    assert "Every kept receipt is completed." in capsys.readouterr().out


def _first(path: Path) -> int:
    return receipts.read(path.read_bytes()).first


def test_a_header_is_completed_to_where_it_is_asked_for(
    pressmark: Pressmark, configuration: Path, tmp_path: Path
) -> None:
    assert pressmark("ada", "register-model", "search/kept") == 0
    checkpoints.sign_next()
    header = receipts.read(kept(configuration)[0].read_bytes()).header
    place = tmp_path / "evidence" / "2026"
    assert main(["receipt", "complete", header, "--output", str(place)]) == 0
    (folder,) = place.iterdir()
    assert folder.name == kept(configuration)[0].stem
    assert main(["receipt", "verify", str(folder), *known_outside(tmp_path)]) == 0


def test_an_answer_of_the_server_that_does_not_prove_the_receipt_is_not_written(
    pressmark: Pressmark, configuration: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pressmark("ada", "register-model", "search/kept") == 0
    checkpoints.sign_next()
    honest = Client.get

    def lies(client: Client, path: str, query: object = ()) -> object:
        answer = honest(client, path, query)  # type: ignore[arg-type]
        entry = base64.b64decode(answer["entries"][0]["entry"]).replace(b'"via":"api"', b'"via":"cli"')
        answer["entries"][0]["entry"] = base64.b64encode(entry).decode()
        return answer

    monkeypatch.setattr(Client, "get", lies)
    (note,) = kept(configuration)
    capsys.readouterr()
    assert main(["receipt", "complete", str(note)]) == 1
    said = capsys.readouterr().err
    assert "does not prove this receipt" in said
    assert "another root" in said
    assert sorted(p.name for p in note.parent.iterdir()) == [note.with_suffix(".act").name, note.name]


@pytest.mark.parametrize("answer", [{}, {"keys": 3}, {"keys": [{"first": "x", "note": ""}], "entries": []}])
def test_an_answer_that_cannot_be_read_is_said(answer: dict[str, object], tmp_path: Path) -> None:
    note = signed_at_seven(b"\x01" * 32)
    with pytest.raises(Conflict, match="cannot be read"):
        receipts.write_completed(answer, receipts.read(note), tmp_path / "folder")
    assert list(tmp_path.glob("*folder*")) == []


def test_the_list_knows_the_act_of_an_older_receipt_by_its_entries_and_says_nothing_where_it_does_not(
    pressmark: Pressmark, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pressmark("ada", "register-model", "search/kept", "--title", "Typed by a person") == 0
    (note,) = kept(configuration)
    said = note.with_suffix(".act")
    assert said.read_text() == "register-model search/kept"
    assert said.stat().st_mode & 0o777 == 0o600
    said.unlink()
    assert main(["receipt", "list"]) == 0
    assert capsys.readouterr().out.endswith("not completed\n")
    checkpoints.sign_next()
    assert main(["receipt", "complete", "--all"]) == 0
    capsys.readouterr()
    assert main(["receipt", "list"]) == 0
    assert capsys.readouterr().out.endswith("completed      model.registered\n")


@pytest.mark.parametrize("words", [["complete"], ["complete", "--all", "x"]])
def test_which_receipt_must_be_said(words: list[str], configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipt", *words]) == 1
    assert "Say which receipt." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["no such file", "cHJlc3NtYXJr", "*", "pressmark/receipt/1\nx\n"])
def test_what_is_no_receipt_is_refused_in_words(text: str) -> None:
    with pytest.raises(Invalid, match="no receipt"):
        receipts.read(text.encode())


def test_an_empty_list_says_where_it_looked(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipt", "list"]) == 0
    assert str(configuration / "receipts") in capsys.readouterr().err
    (configuration / "receipts").mkdir(parents=True)
    (configuration / "receipts" / "x.note").write_text("nonsense")
    assert main(["receipt", "list"]) == 0
    assert "x.note cannot be read" in capsys.readouterr().err


def test_verify_without_a_folder_is_a_wrong_call(configuration: Path) -> None:
    assert main(["receipt", "verify"]) == 2
    assert main(["receipt", "verify", "none-such"]) == 2


def test_what_was_completed_can_be_moved_anywhere(pressmark: Pressmark, configuration: Path, tmp_path: Path) -> None:
    assert pressmark("ada", "register-model", "search/kept") == 0
    checkpoints.sign_next()
    (note,) = kept(configuration)
    assert main(["receipt", "complete", note.stem]) == 0
    moved = shutil.move(note.with_suffix(""), tmp_path / "moved")
    assert main(["receipt", "verify", str(moved), *known_outside(tmp_path)]) == 0
