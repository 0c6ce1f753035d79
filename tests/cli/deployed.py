"""A folder as a deploy has it, and a verdict about it in the form that a server signs: without a server and without a database.

`test_admit` holds the form against what a real server signs.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import dsse
from audit.signing import Signer, issuer_name
from registry.digests import parse_time, time_text

ORIGIN = "pressmark/01890a5d-ac96-774b-bcce-b302099a8057/1"
LOG, ISSUER = Signer.from_seed(ORIGIN, b"\x01" * 32), Signer.from_seed(issuer_name(ORIGIN), b"\x02" * 32)
MODEL = "search/minilm"
NAME = f"{MODEL}@7"
DIGEST = "sha256:" + "ab" * 32
BEGAN = datetime.datetime.now(datetime.UTC)
LASTS = datetime.timedelta(minutes=15)
FILES = {"onnx/model.onnx": b"weights", "config.json": b"{}"}


def subject(name: str, digest: str) -> dict[str, Any]:
    return {"digest": {"sha256": digest.removeprefix("sha256:")}, "name": name}


def statement(files: dict[str, bytes] | None = None) -> dict[str, Any]:
    """A yes: production serves the version."""
    held = {path: hashlib.sha256(data).hexdigest() for path, data in (files or FILES).items()}
    bound = dict.fromkeys(("approval", "assignment", "broken_glass", "model", "policy", "version"))
    asked = {"alias": "production", "model": None, "nonce": None, "served": False, "target": None, "target_meant": None}
    predicate = {
        "alias": "production", "asked": asked, "bound": bound, "decision": "yes", "evaluated_at": time_text(BEGAN),
        "expires_at": time_text(BEGAN + LASTS), "ledger": {"checkpoint": None, "origin": ORIGIN, "size": 40}, "model": MODEL,
        "reasons": [{"code": "served", "text": "'production' serves it, and it is approved for that."}], "standing": "served",
    }  # fmt: skip
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicate": predicate,
        "predicateType": "urn:pressmark:predicate:admission:1",
        "subject": [
            subject(NAME, DIGEST),
            *(subject(f"{NAME}/{path}", digest) for path, digest in sorted(held.items())),
        ],
    }


@dataclass(frozen=True)
class Deployed:
    """Where the files lie, and the verdict about them."""

    folder: Path
    verdict: Path

    def sign(self, change: Callable[[dict[str, Any]], object] | None = None, signer: Signer = ISSUER) -> None:
        """Keep a verdict, changed by somebody and signed by somebody."""
        said = statement()
        if change is not None:
            change(said)
        payload = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        self.verdict.write_bytes(dsse.sign_envelope(signer, payload))

    def moment(self, name: str) -> datetime.datetime:
        body = json.loads(base64.b64decode(json.loads(self.verdict.read_bytes())["payload"]))["predicate"]
        return parse_time(body[name])


def deploy(place: Path) -> Deployed:
    """The files of the version, and a yes about them."""
    found = Deployed(place / "model", place / "verdict.json")
    for path, data in FILES.items():
        file = found.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    found.sign()
    return found
