"""What tests of witnesses stand on: a log in memory that can also lie, and the real witness as a process on loopback."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from audit import merkle, notes
from audit.signing import Signer
from audit.witnessing.cosignatures import CosignerKey, parse_cosigner_line

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "pressmark/01890a5d-ac96-774b-bcce-b302099a8057/1"
PROGRAM = "import sys; sys.modules['django'] = None; from registry.cli.main import main; sys.exit(main())"


@dataclass
class Log:
    """A log of leaves `<salt>-0`, `<salt>-1`, ...: another salt from some leaf on is another history under the same key."""

    signer: Signer = field(default_factory=lambda: Signer.from_seed(ORIGIN, b"\x01" * 32))
    leaves: list[bytes] = field(default_factory=list)

    def grow(self, count: int, salt: str = "a") -> Log:
        start = len(self.leaves)
        self.leaves += [merkle.leaf_hash(f"{salt}-{number}".encode()) for number in range(start, start + count)]
        return self

    def forked(self, at: int, count: int) -> Log:
        """The same log up to a size, and another one from there."""
        return Log(self.signer, self.leaves[:at]).grow(count, "b")

    def note(self, size: int | None = None) -> bytes:
        size = len(self.leaves) if size is None else size
        return notes.sign_checkpoint(self.signer, size, merkle.root(self.leaves[:size]))

    def request(self, old: int, size: int | None = None) -> bytes:
        """The body of add-checkpoint, honest as far as this log goes."""
        size = len(self.leaves) if size is None else size
        path = merkle.consistency_path(self.leaves.__getitem__, old, size) if old <= size else []
        return request_body(old, path, self.note(size))


def request_body(old: int, path: list[bytes], note: bytes) -> bytes:
    lines = [f"old {old}", *(base64.b64encode(item).decode() for item in path)]
    return ("\n".join(lines) + "\n\n").encode() + note


@dataclass
class WitnessProcess:
    """`pressmark witness` as its operator runs it, in a process of its own, where Django cannot be imported."""

    state: Path
    name: str = "witness.test"
    port: int = 0
    process: subprocess.Popen[str] | None = None
    key: CosignerKey | None = None

    def init(self) -> CosignerKey:
        done = subprocess.run(
            [*self._command("init"), "--name", self.name], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        self.key = parse_cosigner_line(done.stdout.splitlines()[0])
        return self.key

    def start(self, *log_lines: str) -> WitnessProcess:
        """Serve; a port that was had before is taken again."""
        logs = [word for line in log_lines for word in ("--log", line)]
        command = [*self._command("serve"), "--listen", f"127.0.0.1:{self.port}", *logs]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        listens = self.process.stdout.readline()
        assert "listens on" in listens, self.process.communicate()
        self.port = int(listens.split(" and ")[0].rsplit(":", 1)[1])
        return self

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()
            self.process = None

    def stop(self) -> tuple[int, str]:
        """As its operator would: exit status, and what it said on standard error."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=10)
        status, self.process = self.process.returncode, None
        return status, said

    def status(self) -> tuple[int, str]:
        done = subprocess.run(self._command("status"), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, body: bytes) -> tuple[int, str, str]:
        """Status, content type and body of add-checkpoint."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("POST", "/add-checkpoint", body)
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read().decode()

    def newest(self, origin: str = ORIGIN) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint")
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _command(self, act: str) -> list[str]:
        return [sys.executable, "-c", PROGRAM, "witness", act, "--state", str(self.state)]
