"""Judges an admission verdict where something is to run: with a key from outside, a clock, and the digests of what lies there.

Rules:
- the envelope is what the server signs and nothing else: one signature, no member more, none twice;
- the key comes from outside, and it is an issuer key: a log key signs checkpoints, never verdicts;
- the ledger that the verdict names is that of the key;
- a verdict holds from when it was decided (a little before, for clocks differ) until its end, not a moment longer;
- it is good only for what it was asked for: alias, target and nonce agree exactly, none given included;
- every file that lies here is one of its subjects at the same path, and none is missing; the manifest, where one lies
  beside the files, is that of the version;
- whatever cannot be read is no. Without a key nothing is admitted: what would be yes is "not checked".
No Django, no network, no clock: the moment is given.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit import dsse
from audit.signing import ISSUER_SUFFIX, PublicKey
from registry.digests import CanonicalError, parse_time

PREDICATE = "urn:pressmark:predicate:admission:1"
STATEMENT = "https://in-toto.io/Statement/v1"
ADMITTED, NO, NOT_CHECKED = 0, 1, 3
ALONE = ""
"""The path of a file that stands alone: its name says nothing."""
CLOCKS_DIFFER = datetime.timedelta(seconds=60)
_NAMED = 5
_MEMBERS = {
    "alias", "asked", "bound", "decision", "evaluated_at", "expires_at", "ledger", "model", "reasons", "standing",
}  # fmt: skip


class Refused(ValueError):
    """The verdict does not admit what lies here; the message is one sentence."""


@dataclass(frozen=True)
class Wanted:
    """What lies here, and for what it is to run. `keys`: issuer keys from outside. `nonce`: of an answer just asked for."""

    files: Mapping[str, str]
    keys: Sequence[PublicKey]
    at: datetime.datetime
    manifest: str | None = None
    digest: str | None = None
    model: str | None = None
    alias: str | None = None
    target: str | None = None
    served: bool = False
    nonce: str | None = None


@dataclass(frozen=True)
class Judgement:
    """The exit status, and why in one sentence."""

    status: int
    sentence: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Verdict:
    """A statement as it was read: its predicate, and its subjects by name."""

    predicate: dict[str, Any]
    subjects: dict[str, str]

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(str(reason["code"]) for reason in self.predicate["reasons"])


def judge(envelope: bytes, wanted: Wanted) -> Judgement:
    """Whether the verdict admits what lies here."""
    try:
        verdict = _opened(envelope, wanted.keys)
    except Refused as error:
        return Judgement(NO, str(error))
    if verdict.predicate["decision"] != "yes":
        said = " ".join(str(reason["text"]) for reason in verdict.predicate["reasons"])
        return Judgement(NO, said, verdict.codes)
    try:
        _check_time(verdict, wanted.at)
        _check_asked(verdict, wanted)
        name = _check_files(verdict, wanted)
    except Refused as error:
        return Judgement(NO, str(error), verdict.codes)
    if not wanted.keys:
        return Judgement(NOT_CHECKED, "The verdict says yes, but no key was given to check its signature with.")
    until = verdict.predicate["expires_at"][:19].replace("T", " ")
    said = " ".join(str(reason["text"]) for reason in verdict.predicate["reasons"])
    return Judgement(ADMITTED, f"{name} may run: {said} The verdict ends at {until} UTC.", verdict.codes)


# --- reading ---


def _opened(envelope: bytes, keys: Sequence[PublicKey]) -> _Verdict:
    outer = _object(_json(envelope, "The verdict"), {"payload", "payloadType", "signatures"}, "The verdict")
    signatures = outer["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise Refused("The verdict does not have exactly one signature, as a server gives it.")
    keyid = _object(signatures[0], {"keyid", "sig"}, "The signature")["keyid"]
    name = str(keyid).partition("+")[0]
    if not name.endswith(ISSUER_SUFFIX):
        raise Refused(f"The verdict is signed by {keyid}, which is no issuer key.")
    if keys:
        key = next((key for key in keys if key.keyid == keyid), None)
        if key is None:
            raise Refused(f"The verdict is signed by {keyid}, which is none of the keys that you gave.")
        try:
            dsse.open_envelope(envelope, key)
        except dsse.DsseError as error:
            raise Refused(f"The signature does not hold: {error}.") from None
    verdict = _statement(_payload(outer))
    if verdict.predicate["ledger"]["origin"] + ISSUER_SUFFIX != name:
        raise Refused("The verdict speaks of another ledger than that of its key.")
    return verdict


def _payload(outer: Mapping[str, Any]) -> Any:
    try:
        payload = dsse.payload_of(outer)
    except dsse.DsseError as error:
        raise Refused(f"The verdict cannot be read: {error}.") from None
    return _json(payload, "What the verdict says")


def _statement(value: Any) -> _Verdict:
    statement = _object(value, {"_type", "predicate", "predicateType", "subject"}, "What the verdict says")
    if (statement["_type"], statement["predicateType"]) != (STATEMENT, PREDICATE):
        raise Refused("What is signed is no admission verdict.")
    predicate = _object(statement["predicate"], _MEMBERS, "The decision")
    try:
        for moment in ("evaluated_at", "expires_at"):
            parse_time(predicate[moment])
        asked = {"alias", "model", "nonce", "served", "target", "target_meant"}
        for name, value in _object(predicate["asked"], asked, "What was asked").items():
            _demand(isinstance(value, bool) if name == "served" else value is None or isinstance(value, str))
        _demand(all(predicate[name] is None or isinstance(predicate[name], str) for name in ("model", "standing")))
        _object(predicate["ledger"], {"checkpoint", "origin", "size"}, "The ledger")["origin"] + ""
        readable = all(
            isinstance(reason["text"], str) and isinstance(reason["code"], str) for reason in predicate["reasons"]
        )
        subjects = {str(s["name"]): f"sha256:{s['digest']['sha256']}" for s in statement["subject"]}
    except (KeyError, TypeError, CanonicalError):
        raise Refused("What the verdict says is not in the form of an admission verdict.") from None
    if len(subjects) != len(statement["subject"]) or not readable or not predicate["reasons"]:
        raise Refused("What the verdict says is not in the form of an admission verdict.")
    return _Verdict(predicate, subjects)


def _demand(holds: bool) -> None:
    if not holds:
        raise TypeError


def _json(data: bytes, what: str) -> Any:
    """JSON in which no member stands twice: readers that take the first and readers that take the last must agree."""
    try:
        return json.loads(data, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refused(f"{what} cannot be read: it is no JSON, or it is cut off or changed.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(text)


def _object(value: Any, members: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != members:
        raise Refused(f"{what} is not in the form of an admission verdict.")
    return value


# --- holding it against what lies here ---


def _check_time(verdict: _Verdict, at: datetime.datetime) -> None:
    begins, ends = (parse_time(verdict.predicate[name]) for name in ("evaluated_at", "expires_at"))
    if at >= ends:
        raise Refused(f"The verdict ended at {ends:%Y-%m-%d %H:%M:%S} UTC; ask for a new one.")
    if at < begins - CLOCKS_DIFFER:
        raise Refused(
            f"The verdict is of {begins:%Y-%m-%d %H:%M:%S} UTC: the clock here is behind, or the server's is ahead."
        )


def _check_asked(verdict: _Verdict, wanted: Wanted) -> None:
    asked = verdict.predicate["asked"]
    if asked["alias"] != wanted.alias:
        raise Refused(f"The verdict is for {_alias(asked['alias'])}, not for {_alias(wanted.alias)}.")
    if wanted.target not in (asked["target"], asked["target_meant"] or asked["target"]):
        raise Refused(f"The verdict is for {_target(asked['target'])}, not for {_target(wanted.target)}.")
    if wanted.model is not None and verdict.predicate["model"] != wanted.model:
        raise Refused(f"The verdict is about {verdict.predicate['model']}, not about {wanted.model}.")
    if wanted.served and verdict.predicate["standing"] == "approved":
        raise Refused("The version is approved, but no alias serves it.")
    if wanted.nonce is not None and asked["nonce"] != wanted.nonce:
        raise Refused("The verdict is not the answer to what was asked just now.")


def _alias(name: str | None) -> str:
    return "any alias" if name is None else f"the alias '{name}'"


def _target(name: str | None) -> str:
    return "no particular target" if name is None else f"the target '{name}'"


def _check_files(verdict: _Verdict, wanted: Wanted) -> str:
    """The name of the version, when what lies here is exactly what it holds."""
    model = str(verdict.predicate["model"])
    names = [n for n in verdict.subjects if n.startswith(f"{model}@") and n[len(model) + 1 :].isdigit()]
    if len(names) != 1:
        raise Refused("The verdict does not name exactly one version.")
    name = names[0]
    digest = verdict.subjects[name]
    others = {subject: found for subject, found in verdict.subjects.items() if subject != name}
    if not others or not all(subject.startswith(f"{name}/") for subject in others):
        raise Refused("The verdict names files that are not of its version.")
    held = {subject.removeprefix(f"{name}/"): found for subject, found in others.items()}
    if wanted.digest not in (None, digest):
        raise Refused(f"The verdict is about {digest}, not about {wanted.digest}.")
    if wanted.manifest not in (None, digest):
        raise Refused(f"The manifest that lies here is not that of {name}.")
    _compare(held, wanted.files, name)
    return name


def _compare(held: Mapping[str, str], here: Mapping[str, str], name: str) -> None:
    if set(here) == {ALONE} and len(held) == 1:
        held = {ALONE: next(iter(held.values()))}
    differ = sorted(path for path in held.keys() & here.keys() if held[path] != here[path])
    found = {
        "differs": differ,
        "is missing": sorted(held.keys() - here.keys()),
        f"is no file of {name}": sorted(here.keys() - held.keys()),
    }
    said = [f"{_listed(paths)} {what}" for what, paths in found.items() if paths]
    if said:
        raise Refused(f"What lies here is not {name}: {'; '.join(said)}.")


def _listed(paths: Sequence[str]) -> str:
    named = ", ".join(path or "the file" for path in paths[:_NAMED])
    more = len(paths) - _NAMED
    return f"{named} and {more} more" if more > 0 else named
