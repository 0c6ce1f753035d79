"""The demo's stage: a folder, an installation in it, its server, and people who talk to it over HTTP."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import http.cookiejar
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from registry.cli.serve import is_served

START_SECONDS = 180
"""A machine that is busy with other things takes its time; a server that falls is noticed at once."""
SERVING = "Pressmark is at "
"""What `pressmark serve` says once the port is its own: before, whoever answers there is somebody else."""
STARTS, PROBE_SECONDS = 3, 10


class DemoFailed(Exception):
    """The demo cannot go on; the message says where to look."""


class Stage:
    """An installation of the demo's own, started and stopped with it."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._settings = dict(settings or {})
        self.home = folder / "instance"
        self.input = folder / "input"
        self.outside = folder / "outside"
        self.log = folder / "server.log"
        self._listen_at(_free_port())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the installation's processes see."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRESSMARK_", "DJANGO_"))}
        own = {"PRESSMARK_HOME": str(self.home), "DJANGO_SETTINGS_MODULE": "registry.settings"}
        return kept | own | self._settings

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else plays in this folder, and no server still uses the installation of an earlier run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DemoFailed(f"the demo is running in {self.folder} already") from None
            if is_served(self.home):
                raise DemoFailed(f"a server still runs on {self.home}; stop it first, the demo makes it anew")
            yield

    def set(self) -> None:
        """Clear what an earlier run made (inputs are kept) and set up a new installation."""
        for old in (self.home, self.outside):
            shutil.rmtree(old, ignore_errors=True)
        for new in (self.home, self.outside, self.input):
            new.mkdir(parents=True, exist_ok=True)

    def pressmark(self, *words: str, allowed: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line on the demo's installation."""
        command = [sys.executable, "-m", "registry.cli.main", *words]
        return self.run(command, allowed=allowed)

    def run(self, command: Sequence[str], *, allowed: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run a command; DemoFailed with its last words when it ends otherwise than allowed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode not in allowed:
            words = (done.stderr or done.stdout).strip().splitlines()[-12:]
            raise DemoFailed(f"{' '.join(command[2:])} ended with {done.returncode}:\n  " + "\n  ".join(words))
        return done

    def __enter__(self) -> Stage:
        """Start web server, worker and keeper, and wait until they answer; elsewhere if somebody took the port meanwhile."""
        for _ in range(STARTS):
            if self._started():
                return self
            words = self.log.read_text(errors="replace")
            if "cannot be used" not in words:
                break
            self._listen_at(_free_port())
        raise DemoFailed(f"the server did not start; see {self.log}:\n{words[-1000:]}")

    def _listen_at(self, port: int) -> None:
        self.port = port
        self.server = f"http://127.0.0.1:{port}"

    def _started(self) -> bool:
        command = [sys.executable, "-m", "registry.cli.main", "serve", "--port", str(self.port), "--web-workers", "1"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if SERVING in self.log.read_text(errors="replace") and self._answers():
                return True
            time.sleep(0.2)
        self._stop()
        return False

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _answers(self) -> bool:
        """Whoever else listens there may say nothing at all."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", "/api/v1/who-am-i")
            return connection.getresponse().status == 401
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Browser:
    """A person in a browser: cookies, the CSRF token, forms. Used where the demo goes through pages."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def get(self, path: str) -> str:
        """The page as text."""
        return self._open(urllib.request.Request(self.server + path))  # noqa: S310  the demo's own server

    def submit(self, path: str, fields: dict[str, str], *, to: str | None = None) -> str:
        """Fetch the page for its token, then send its form (to another address where a button says so)."""
        page = self.get(path)
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        if found is None:
            raise DemoFailed(f"{path} has no form to send")
        return self.post(to or path, fields | {"csrfmiddlewaretoken": found.group(1)})

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Send a form."""
        data = urllib.parse.urlencode(fields).encode()
        headers = {"Referer": self.server + path}
        return self._open(urllib.request.Request(self.server + path, data, headers))  # noqa: S310

    def _open(self, request: urllib.request.Request) -> str:
        try:
            with self._opener.open(request, timeout=60) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            raise DemoFailed(
                f"{request.full_url} answered {error.code}: {error.read()[:300].decode(errors='replace')}"
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
