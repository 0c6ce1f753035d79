"""A client of the API with the standard library alone: for scripts, pipelines and the command line. No Django.

    client = Client("http://127.0.0.1:8000", token="...")
    upload = client.upload(Path("model.onnx"))
    version = client.post("teams/search/models/minilm/versions", {...})

The receipt of every command is kept in `client.receipts`; whoever wants them for good gives a `keep`. Errors are `ApiError`, with
the problem's detail and hint.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

CHUNK_BYTES = 1024 * 1024
TIMEOUT_SECONDS = 600


class ApiError(Exception):
    """A refusal of the server, or no answer at all."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
        self.hint = str(problem.get("hint", ""))
        super().__init__(f"{self.detail} {self.hint}".strip())


class Client:
    """One server, one token."""

    def __init__(self, server: str, token: str | None = None, keep: Callable[[str], None] | None = None) -> None:
        """`keep` is given each receipt as soon as it arrives, before the answer is read."""
        parts = urlsplit(server if "://" in server else f"http://{server}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{server!r} is no server; it looks like http://127.0.0.1:8000")
        self._connection_class = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self.token = token
        self.receipts: list[str] = []
        self._keep = keep

    def log_in(self, username: str, password: str) -> None:
        """Get a token and use it from now on."""
        self.token = self.post("log-in", {"username": username, "password": password})["token"]

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """Read JSON. `query`: names and values as they are, whatever characters they hold."""
        return self._call("GET", path, query=query)

    def all_of(self, path: str, query: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
        """The items of a listing, page after page."""
        page = self.get(path, list(query))
        rows: list[dict[str, Any]] = page["items"]
        while page["next"]:
            page = self.get(path, [*query, ("after", page["next"])])
            rows += page["items"]
        return rows

    def post(self, path: str, body: dict[str, Any] | None = None, *, key: str | None = None) -> Any:
        """Send a command, with an idempotency key so that a repeat after a lost answer does it once."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key or str(uuid.uuid4())}
        return self._call("POST", path, json.dumps(body or {}).encode(), headers)

    def request_evaluation(self, version: str, evaluation: str, **asked: Any) -> dict[str, Any]:
        """Have a version, `team/model@3`, measured on `team/dataset@1`; `asked`: plan, incumbent and what else there is."""
        return dict(self.post(f"{_version_path(version)}/evaluations", {"evaluation": evaluation, **asked}))

    def request_comparison(self, model: str, parent: str, recipes: Sequence[str], **asked: Any) -> dict[str, Any]:
        """Ask for a child of `parent`, `team/model@3`, by each recipe, in `model`; `asked`: evaluation, training and more."""
        door = f"teams/{model.replace('/', '/models/')}/comparisons"
        return dict(self.post(door, {"parent": parent, "recipes": list(recipes), **asked}))

    def comparison(self, comparison: str) -> dict[str, Any]:
        """The runs of a comparison with the figures of their children; `in_work`: how many have not ended."""
        return dict(self.get(f"comparisons/{comparison}"))

    def evaluation(self, version: str, run: str) -> dict[str, Any]:
        """All that an evaluation found: figures with their sentences, what stood beside the version, rows and plan."""
        return dict(self.get(f"{_version_path(version)}/evaluations/{run}"))

    def download_outputs(self, version: str, run: str, target: Path, expected: str | None = None) -> str:
        """What the models of an evaluation answered row by row, checked by digest."""
        return self.download(f"{_version_path(version)}/evaluations/{run}/outputs", target, expected)

    def request_replay(self, version: str, **stated: Any) -> dict[str, Any]:
        """Have a version, `team/model@3`, made again from its parent; made elsewhere: `recipe`, `calibration`, `plan`."""
        return dict(self.post(f"{_version_path(version)}/replays", stated))

    def replays(self, version: str) -> list[dict[str, Any]]:
        """The replays of a version, newest first, each with its outcome."""
        rows: list[dict[str, Any]] = self.get(f"{_version_path(version)}/replays")["items"]
        return rows

    def download_dataset_file(self, dataset_version: str, path: str, target: Path, expected: str | None = None) -> str:
        """The bytes of one file of `team/dataset@3`, checked by digest; the only file of one is called `data`."""
        return self.download(f"{_version_path(dataset_version, 'datasets')}/files/{path}", target, expected)

    def correct_dataset_version(self, dataset_version: str, reason: str, **said: Any) -> dict[str, Any]:
        """Say anew what was registered wrongly about `team/dataset@3`: licence, uses, personal_data, owner and the like."""
        door = f"{_version_path(dataset_version, 'datasets')}/corrections"
        row: dict[str, Any] = self.post(door, {"reason": reason, **said})
        return row

    def request_profile(self, dataset_version: str, **asked: Any) -> dict[str, Any]:
        """Have the rows of `team/dataset@3` looked at; `asked`: label, against, seed."""
        return dict(self.post(f"{_version_path(dataset_version, 'datasets')}/profiles", asked))

    def profile(self, profile: str) -> dict[str, Any]:
        """A data profile: its state, and what was found once it has finished."""
        return dict(self.get(f"profiles/{profile}"))

    def attach_document(
        self, about: str, path: Path, kind: str, title: str = "", progress: Callable[[int, int], None] | None = None
    ) -> dict[str, Any]:
        """Keep a file as proof beside `version:team/model@3` and the like; its media type is told from the bytes."""
        digest = self.upload(path, progress)["digest"]
        row: dict[str, Any] = self.post("documents", {"about": about, "kind": kind, "digest": digest, "title": title})
        return row

    def documents(self, about: str) -> list[dict[str, Any]]:
        """What is kept as proof about something, newest first."""
        rows: list[dict[str, Any]] = self.get("documents", [("about", about)])["items"]
        return rows

    def download_document(self, document: str, target: Path, expected: str | None = None) -> str:
        """The bytes of a document, checked by digest."""
        return self.download(f"documents/{document}/content", target, expected)

    def request_approval(self, version: str, alias: str, reason: str, **asked: Any) -> dict[str, Any]:
        """Ask that a version, `team/model@3`, may be released; `asked`: expires_at, target."""
        body = {"alias": alias, "reason": reason, **asked}
        row: dict[str, Any] = self.post(f"{_version_path(version)}/approvals", body)
        return row

    def preview_gate(self, version: str, alias: str = "production") -> dict[str, Any]:
        """What `team/model@3` lacks before it may go live, and who can mend it; nothing is written."""
        return dict(self.get(f"{_version_path(version)}/preview-gate", [("alias", alias)]))

    def decide_approval(self, approval: str, verb: str, reason: str, **conditions: Any) -> dict[str, Any]:
        """Grant, reject, return, answer, withdraw or revoke; a grant may carry `expires_at` and `target`."""
        row: dict[str, Any] = self.post(f"approvals/{approval}/{verb}", {"reason": reason, **conditions})
        return row

    def approvals(self, waiting: str = "") -> list[dict[str, Any]]:
        """All approvals, newest first; `open`: what waits for a decision, `returned`: for the answer to a question."""
        rows: list[dict[str, Any]] = self.get("approvals", [(waiting, "true")] if waiting else [])["items"]
        return rows

    def appoint_deputy(self, deputy: str, role: str, ends_at: str, reason: str, **given: Any) -> dict[str, Any]:
        """Let somebody decide in the caller's place; `given`: team, begins_at."""
        body = {"deputy": deputy, "role": role, "ends_at": ends_at, "reason": reason, **given}
        row: dict[str, Any] = self.post("deputyships", body)
        return row

    def end_deputyship(self, deputyship: str) -> dict[str, Any]:
        """End a deputyship before its time."""
        row: dict[str, Any] = self.post(f"deputyships/{deputyship}/end")
        return row

    def register_target(self, team: str, slug: str, runtime: str, hardware: str, **given: Any) -> dict[str, Any]:
        """A place where versions of a team run; `given`: settings, limits, safeguards."""
        body = {"slug": slug, "runtime": runtime, "hardware": hardware, **given}
        row: dict[str, Any] = self.post(f"teams/{team}/targets", body)
        return row

    def targets(self, team: str) -> list[dict[str, Any]]:
        """The places where versions of a team run, newest first."""
        rows: list[dict[str, Any]] = self.get(f"teams/{team}/targets")["items"]
        return rows

    def end_target(self, target: str) -> dict[str, Any]:
        """Nothing runs there any more."""
        row: dict[str, Any] = self.post(f"targets/{target}/end")
        return row

    def move_alias(self, alias: str, act: str, **asked: Any) -> dict[str, Any]:
        """Move `team/model@production`: promote (approval), roll-back, suspend, break-glass; `drills` only goes through it."""
        made: dict[str, Any] = self.post(f"{_alias_path(alias)}/{act}", asked)
        return made

    def served_at(self, alias: str, at: str) -> dict[str, Any]:
        """What `team/model@production` was at a moment: version, digest, since and until when, by whom, on which approval."""
        return dict(self.get(f"{_alias_path(alias)}/served-at", [("at", at)]))

    def preview_recall(self, about: str) -> dict[str, Any]:
        """What a recall of `dataset_version:team/rows@1` and the like would stop now; nothing is written."""
        return dict(self.get("recalls/preview", [("about", about)]))

    def start_recall(self, about: str, reason: str) -> dict[str, Any]:
        """Put all that was made from something in quarantine."""
        made: dict[str, Any] = self.post("recalls", {"about": about, "reason": reason})
        return made

    def end_recall(self, recall: str, reason: str) -> dict[str, Any]:
        """It may be used again."""
        ended: dict[str, Any] = self.post(f"recalls/{recall}/end", {"reason": reason})
        return ended

    def quarantines(self, version: str) -> list[dict[str, Any]]:
        """The quarantines of `team/model@3`, ended ones too, newest first."""
        rows: list[dict[str, Any]] = self.get("quarantines", [("version", version)])["items"]
        return rows

    def act_on_quarantine(self, quarantine: str, act: str, reason: str) -> dict[str, Any]:
        """`request-release`, `grant-release` or `refuse-release`."""
        made: dict[str, Any] = self.post(f"quarantines/{quarantine}/{act}", {"reason": reason})
        return made

    def register_webhook(self, url: str, kinds: Sequence[str], team: str | None = None) -> dict[str, Any]:
        """Have an address told of events, of a team or of the whole instance; the answer holds its secret, once."""
        made: dict[str, Any] = self.post("webhooks", {"url": url, "kinds": list(kinds), "team": team})
        return made

    def rotate_webhook(self, webhook: str) -> dict[str, Any]:
        """A new secret for a webhook, in the answer, once."""
        made: dict[str, Any] = self.post(f"webhooks/{webhook}/rotate")
        return made

    def end_webhook(self, webhook: str) -> dict[str, Any]:
        """Have an address told of nothing any more."""
        ended: dict[str, Any] = self.post(f"webhooks/{webhook}/end")
        return ended

    def resend_webhook(self, webhook: str) -> dict[str, Any]:
        """Have what was given up for a webhook tried again; `again` says how many notices."""
        again: dict[str, Any] = self.post(f"webhooks/{webhook}/resend")
        return again

    def upload(self, path: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Stream a file; the server answers its digest, which must be the one that we computed."""
        digest = digest_of(path)
        size = path.stat().st_size
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            "Pressmark-Digest": digest,
        }
        answer: dict[str, Any] = self._call("POST", "uploads", _chunks(path, size, progress), headers)
        if answer["digest"] != digest:
            raise ApiError(502, {"detail": f"The server stored {answer['digest']}, not {digest}."})
        return answer

    def download(self, path: str, target: Path, expected: str | None = None) -> str:
        """Stream a file to disk and answer its digest; it takes its name only when that is the expected one.

        Without an expected digest it must be the one that the server says in `Pressmark-Digest`: nothing was cut on the way.
        """
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        hasher = hashlib.sha256()
        try:
            with self._open("GET", path) as (response, _), temporary.open("wb") as out:
                expected = expected or response.getheader("Pressmark-Digest", "none")
                while chunk := response.read(CHUNK_BYTES):
                    hasher.update(chunk)
                    out.write(chunk)
            digest = f"sha256:{hasher.hexdigest()}"
            if digest != expected:
                raise ApiError(502, {"detail": f"{target.name} arrived with another digest than {expected}."})
            os.replace(temporary, target)
            return digest
        finally:
            temporary.unlink(missing_ok=True)

    def wait_for(self, path: str, done: Callable[[Any], bool], seen: Callable[[Any], None], timeout: float) -> Any:
        """Read again and again until `done`; `seen` is told every state."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.get(path)
            seen(state)
            if done(state):
                return state
            if time.monotonic() > deadline:
                raise ApiError(504, {"detail": f"{path} was not finished within {timeout:.0f} s."})
            time.sleep(0.5)

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> Any:
        with self._open(method, path, body, headers, query) as (response, receipt):
            if receipt:
                self.receipts.append(receipt)
                if self._keep is not None:
                    self._keep(receipt)
            data = response.read()
        return json.loads(data) if data else None

    def _open(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> _Answer:
        sent = {"Accept": "application/json", **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Token {self.token}"
        connection = self._connection_class(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, self._target(path, query), body, sent)
            response = connection.getresponse()
        except OSError as error:
            connection.close()
            raise ApiError(
                0,
                {
                    "detail": f"{self._host}:{self._port} does not answer: {error}.",
                    "hint": "Is `pressmark serve` running?",
                },
            ) from None
        if response.status >= 400:
            problem = _problem(response)
            connection.close()
            raise ApiError(response.status, problem)
        return _Answer(connection, response)

    def _target(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        target = f"{self._base}/api/v1/{quote(path, safe='/?=&@:')}"
        return f"{target}?{urlencode(query)}" if query else target


def _version_path(version: str, noun: str = "models") -> str:
    """The path of `team/model@3`, or of a version of a dataset."""
    name, at, number = version.partition("@")
    team, slash, model = name.partition("/")
    if not (at and slash and number.isdigit() and team and model):
        raise ValueError(f"{version!r} names no version; it looks like team/model@3")
    return f"teams/{team}/{noun}/{model}/versions/{number}"


def _alias_path(alias: str) -> str:
    """The path of `team/model@production`."""
    name, at, slug = alias.partition("@")
    team, slash, model = name.partition("/")
    if not (at and slash and slug and team and model):
        raise ValueError(f"{alias!r} names no alias; it looks like team/model@production")
    return f"teams/{team}/models/{model}/aliases/{slug}"


class _Answer:
    """An open answer; closes its connection."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response

    def __enter__(self) -> tuple[http.client.HTTPResponse, str]:
        return self._response, self._response.getheader("Pressmark-Receipt", "")

    def __exit__(self, *raised: object) -> None:
        self._connection.close()


def _problem(response: http.client.HTTPResponse) -> dict[str, Any]:
    data = response.read()
    try:
        problem = json.loads(data)
    except ValueError:
        return {
            "detail": f"The server answered status {response.status}, and not in Pressmark's words.",
            "hint": "Look at the address of the server, and at what stands between it and you.",
        }
    return problem if isinstance(problem, dict) else {"detail": str(problem)}


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a file, streamed."""
    hasher = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def _chunks(path: Path, size: int, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    sent = 0
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            if progress:
                progress(sent, size)
