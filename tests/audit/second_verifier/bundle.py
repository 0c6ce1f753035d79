"""One bundle from the zip to the four answers: each part is read once, then judged in the order of the page."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .archive import begins_like_a_receipt, read_zip
from .bundle_files import About, about_of, check_contents, read_envelope, read_manifest
from .bundle_log import (
    Issued,
    Scope,
    check_checkpoint,
    check_scope,
    find_issued,
    read_entries,
    read_inside_roots,
    read_scope,
)
from .call import Call
from .entries import Entry
from .eras import Era, Eras, eras_of_bundle, judge_key
from .findings import ANSWERS, FILES, SIGNATURE, STREAMS, Findings, WrongCall
from .forms import Unreadable, read_base64
from .keys import Key, ed25519_holds, sshsig_holds
from .notes import Checkpoint
from .outside import Shown, judge_outside
from .receipts import judge_receipt

_KEYS_NOTE = re.compile(r"keys/keys-(0|[1-9][0-9]{0,15})\.note")
_PAYLOAD_TYPE = "application/vnd.in-toto+json"


def _check_key_files(files: Mapping[str, bytes], eras: Eras, findings: Findings) -> None:
    log, issuer = eras.last.log, eras.last.issuer
    wanted = {
        "keys/log.key": f"{log.line}\n".encode(),
        "keys/issuer.key": f"{issuer.line}\n".encode(),
        "keys/log.pem": log.pem,
        "keys/issuer.pem": issuer.pem,
        "keys/allowed_signers": issuer.allowed_signers,
    }
    for name, data in wanted.items():
        findings.demand(files.get(name) == data, SIGNATURE, f"{name} is not of the keys of the last era")
    begun = {f"keys/keys-{era.first}.note" for era in eras.listed}
    for name in files:
        if _KEYS_NOTE.fullmatch(name) and name not in begun:
            findings.no(SIGNATURE, f"{name}: no era begins there")


def _statement_signed(data: bytes, issuer: Key) -> bool:
    envelope, payload = read_envelope(data)
    signatures = envelope.get("signatures")
    if envelope.get("payloadType") != _PAYLOAD_TYPE or not isinstance(signatures, list):
        return False
    if not all(isinstance(signature, dict) for signature in signatures):
        return False
    kind = _PAYLOAD_TYPE.encode()
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    mine = [s.get("sig") for s in signatures if s.get("keyid") == issuer.short]
    held = [isinstance(sig, str) and ed25519_holds(issuer.raw, read_base64(sig), message) for sig in mine]
    return bool(held) and all(held)


def _check_signatures(files: Mapping[str, bytes], era: Era, checkpoint: Checkpoint | None, findings: Findings) -> None:
    manifest = files.get("manifest.json", b"")
    raw, armored = files.get("manifest.sig", b""), files.get("manifest.json.sig", b"")
    findings.demand(ed25519_holds(era.issuer.raw, raw, manifest), SIGNATURE, "manifest.sig does not hold")
    findings.demand(sshsig_holds(era.issuer, armored, manifest), SIGNATURE, "manifest.json.sig does not hold")
    if checkpoint is None:
        findings.open(SIGNATURE, "log/checkpoint could not be read")
    else:
        signed = checkpoint.note.signed_first_by(era.log)
        findings.demand(signed, SIGNATURE, "log/checkpoint is not signed by the log key in its first line")
    for name in files:
        if name.startswith("statements/"):
            with findings.readable(SIGNATURE, name):
                findings.demand(_statement_signed(files[name], era.issuer), SIGNATURE, f"{name} is not signed")


def _judge_from_outside(
    call: Call, shown: Shown, inside: Checkpoint, entries: list[Entry], scope: Scope | None, findings: Findings
) -> None:
    judge_outside(shown, inside, call.checkpoint, call.witnesses, findings)
    size, streams = (scope.size, set(scope.ends)) if scope else (0, set())
    by_position = {entry.position: entry for entry in entries}
    for name, given in call.receipts:
        judge_receipt(shown, given, by_position, size, streams).put(findings, f"receipt {name}")


def _check_scope(
    files: Mapping[str, bytes], manifest: dict[str, Any] | None, entries: list[Entry], inside: Any, findings: Findings
) -> tuple[Issued | None, Scope | None]:
    if manifest is None:
        findings.open(STREAMS, "without a manifest it is not known which scope was sealed")
        return None, None
    issued, scope = find_issued(manifest, entries, findings), read_scope(files, manifest, findings)
    if issued is not None and scope is not None:
        check_scope(scope, issued, inside, entries, findings)
    return issued, scope


def _about(issued: Issued | None, entries: list[Entry]) -> About:
    return about_of(None, entries) if issued is None else about_of(issued.version, entries, issued.subject)


def verify_bundle(path: Path, call: Call) -> Findings:
    findings = Findings()
    try:
        files = read_zip(path)
    except Unreadable as error:
        if begins_like_a_receipt(path):
            raise WrongCall(f"{path} is a receipt that was packed") from error
        findings.no(FILES, str(error))
        for answer in ANSWERS[1:]:
            findings.open(answer, "the zip could not be read")
        return findings
    manifest = read_manifest(files, findings)
    checkpoint = check_checkpoint(files, manifest, findings)
    if checkpoint is None:
        for answer in ANSWERS:
            findings.open(answer, "log/checkpoint could not be read")
        return findings
    entries = read_entries(files, checkpoint, findings)
    inside = read_inside_roots(files, checkpoint, findings)
    issued, scope = _check_scope(files, manifest, entries, inside, findings)
    check_contents(files, entries, _about(issued, entries), findings)
    eras = eras_of_bundle(entries, files, findings)
    judge_key(eras, call.keys, findings)
    if issued is not None and call.not_before is not None and issued.entry.at < call.not_before:
        findings.no(STREAMS, f"sealed at {issued.entry.at}, before {call.not_before}")
    if not eras.whole:
        findings.open(SIGNATURE, "the last era is not known")
        findings.open(STREAMS, "the last era is not known, so nothing from outside can be judged")
        return findings
    findings.demand(
        checkpoint.origin == eras.last.origin, STREAMS, "log/checkpoint is of another origin than the last era"
    )
    _check_key_files(files, eras, findings)
    _check_signatures(files, eras.last, checkpoint, findings)
    shown = Shown(eras, checkpoint.size, checkpoint.root, inside, call.keys, call.proof)
    _judge_from_outside(call, shown, checkpoint, entries, scope, findings)
    return findings
