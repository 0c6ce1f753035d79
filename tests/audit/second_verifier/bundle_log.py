"""STREAMS: entries and their proofs, the bundle.issued entry, the scope, whole streams and the subject ("Entries" of the page)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from . import forms
from .bundle_files import digest_of
from .entries import Entry, check_era_kinds, check_order, check_units, read_entry
from .findings import STREAMS, Findings
from .forms import Unreadable, listed, literally, shaped
from .notes import Checkpoint, read_checkpoint
from .outside import OldRoot, read_consistency
from .tree import included

MAX_PROOFS_IN_FILE = 8_000
_PROOFS = shaped(
    proofs=listed(shaped(path=forms.hash_path, position=forms.count)),
    size=forms.integer_from(1),
    type=literally("pressmark/proofs/1"),
)
_SCOPE = shaped(
    ends=listed(shaped(last_seq=forms.integer_from(1), stream=forms.stream)),
    size=forms.integer_from(1),
    type=literally("pressmark/scope/1"),
)
_SOURCES = ("dataset", "licence", "recipe", "policy", "use_case")
_DATASET_VERSIONS = ("dataset_version_id", "calibration_id", "evaluation_id", "out_of_distribution_id")


@dataclass(frozen=True)
class Scope:
    size: int
    ends: Mapping[str, int]


@dataclass(frozen=True)
class Issued:
    """The bundle.issued entry: when it was sealed, and about what."""

    entry: Entry
    subject: str
    version: str | None


def check_checkpoint(
    files: Mapping[str, bytes], manifest: dict[str, Any] | None, findings: Findings
) -> Checkpoint | None:
    if "log/checkpoint" not in files:
        return None
    with findings.readable(STREAMS, "log/checkpoint"):
        found = read_checkpoint(files["log/checkpoint"])
        if manifest is not None:
            said = (manifest["origin"], manifest["tree_size"], manifest["root"])
            shown = (found.origin, found.size, f"sha256:{found.root.hex()}")
            findings.demand(
                said == shown, STREAMS, "the manifest names another origin, size or root than log/checkpoint"
            )
        return found
    return None


def _proofs(files: Mapping[str, bytes], size: int, findings: Findings) -> list[tuple[int, list[bytes]]]:
    found: list[tuple[int, list[bytes]]] = []
    for n in count(1):
        name = "log/proofs.json" if n == 1 else f"log/proofs-{n}.json"
        if name not in files:
            break
        with findings.readable(STREAMS, name):
            value = forms.read_canonical(files[name])
            if not _PROOFS(value) or value["size"] != size or len(value["proofs"]) > MAX_PROOFS_IN_FILE:
                raise Unreadable("of another shape or size, or more proofs than a file holds")
            found += [(proof["position"], [bytes.fromhex(h) for h in proof["path"]]) for proof in value["proofs"]]
    if not forms.rising([position for position, _ in found]):
        findings.no(STREAMS, "the positions of the proofs do not ascend")
    return found


def read_entries(files: Mapping[str, bytes], checkpoint: Checkpoint, findings: Findings) -> list[Entry]:
    """The entries that are of their form and included at their positions."""
    data = files.get("log/entries.jsonl", b"")
    *lines, rest = data.split(b"\n")
    findings.demand(not rest, STREAMS, "the last line of log/entries.jsonl does not end")
    proofs = _proofs(files, checkpoint.size, findings)
    findings.demand(len(lines) == len(proofs), STREAMS, f"{len(lines)} entries and {len(proofs)} proofs")
    entries = []
    for line, (position, path) in zip(lines, proofs, strict=False):
        with findings.readable(STREAMS, f"the entry at position {position}"):
            entry = read_entry(position, line)
            if not included(entry.leaf, position, checkpoint.size, path, checkpoint.root):
                raise Unreadable("its proof does not hold")
            entries.append(entry)
    check_era_kinds(entries, findings)
    check_order(entries, findings)
    check_units(entries, findings)
    return entries


def read_inside_roots(files: Mapping[str, bytes], checkpoint: Checkpoint, findings: Findings) -> Mapping[int, OldRoot]:
    """The older roots that log/consistency.json proves; each of its proofs must hold."""
    with findings.readable(STREAMS, "log/consistency.json"):
        found = read_consistency(files.get("log/consistency.json", b""))
        if found.size != checkpoint.size:
            raise Unreadable(f"it leads to size {found.size}, the checkpoint is of {checkpoint.size}")
        found.must_hold(checkpoint.root)
        return found.proofs
    return {}


def find_issued(manifest: dict[str, Any], entries: list[Entry], findings: Findings) -> Issued | None:
    for entry in entries:
        scopes = entry.refs("scope")
        records = [r for r in entry.records("audit.bundle") if r["id"] == manifest["bundle"]]
        if entry.kind != "bundle.issued" or len(scopes) != 1 or scopes[0]["digest"] != manifest["scope"] or not records:
            continue
        row = records[0]["row"]
        subject, version = row.get("subject"), row.get("version_id", "")
        whole = forms.stream(subject) and forms.nullable(forms.uuid)(version)
        if entry.stream != "instance" or row.get("scope_digest") != manifest["scope"] or not whole:
            findings.no(STREAMS, f"position {entry.position}: the bundle.issued entry does not say what it must")
            return None
        findings.notes.append(f"sealed at {entry.at}")
        return Issued(entry, subject, version)
    findings.no(STREAMS, "no bundle.issued entry seals this bundle and scope")
    return None


def read_scope(files: Mapping[str, bytes], manifest: dict[str, Any], findings: Findings) -> Scope | None:
    data = files.get(f"documents/{manifest['scope'][7:]}")
    if data is None or digest_of(data) != manifest["scope"]:
        findings.no(STREAMS, "the scope document is not there")
        return None
    with findings.readable(STREAMS, "the scope"):
        value = forms.read_canonical(data)
        if not _SCOPE(value) or not value["ends"] or not forms.rising([end["stream"] for end in value["ends"]]):
            raise Unreadable("of another shape, or its streams are not in order")
        return Scope(value["size"], {end["stream"]: end["last_seq"] for end in value["ends"]})
    return None


def check_scope(
    scope: Scope, issued: Issued, inside: Mapping[int, OldRoot], entries: list[Entry], findings: Findings
) -> None:
    findings.demand(scope.size <= issued.entry.position, STREAMS, "the scope reaches past its own bundle.issued entry")
    findings.demand(scope.size in inside, STREAMS, "log/consistency.json has no proof from the size of the scope")
    below = [entry for entry in entries if entry.position < scope.size]
    for name, last in scope.ends.items():
        numbers = [entry.seq for entry in below if entry.stream == name]
        findings.demand(_runs(numbers, 1, last), STREAMS, f"{name} is not whole up to number {last}")
    _check_subject(scope, issued, below, findings)


def _runs(numbers: list[int], first: int, length: int) -> bool:
    return len(numbers) == length and numbers == list(range(first, first + length))


def _check_subject(scope: Scope, issued: Issued, below: list[Entry], findings: Findings) -> None:
    subject, version = issued.subject, issued.version
    if subject == "instance":
        positions = [entry.position for entry in below]
        findings.demand(version is None, STREAMS, "a version of the whole instance")
        findings.demand(_runs(positions, 0, scope.size), STREAMS, "entries of the instance are left out")
        for name in {entry.stream for entry in below} - scope.ends.keys():
            findings.no(STREAMS, f"the scope does not name {name}")
        return
    findings.demand(subject in scope.ends, STREAMS, f"the scope does not name its subject {subject}")
    is_model = subject.startswith("model:")
    wanting = _not_closed(scope, below) if is_model else []
    if not is_model:
        findings.demand(version is None, STREAMS, f"a version of {subject}")
    elif version is None:
        for what in wanting:
            findings.no(STREAMS, f"the scope is not closed: it lacks {what}")
    else:
        own = [e for e in below if e.stream == subject and version in [r["id"] for r in e.records("catalog.version")]]
        findings.demand(bool(own), STREAMS, f"{subject} has no version {version}")
        findings.notes.extend(f"the scope lacks {what}" for what in wanting)


def _not_closed(scope: Scope, below: list[Entry]) -> list[str]:
    rows = [r["row"] for entry in below if entry.stream in scope.ends for r in entry.records()]
    held = {r["id"] for e in below if e.stream in scope.ends for r in e.records("provenance.dataset_version")}
    wanting = set()
    for row in rows:
        streams = [f"{noun}:{row[column]}" for noun in _SOURCES if row.get(column := f"{noun}_id") is not None]
        wanting |= {name for name in streams if name not in scope.ends}
        versions = [row[column] for column in _DATASET_VERSIONS if row.get(column) is not None]
        wanting |= {f"dataset version {version}" for version in versions if version not in held}
    runs = [r["row"] for e in below if e.stream in scope.ends for r in e.records("compression.run")]
    baselines = [row[name] for row in runs for name in ("baseline_id", "training_id") if row.get(name) is not None]
    return sorted(wanting | {f"dataset version {version}" for version in baselines if version not in held})
