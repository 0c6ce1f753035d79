"""Anchors: the newest checkpoint goes to a folder, a git repository, a time-stamp authority; a place that disagrees is told."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from audit import anchors, checkpoints, keys, notes
from audit.anchoring.base import AnchorError, Task
from audit.models import Checkpoint
from registry.errors import Invalid
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def anchor(settings: Any, tmp_path: Path) -> Any:
    """Writes the file of anchors."""

    def write(*lines: str) -> None:
        settings.PRESSMARK_ANCHORS = tmp_path / "anchors.txt"
        settings.PRESSMARK_ANCHORS.write_text("# where checkpoints go\n\n" + "\n".join(lines) + "\n")

    return write


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def forged_at(size: int) -> bytes:
    """A checkpoint of this origin, rightly signed, over another history."""
    return notes.sign_checkpoint(keys.log_signer(), size, b"\x07" * 32)


def test_without_a_file_there_is_nothing_to_do(world: World, settings: Any, tmp_path: Path) -> None:
    settings.PRESSMARK_ANCHORS = tmp_path / "absent"
    world.checkpoint()
    assert anchors.anchor_newest() == 0
    assert anchors.states() == []


@pytest.mark.parametrize("line", ["only-a-name", "Name folder /x", "a unknown /x", "a folder /x y z"])
def test_a_line_that_is_no_anchor_is_named_with_its_number(anchor: Any, line: str) -> None:
    anchor(line)
    with pytest.raises(Invalid, match="line 3"):
        anchors.specs()


def test_a_name_given_twice_is_refused(anchor: Any) -> None:
    anchor("a folder /x", "a folder /y")
    with pytest.raises(Invalid, match="twice"):
        anchors.specs()


# --- folder ---


def test_a_folder_gets_each_newest_checkpoint_once_as_a_file_of_its_own(
    world: World, anchor: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    anchor(f"archive folder {folder}")
    first = world.checkpoint()
    assert (anchors.anchor_newest(), anchors.anchor_newest()) == (1, 0)
    world.teams(2)
    second = world.checkpoint()
    assert anchors.anchor_newest() == 1
    kept = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert kept == [first.note.encode(), second.note.encode()]
    assert [state.size for state in anchors.states()] == [second.size]


def test_a_folder_whose_checkpoint_this_ledger_does_not_continue_is_told_and_the_state_says_so(
    world: World, anchor: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    anchor(f"archive folder {folder}")
    signed = world.checkpoint()
    stem = keys.log_signer().name.replace("/", "-")
    (folder / f"{stem}-{signed.size + 5:016d}.note").write_bytes(forged_at(signed.size + 5))
    with pytest.raises(AnchorError, match="does not continue"):
        anchors.anchor_newest()
    assert "does not continue" in anchors.states()[0].error
    assert len(list(folder.iterdir())) == 1


def test_an_anchor_that_fails_stops_no_other_and_is_tried_again(world: World, anchor: Any, tmp_path: Path) -> None:
    late, good = tmp_path / "late", tmp_path / "good"
    good.mkdir()
    anchor(f"late folder {late}", f"good folder {good}")
    signed = world.checkpoint()
    with pytest.raises(AnchorError, match=r"late: .*create or mount"):
        anchors.anchor_newest()
    assert [(s.name, s.size, bool(s.error)) for s in anchors.states()] == [
        ("late", 0, True),
        ("good", signed.size, False),
    ]
    late.mkdir()
    assert anchors.anchor_newest() == 1
    assert [(s.size, s.error) for s in anchors.states()] == [(signed.size, "")] * 2


# --- git ---


def test_a_git_repository_gets_a_commit_per_checkpoint(world: World, anchor: Any, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    anchor(f"mirror git {remote}")
    notes_signed = []
    for _ in range(2):
        notes_signed.append(world.checkpoint().note)
        assert anchors.anchor_newest() == 1
        world.parent_version()
    commits = git(remote, "log", "--format=%H", "main").split()
    name = git(remote, "ls-tree", "--name-only", "main").strip()
    assert [git(remote, "show", f"{commit}:{name}") for commit in reversed(commits)] == notes_signed


def test_a_git_repository_that_another_copy_went_on_with_is_told_and_not_overwritten(
    world: World, anchor: Any, tmp_path: Path
) -> None:
    remote, other = tmp_path / "remote.git", tmp_path / "other"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    anchor(f"mirror git {remote}")
    signed = world.checkpoint()
    anchors.anchor_newest()
    git(tmp_path, "clone", "--quiet", "--branch", "main", str(remote), str(other))
    name = next(path.name for path in other.glob("*.note"))
    (other / name).write_bytes(forged_at(signed.size + 3))
    git(other, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "--quiet", "-am", "the copy went on")
    git(other, "push", "--quiet", "origin", "HEAD:main")
    before = git(remote, "rev-parse", "main")
    world.teams(1)
    world.checkpoint()
    with pytest.raises(AnchorError, match="does not continue"):
        anchors.anchor_newest()
    assert git(remote, "rev-parse", "main") == before


def test_a_git_repository_that_is_not_there_is_told_in_git_s_words(world: World, anchor: Any, tmp_path: Path) -> None:
    anchor(f"mirror git {tmp_path / 'nowhere.git'}")
    world.checkpoint()
    with pytest.raises(AnchorError, match="git ls-remote failed"):
        anchors.anchor_newest()


# --- time stamps ---


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A time-stamp authority made with openssl, behind HTTP: its address and its root certificate."""
    folder = tmp_path_factory.mktemp("authority")
    (folder / "ts.cnf").write_text(
        "[tsa]\ndefault_tsa = t\n[t]\nserial = serial\ncrypto_device = builtin\nsigner_cert = tsa.pem\n"
        "signer_key = tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\ndigests = sha256\naccuracy = secs:1\n"
        "ordering = no\ntsa_name = no\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n"
    )
    (folder / "ext.cnf").write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=critical,timeStamping\n"
    )
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=True)

    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Root", "-days", "2")
    openssl(*new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Stamps")
    sign = ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    openssl(*sign, "-out", "tsa.pem", "-days", "2", "-extfile", "ext.cnf")
    (folder / "serial").write_text("01\n")

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/old":
                answer = (folder / "first").read_bytes()
            else:
                openssl("ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "answer")
                answer = (folder / "answer").read_bytes()
                (folder / "first").write_bytes(answer)
            self.send_response(200 if self.path != "/broken" else 500)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", folder / "ca.pem"
        server.shutdown()


def test_a_time_stamp_is_kept_that_openssl_verifies_by_itself(
    world: World, anchor: Any, authority: tuple[str, Path], settings: Any
) -> None:
    url, roots = authority
    anchor(f"stamp rfc3161 {url}/ {roots}")
    world.checkpoint()
    assert anchors.anchor_newest() == 1
    place = Path(settings.PRESSMARK_CHECKPOINTS) / "anchors" / "stamp"
    (note,), (proof,) = place.glob("*.note"), place.glob("*.proof")
    check = ["openssl", "ts", "-verify", "-data", str(note), "-in", str(proof), "-CAfile", str(roots)]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    note.write_bytes(note.read_bytes() + b"\n")
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0


def test_a_stamp_of_something_else_an_unknown_authority_and_a_broken_one_are_refused(
    world: World, anchor: Any, authority: tuple[str, Path], tmp_path: Path
) -> None:
    url, roots = authority
    anchor(f"stamp rfc3161 {url}/ {roots}")
    world.checkpoint()
    anchors.anchor_newest()
    world.teams(1)
    world.checkpoint()
    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
         str(tmp_path / "k"), "-out", str(other), "-subj", "/CN=Other", "-days", "2"], capture_output=True, check=True,
    )  # fmt: skip
    for line, said in {
        f"stamp rfc3161 {url}/old {roots}": "stamped something else",
        f"stamp rfc3161 {url}/ {other}": "does not hold",
        f"stamp rfc3161 {url}/ {tmp_path / 'none.pem'}": "holds no certificates",
        f"stamp rfc3161 {url}/broken {roots}": "answered 500",
        "stamp rfc3161 http://127.0.0.1:1/": "does not answer",
        "stamp rfc3161 ftp://x/": "no address",
    }.items():
        anchor(line)
        with pytest.raises(AnchorError, match=said):
            anchors.anchor_newest()


# --- plug-ins ---


def test_a_kind_of_an_installed_package_is_taken_and_never_replaces_ours(
    world: World, anchor: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    points = [
        EntryPoint("radio", f"{__name__}:radio", anchors.GROUP),
        EntryPoint("folder", f"{__name__}:radio", anchors.GROUP),
    ]
    monkeypatch.setattr(anchors, "entry_points", lambda group, name=None: [p for p in points if name in (None, p.name)])
    heard.clear()
    anchor("tower radio long-wave", f"archive folder {tmp_path}")
    signed = world.checkpoint()
    assert anchors.anchor_newest() == 2
    assert heard == [("long-wave", signed.size)]
    assert checkpoints.outside_notes()[-1].decode() == Checkpoint.objects.get(size=signed.size).note


heard: list[tuple[str, int]] = []


def radio(task: Task) -> None:
    heard.append((task.target, task.checkpoint.size))


def test_a_plug_in_that_breaks_in_its_own_way_is_told_and_stops_nothing(
    world: World, anchor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(task: Task) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(anchors._OURS, "folder", broken)
    anchor("archive folder /x")
    world.checkpoint()
    with contextlib.suppress(AnchorError):
        anchors.anchor_newest()
    assert anchors.states()[0].error == "ZeroDivisionError: by nothing"
