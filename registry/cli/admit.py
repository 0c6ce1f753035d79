"""`pressmark admit PATH`: whether what lies here may run, for deploy pipelines, by exit status. No Django.

Rules:
- the server decides, this host checks: signature by a key from outside, files, time, and that it is the answer to what was asked;
- a key that lies inside of what is to be admitted, or in the file of the verdict, came with the answer: it is refused;
- 0 admitted; 1 no; 2 wrong call; 3 nothing says no, but something could not be checked. Only 0 lets a deploy go on.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from audit.admission_verdict import ALONE, NO, NOT_CHECKED, Judgement, Wanted, judge
from audit.signing import ISSUER_SUFFIX, KeyLineError, PublicKey, parse_key_line
from registry.cli import deployed_files
from registry.cli.remote import add_server_arguments, client_of
from registry.client import ApiError
from registry.errors import Problem

WRONG_CALL = 2
VERDICT_LIMIT_BYTES = 8 * 1024 * 1024
_KEY_FILE_LIMIT_BYTES = 64 * 1024
_NOT_UNDERSTOOD = 422
_WORDS = {0: "admitted", NO: "no", WRONG_CALL: "wrong call", NOT_CHECKED: "not checked"}
_STATUS = "exit status: 0 admitted; 1 no; 2 wrong call; 3 nothing says no, but something could not be checked"


class WrongCall(Exception):
    """The caller's own input cannot be used, so nothing was judged; the message says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _STATUS
    parser.add_argument("path", type=Path, metavar="PATH", help="the folder or the file that is to run")
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEYLINE_OR_FILE",
        help="the issuer key line of the installation, kept outside (`pressmark keys` prints it); repeatable",
    )  # fmt: skip
    parser.add_argument("--alias", help="admitted for this alias; left out: for any")
    parser.add_argument("--target", help="where it is to run: a target of the model's team")
    parser.add_argument("--served", action="store_true", help="the alias has to serve it; being approved is not enough")
    parser.add_argument("--model", metavar="TEAM/MODEL", help="it has to be a version of this model")
    parser.add_argument("--digest", metavar="sha256:...", help="it has to be the version of this digest")
    parser.add_argument(
        "--verdict", type=Path, metavar="FILE", help="a verdict that was kept, instead of asking a server"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the verdict that the server gave")
    parser.add_argument("--at", metavar="TIME", help="judge a kept verdict as of then: 2026-03-01T12:00:00Z")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    add_server_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Says one sentence, and gives the exit status."""
    try:
        found = _judged(options)
    except WrongCall as error:
        found = Judgement(WRONG_CALL, str(error))
    except deployed_files.NotDeployable as error:
        found = Judgement(NO, str(error))
    except ApiError as error:
        status = WRONG_CALL if error.status == _NOT_UNDERSTOOD else NOT_CHECKED
        found = Judgement(status, f"{error.detail} {error.hint}".strip())
    except OSError as error:
        found = Judgement(NOT_CHECKED, f"{error.filename}: {error.strerror}.")
    if options.json:
        said = {"answer": _WORDS[found.status], "codes": list(found.codes), "sentence": found.sentence}
        print(json.dumps(said, indent=1))
    else:
        print(f"{_WORDS[found.status]}: {found.sentence}", file=sys.stdout if found.status == 0 else sys.stderr)
    return found.status


def _judged(options: argparse.Namespace) -> Judgement:
    at = _moment(options)
    if not options.path.is_symlink() and not options.path.exists():
        raise WrongCall(f"{options.path} is not there.")
    _check_save(options)
    keys = _keys(options)
    lying = deployed_files.read(options.path)
    nonce = None if options.verdict is not None else secrets.token_hex(16)
    wanted = Wanted(
        files=lying.files, manifest=lying.manifest, keys=keys, at=at, digest=options.digest, model=options.model,
        alias=options.alias, target=options.target, served=options.served, nonce=nonce,
    )  # fmt: skip
    envelope = _kept(options.verdict) if options.verdict is not None else _asked(options, wanted)
    if options.verdict is None and options.at is None:
        wanted = Wanted(**{**vars(wanted), "at": datetime.datetime.now(datetime.UTC)})  # hashing may have taken long
    return judge(envelope, wanted)


def _check_save(options: argparse.Namespace) -> None:
    if options.save is None:
        return
    if options.verdict is not None:
        raise WrongCall("A kept verdict need not be kept again: leave --save out.")
    place, brought = options.save.resolve(), options.path.resolve()
    if place == brought or brought in place.parents:
        raise WrongCall(
            f"{options.save} would lie in what is to be admitted and change it. Save the verdict elsewhere."
        )
    if place.is_dir() or not place.parent.is_dir():
        raise WrongCall(f"{options.save} is no place for a file. Name a file in a folder that is there.")


def _moment(options: argparse.Namespace) -> datetime.datetime:
    if options.at is None:
        return datetime.datetime.now(datetime.UTC)
    if options.verdict is None:
        raise WrongCall("--at judges a kept verdict: give --verdict FILE as well.")
    try:
        moment = datetime.datetime.fromisoformat(options.at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise WrongCall(f"{options.at!r} is no time; write it as 2026-03-01T12:00:00Z.")
    return moment.astimezone(datetime.UTC)


# --- keys from outside ---


def _keys(options: argparse.Namespace) -> list[PublicKey]:
    return [key for given in options.key for key in _issuer_keys(given, options)]


def _issuer_keys(given: str, options: argparse.Namespace) -> list[PublicKey]:
    """The issuer keys of a key line, or of a file of key lines; those of the log are passed over, for a file often has both."""
    lines = [given]
    path = Path(given)
    if len(given) < 1000 and path.is_file():
        _refuse_inside(path, options)
        with path.open("rb") as file:
            lines = file.read(_KEY_FILE_LIMIT_BYTES).decode("utf-8", "replace").splitlines()
    try:
        found = [parse_key_line(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    except KeyLineError as error:
        raise WrongCall(
            f"--key takes a key line, or a file of them as `pressmark keys` prints them: {error}."
        ) from None
    issuers = [key for key in found if key.name.endswith(ISSUER_SUFFIX)]
    if not issuers:
        raise WrongCall("--key gives no issuer key; its name ends in /issuer. A log key signs no verdicts.")
    return issuers


def _refuse_inside(key: Path, options: argparse.Namespace) -> None:
    place = key.resolve()
    brought = options.path.resolve()
    if place == brought or brought in place.parents:
        raise WrongCall(f"{key} lies in what is to be admitted: it came with it. Give a key that you kept elsewhere.")
    if options.verdict is not None and place == options.verdict.resolve():
        raise WrongCall(f"{key} is the verdict itself. Give a key that you kept elsewhere.")


# --- the verdict ---


def _kept(path: Path) -> bytes:
    if not path.is_file():
        raise WrongCall(f"{path} is not there.")
    with path.open("rb") as file:
        return file.read(VERDICT_LIMIT_BYTES + 1)


def _asked(options: argparse.Namespace, wanted: Wanted) -> bytes:
    try:
        client = client_of(options)
    except Problem as error:
        raise WrongCall(f"{error.detail} {error.hint}") from None
    except OSError as error:
        raise WrongCall(f"{error.filename}: {error.strerror}.") from None
    try:
        answer = client.post("admissions", _question(wanted))
    except (ValueError, OSError, http.client.HTTPException):
        raise ApiError(0, {"detail": "The server's answer cannot be read.", "hint": "Look at its address."}) from None
    envelope = json.dumps(answer, sort_keys=True, separators=(",", ":")).encode()
    if options.save is not None:
        options.save.write_bytes(envelope)
    return envelope


def _question(wanted: Wanted) -> dict[str, Any]:
    rows = [{"digest": digest, "path": None if path == ALONE else path} for path, digest in wanted.files.items()]
    return {
        "alias": wanted.alias,
        "digest": wanted.digest,
        "files": rows,
        "model": wanted.model,
        "nonce": wanted.nonce,
        "served": wanted.served,
        "target": wanted.target,
    }
