"""FILES: manifest, documents, texts, reports and what the statements speak of ("What FILES asks" of the page)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from . import forms
from .entries import Entry
from .findings import FILES, Findings
from .forms import Unreadable, listed, literally, shaped

UNLISTED = ("manifest.json", "manifest.sig", "manifest.json.sig")
MUST = (
    *UNLISTED,
    "VERIFY.md",
    "verify.py",
    "not_included.json",
    "texts.json",
    *(f"keys/{name}" for name in ("log.key", "issuer.key", "log.pem", "issuer.pem", "allowed_signers")),
    *(f"log/{name}" for name in ("entries.jsonl", "proofs.json", "checkpoint", "consistency.json")),
)
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_MANIFEST = shaped(
    bundle=forms.uuid,
    files=listed(shaped(digest=forms.digest, path=forms.path, size_bytes=forms.count)),
    origin=forms.text,
    root=forms.digest,
    scope=forms.digest,
    tree_size=forms.integer_from(1),
    type=literally("pressmark/bundle/1"),
)
_TEXTS = shaped(
    texts=listed(shaped(commitment=forms.digest, id=forms.uuid, salt=forms.text, value=forms.text)),
    type=literally("pressmark/texts/1"),
)
_NOT_INCLUDED = shaped(
    documents=listed(shaped(digest=forms.digest, name=forms.text, reason=forms.text, size_bytes=forms.count)),
    type=literally("pressmark/not_included/1"),
)

Files = Mapping[str, bytes]


def digest_of(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def _read(data: bytes, shape: forms.Form) -> Any:
    value = forms.read_canonical(data)
    if not shape(value):
        raise Unreadable("of another shape")
    return value


def read_manifest(files: Files, findings: Findings) -> dict[str, Any] | None:
    """The manifest, checked against what is there; None where it cannot be read."""
    for name in MUST:
        findings.demand(name in files, FILES, f"{name} is missing")
    if "manifest.json" not in files:
        return None
    with findings.readable(FILES, "manifest.json"):
        manifest: dict[str, Any] = _read(files["manifest.json"], _MANIFEST)
        rows = manifest["files"]
        names = [row["path"] for row in rows]
        if not forms.rising([name.encode() for name in names]) or len({n.lower() for n in names}) != len(names):
            findings.no(FILES, "manifest.json: its paths are not in order, or one is there twice")
        for name in {*names} ^ (files.keys() - set(UNLISTED)):
            findings.no(FILES, f"{name} is listed and absent, or there and not listed")
        for row in rows:
            data = files.get(row["path"], b"")
            if row["path"] in files and (len(data), digest_of(data)) != (row["size_bytes"], row["digest"]):
                findings.no(FILES, f"{row['path']} has another size or digest than the manifest says")
        return manifest
    return None


_REPORTS = ("report.json", "report.pdf")


@dataclass(frozen=True)
class About:
    """What the bundle is about, as far as it is known: the id of one version, and its digests."""

    version: str | None
    of_version: frozenset[int]
    digests: frozenset[str]
    subject: str | None = None


def about_of(version: str | None, entries: Iterable[Entry], subject: str | None = None) -> About:
    found = [
        (entry.position, record["row"].get("digest"))
        for entry in entries
        for record in entry.records("catalog.version")
        if record["id"] == version
    ]
    digests = frozenset(digest for _, digest in found if isinstance(digest, str))
    return About(version, frozenset(position for position, _ in found), digests, subject)


def _left_out(files: Files, entries: list[Entry], about: About, findings: Findings) -> set[str]:
    left_out: set[str] = set()
    with findings.readable(FILES, "not_included.json"):
        rows = _read(files["not_included.json"], _NOT_INCLUDED)["documents"]
        if not forms.rising([row["digest"] for row in rows]):
            findings.no(FILES, "not_included.json: not in order, or one digest twice")
        referred = {(r["digest"], r["name"], r["size_bytes"]) for entry in entries for r in entry.refs()}
        own = {ref["digest"] for entry in entries if entry.position in about.of_version for ref in entry.refs()}
        attached = _attached_elsewhere(entries)
        for row in rows:
            digest, reason, size = row["digest"], row["reason"], row["size_bytes"]
            left_out.add(digest)
            allowed = {
                "purged": True,
                "too_large": size > MAX_DOCUMENT_BYTES,
                "withheld": digest in attached or (about.version is not None and digest not in own),
            }
            findings.demand(allowed.get(reason, False), FILES, f"{digest} may not be left out as {reason!r}")
            findings.demand((digest, row["name"], size) in referred, FILES, f"no entry refers so to {digest}")
            findings.demand(
                f"documents/{digest[7:]}" not in files, FILES, f"{digest} is said to be left out, and is there"
            )
    return left_out


def _attached_elsewhere(entries: list[Entry]) -> set[str]:
    """Digests that only entries about attached files and profiles of data, outside of streams of models, refer to."""
    kinds = ("document.attached", "profile.finished", "profile.failed")
    named = [(e.kind in kinds and not e.stream.startswith("model:"), e.refs()) for e in entries]
    files = {ref["digest"] for is_file, refs in named if is_file for ref in refs}
    return files - {ref["digest"] for is_file, refs in named if not is_file for ref in refs}


def _check_documents(files: Files, entries: list[Entry], about: About, findings: Findings) -> None:
    left_out = _left_out(files, entries, about, findings) if "not_included.json" in files else set()
    for name, data in files.items():
        if name.startswith("documents/") and name != f"documents/{sha256(data).hexdigest()}":
            findings.no(FILES, f"{name} is not named by the SHA-256 of its bytes")
    for entry in entries:
        for ref in entry.refs():
            document = files.get(f"documents/{ref['digest'][7:]}")
            if document is None:
                findings.demand(
                    ref["digest"] in left_out, FILES, f"position {entry.position}: {ref['digest']} is missing"
                )
            elif len(document) != ref["size_bytes"]:
                findings.no(FILES, f"position {entry.position}: {ref['digest']} has another size")


def _check_texts(files: Files, entries: list[Entry], findings: Findings) -> None:
    sealed = {
        (record["id"], record["row"].get("commitment"))
        for entry in entries
        for record in entry.records("access.text")
        if isinstance(record["row"].get("commitment"), str)
    }
    with findings.readable(FILES, "texts.json"):
        rows = _read(files["texts.json"], _TEXTS)["texts"]
        if not forms.rising([row["id"] for row in rows]):
            findings.no(FILES, "texts.json: not in order, or one id twice")
        for row in rows:
            salt = forms.read_base64(row["salt"], 32)
            opened = digest_of(b"pressmark/commit/1\0" + salt + row["value"].encode())
            findings.demand(opened == row["commitment"], FILES, f"text {row['id']} does not open its commitment")
            findings.demand((row["id"], row["commitment"]) in sealed, FILES, f"no entry commits to text {row['id']}")


def _seals(entry: Entry, files: Files) -> bool:
    """Whether an entry issued the report in every form that is there."""
    there = {name: name.replace(".", "_") for name in _REPORTS if name in files}
    return entry.kind == "report.issued" and all(
        digest_of(files[name]) in {ref["digest"] for ref in entry.refs(ref_name)} for name, ref_name in there.items()
    )


def _check_reports(files: Files, entries: list[Entry], about: About, findings: Findings) -> None:
    if not any(name in files for name in _REPORTS):
        return
    issued = [entry for entry in entries if _seals(entry, files)]
    findings.demand(bool(issued), FILES, "no entry says that this report was issued")
    if about.subject not in (None, "instance"):
        own = [r["id"] for e in entries if e.stream == about.subject for r in e.records("audit.assessment")]
        named = [r["row"].get("assessment_id") for e in issued for r in e.records("audit.report")]
        findings.demand(any(key in own for key in named), FILES, "the report is about something else")


def read_envelope(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A DSSE envelope and its payload."""
    envelope = forms.read_json(data)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("payload"), str):
        raise Unreadable("no envelope with a payload")
    return envelope, forms.read_base64(envelope["payload"])


def _subjects(payload: bytes) -> list[str]:
    statement = forms.read_json(payload)
    if not isinstance(statement, dict) or statement.get("_type") != _STATEMENT_TYPE:
        raise Unreadable("no in-toto statement")
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or not subjects:
        raise Unreadable("a statement about nothing")
    found = []
    for subject in subjects:
        digests = subject.get("digest") if isinstance(subject, dict) else None
        value = digests.get("sha256") if isinstance(digests, dict) else None
        if not isinstance(value, str):
            raise Unreadable("a subject without sha256")
        found.append(f"sha256:{value}")
    return found


def _check_statements(files: Files, entries: list[Entry], about: About, findings: Findings) -> None:
    known = {ref["digest"] for entry in entries for ref in entry.refs()}
    for entry in entries:
        for record in entry.records():
            known |= {value for value in record["row"].values() if isinstance(value, str)}
    for name in files:
        if name.startswith("statements/"):
            with findings.readable(FILES, name):
                subjects = _subjects(read_envelope(files[name])[1])
                findings.demand(known.issuperset(subjects), FILES, f"{name} speaks of what no entry knows")
                if about.version is not None:
                    findings.demand(not about.digests.isdisjoint(subjects), FILES, f"{name} is not about the version")


def check_contents(files: Files, entries: list[Entry], about: About, findings: Findings) -> None:
    """What FILES asks beyond the manifest; needs the entries."""
    if not entries:
        return findings.open(FILES, "there is no readable entry to hold documents, texts and reports against")
    _check_documents(files, entries, about, findings)
    if "texts.json" in files:
        _check_texts(files, entries, findings)
    _check_reports(files, entries, about, findings)
    return _check_statements(files, entries, about, findings)
