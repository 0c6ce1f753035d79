"""Build the archive that a stranger can check offline, `pressmark-bundle/1`: docs/bundle-format.md is the contract.

Rules:
- nothing is built before a checkpoint covers the `bundle.issued` entry; the first one past it is taken, so that the same bundle
  gives the same bytes (a text that was erased, or bytes that were purged since, are the only exceptions: erasure wins);
- what goes in is what the sealed scope says: whole streams, entry 0, the entry that issued the bundle, and that of its report;
- every document that an included entry refers to is in, or named as left out with the reason; one that is lost stops the build;
- texts are opened that people of the model's own team wrote; those of other teams stay commitments;
- consistency proofs lead from the scope's size, from the recipient's checkpoint, from each month's last and from the newest ones.
"""

from __future__ import annotations

import base64
import os
import tempfile
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from audit import checkpoints, dsse, entries, merkle, notes, offline_verify, queries, snapshots, sshsig
from audit.exports.statements import statements
from audit.facts.case import Case
from audit.keys import issuer_signer
from audit.models import Bundle, Checkpoint, Entry, Report
from audit.reports.tables import to_csv
from audit.signing import Signer
from audit.snapshots import Snapshot
from audit.verify_text import verify_page
from registry import storage
from registry.access.models import Text
from registry.catalog.models import RegisteredModel
from registry.digests import JSON, canonical, hex_of, parse_canonical, sha256, time_text
from registry.errors import BytesDiffer, Conflict, Unavailable
from registry.oversight.queries import team_of_stream
from registry.storage import sync_folder

TYPE = "pressmark/bundle/1"
PROOFS_PER_FILE = 8_000
DOCUMENT_LIMIT_BYTES = 16 * 1024 * 1024
NEWEST_CHECKPOINTS = 64
Files = dict[str, bytes]


def build(bundle: Bundle, target: Path) -> Path:
    """Write the zip of an issued bundle to `target`; Unavailable ("pending") until a checkpoint covers its entry."""
    pack(files_of(bundle), target)
    return target


def files_of(bundle: Bundle) -> Files:
    """Every file of the bundle by path, sealed."""
    issued = queries.entry_of(bundle)
    checkpoint = queries.covering_checkpoint(issued.position)
    snapshot = _snapshot(bundle)
    report = _report(bundle, issued.position)
    positions = {0, issued.position, *snapshot.positions}
    if report is not None:
        positions.add(queries.entry_of(report).position)
    included = _entries(sorted(positions))
    parsed = [entries.parse(data) for data in included.values()]
    signer = issuer_signer()
    keys_note, keys = _keys(parsed[0], signer)
    documents, left_out = _documents(parsed)
    model = RegisteredModel.objects.select_related("team").get(pk=uuid.UUID(snapshot.model_id))
    files = {
        **documents,
        **_key_files(keys, keys_note),
        **_log(included, checkpoint, _old_sizes(bundle, snapshot.size, checkpoint.size, parsed)),
        **_statements(snapshot, signer, model=f"{model.team.slug}/{model.slug}", origin=keys.origin),
        **_report_files(report),
        "VERIFY.md": verify_page(
            bundle=str(bundle.pk), origin=keys.origin, subject=f"{model.team.slug}/{model.slug}",
            log_key_id=keys.log.key_id_hex, issuer_key_id=keys.issuer.key_id_hex, issuer_name=keys.issuer.name,
        ),
        "not_included.json": canonical({"documents": left_out, "type": "pressmark/not_included/1"}),
        "texts.json": canonical({"texts": _texts(parsed, model), "type": "pressmark/texts/1"}),
        "verify.py": Path(offline_verify.__file__).read_bytes(),
    }  # fmt: skip
    return _sealed(files, bundle, checkpoint, keys.origin, signer)


# --- what goes in ---


def _snapshot(bundle: Bundle) -> Snapshot:
    """The snapshot over the sealed scope; Conflict when the ledger no longer has the ends that were sealed."""
    scope = parse_canonical(storage.read_bytes(bundle.scope_digest))
    assert isinstance(scope, dict)
    size = int(str(scope["size"]))
    key = uuid.UUID(bundle.subject.partition(":")[2])
    snapshot = snapshots.take_at(key, size, time_text(bundle.issued_at))
    if sha256(snapshot.scope_document()) != bundle.scope_digest:
        raise Conflict(
            "The ledger no longer has the streams that this bundle sealed.",
            hint="Run `pressmark verify-ledger`: entries are missing or were changed.",
            code="scope-differs",
        )
    return snapshot


def _entries(positions: list[int]) -> dict[int, bytes]:
    rows = Entry.objects.filter(position__in=positions).order_by("position").values_list("position", "entry")
    return {position: bytes(data) for position, data in rows}


def _report(bundle: Bundle, position: int) -> Report | None:
    """The newest report about the model that was issued before the bundle."""
    rows = Report.objects.filter(assessment__stream=bundle.subject, issued_at__lte=bundle.issued_at).order_by("-id")
    return next((row for row in rows if queries.entry_of(row).position < position), None)


def _report_files(report: Report | None) -> Files:
    if report is None:
        return {}
    data = storage.read_bytes(report.json_digest)
    document = parse_canonical(data)
    assert isinstance(document, dict)
    pdf = storage.read_bytes(report.pdf_digest, limit_bytes=4 * DOCUMENT_LIMIT_BYTES)
    return {"report.csv": to_csv(document), "report.json": data, "report.pdf": pdf}


def _keys(first: entries.ParsedEntry, signer: Signer) -> tuple[bytes, notes.KeysNote]:
    digest = next(str(ref["digest"]) for ref in first.event["refs"] if ref["name"] == "keys")
    note = storage.read_bytes(digest)
    keys = notes.open_keys(note)
    if keys.issuer.key_line != signer.key_line:
        raise Unavailable(
            "The issuer key of this installation is not the one that entry 0 names.",
            hint="Restore the issuer key from its backup.",
        )
    return note, keys


def _key_files(keys: notes.KeysNote, note: bytes) -> Files:
    return {
        "keys/allowed_signers": sshsig.allowed_signers_line(keys.issuer).encode(),
        "keys/issuer.key": f"{keys.issuer.key_line}\n".encode(),
        "keys/issuer.pem": keys.issuer.pem.encode(),
        "keys/keys-0.note": note,
        "keys/log.key": f"{keys.log.key_line}\n".encode(),
        "keys/log.pem": keys.log.pem.encode(),
    }


def _documents(parsed: Iterable[entries.ParsedEntry]) -> tuple[Files, list[JSON]]:
    """Every document that the entries refer to, and what is left out with its reason."""
    refs = {str(ref["digest"]): ref for entry in parsed for ref in entry.event["refs"]}
    files: Files = {}
    left_out: list[JSON] = []
    for digest, ref in sorted(refs.items()):
        reason = None
        if int(ref["size_bytes"]) > DOCUMENT_LIMIT_BYTES:
            reason = "too_large"
        elif not storage.is_stored(digest) and entries.is_purged(digest):
            reason = "purged"
        if reason is None:
            files[f"documents/{hex_of(digest)}"] = _document(digest, str(ref["name"]))
        else:
            size_bytes = int(ref["size_bytes"])
            left_out.append({"digest": digest, "name": str(ref["name"]), "reason": reason, "size_bytes": size_bytes})
    return files, left_out


def _document(digest: str, name: str) -> bytes:
    if not storage.is_stored(digest):
        raise BytesDiffer(
            f"The document {name} ({digest}) is lost, though an entry refers to it.",
            hint="Restore it from a backup; a bundle without it would not verify.",
        )
    return storage.read_bytes(digest, limit_bytes=DOCUMENT_LIMIT_BYTES)


def _texts(parsed: Iterable[entries.ParsedEntry], model: RegisteredModel) -> list[JSON]:
    """The texts of the included entries that were not erased, each with the salt that opens its commitment.

    What people of another team wrote about data or recipes that the model was made with stays closed: who reads the model need not
    be one of their readers, and a salt that left the building cannot be called back.
    """
    keys = {r["id"] for entry in parsed for r in entry.event["records"] if r["type"].startswith("access.text/")}
    rows = Text.objects.filter(pk__in=[uuid.UUID(key) for key in keys], value__isnull=False, salt__isnull=False)
    found: list[JSON] = []
    foreign = {stream for stream in {row.stream for row in rows} if _is_foreign(stream, model)}
    for row in sorted(rows, key=lambda r: str(r.pk)):
        if row.stream in foreign:
            continue
        salt = base64.b64encode(bytes(row.salt or b"")).decode()
        found.append({"commitment": row.commitment, "id": str(row.pk), "salt": salt, "value": row.value})
    return found


def _is_foreign(stream: str, model: RegisteredModel) -> bool:
    return stream.partition(":")[0] in {"dataset", "recipe", "use_case"} and team_of_stream(stream) != model.team_id


def _statements(snapshot: Snapshot, signer: Signer, *, model: str, origin: str) -> Files:
    case = Case(snapshot)
    return {
        f"statements/{name}.dsse.json": dsse.sign_envelope(signer, payload)
        for name, payload in statements(case, model=model, origin=origin)
    }


# --- the log ---


def _log(included: Mapping[int, bytes], checkpoint: Checkpoint, old_sizes: list[int]) -> Files:
    tree = checkpoints.tree(checkpoint.size)
    files = {
        "log/checkpoint": checkpoint.note.encode(),
        "log/consistency.json": canonical(queries.consistency_document(tree, old_sizes, checkpoint.size)),
        "log/entries.jsonl": b"".join(data + b"\n" for data in included.values()),
    }
    positions = list(included)
    for number, start in enumerate(range(0, len(positions), PROOFS_PER_FILE), 1):
        path = "log/proofs.json" if number == 1 else f"log/proofs-{number}.json"
        files[path] = _proofs(tree, positions[start : start + PROOFS_PER_FILE])
    return files


def _proofs(tree: merkle.TileTree, positions: list[int]) -> bytes:
    rows = [
        {"path": [item.hex() for item in tree.inclusion_path(position)], "position": position} for position in positions
    ]
    return canonical({"proofs": rows, "size": tree.size, "type": "pressmark/proofs/1"})


def _old_sizes(bundle: Bundle, scope_size: int, tree_size: int, parsed: Iterable[entries.ParsedEntry]) -> list[int]:
    signed = list(Checkpoint.objects.filter(size__lt=tree_size).order_by("size").values_list("size", "signed_at"))
    last_of_month = {(at.year, at.month): size for size, at in signed}
    sizes = {scope_size, *last_of_month.values(), *(size for size, _ in signed[::-1][:NEWEST_CHECKPOINTS])}
    known = _known_size(bundle, parsed)
    if known is not None:
        sizes.add(known)
    return sorted(size for size in sizes if 1 <= size < tree_size)


def _known_size(bundle: Bundle, parsed: Iterable[entries.ParsedEntry]) -> int | None:
    """The size of the checkpoint that the recipient handed in when the bundle was issued."""
    for entry in parsed:
        if entry.event["kind"] != "bundle.issued" or entry.event["records"][0]["id"] != str(bundle.pk):
            continue
        for ref in entry.event["refs"]:
            if ref["name"] == "checkpoint":
                return notes.parse_checkpoint_body(notes.parse_note(storage.read_bytes(str(ref["digest"]))).text).size
    return None


# --- manifest and zip ---


def _sealed(files: Files, bundle: Bundle, checkpoint: Checkpoint, origin: str, signer: Signer) -> Files:
    rows = [{"digest": sha256(files[path]), "path": path, "size_bytes": len(files[path])} for path in sorted(files)]
    manifest = canonical(
        {
            "bundle": str(bundle.pk), "files": rows, "origin": origin, "root": "sha256:" + bytes(checkpoint.root).hex(),
            "scope": bundle.scope_digest, "tree_size": checkpoint.size, "type": TYPE,
        }
    )  # fmt: skip
    return {
        **files,
        "manifest.json": manifest,
        "manifest.json.sig": sshsig.sign_armored(signer, manifest).encode(),
        "manifest.sig": signer.sign(manifest),
    }


def pack(files: Mapping[str, bytes], target: Path) -> None:
    """The one allowed form of the zip, whole or not there."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
                for path in sorted(files):
                    archive.writestr(_zip_info(path), files[path])
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _zip_info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    return info
