"""Build the archive that a stranger can check offline, `pressmark-bundle/1`: docs/bundle-format.md is the contract.

Rules:
- nothing is built before a checkpoint covers the `bundle.issued` entry; the first one past it is taken, and its row never changes,
  so that the same bundle gives the same bytes, however many checkpoints, cosignatures and keys come later;
- what goes in is what the sealed scope says: whole streams, the entries elsewhere that they rest on (`audit.backing`), every entry
  that begins an era of keys below the checkpoint (entry 0 is the first), the entry that issued the bundle, and that of its report;
- statements are about the subject alone: of a model all, of one version its own, of the instance those of every model.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from audit import dsse, offline_verify, queries, scopes, sshsig
from audit.bundles import log
from audit.bundles.about import About, model_of
from audit.bundles.inside import DOCUMENT_LIMIT_BYTES, Inside, opens_for
from audit.bundles.keyring import Keyring, keyring
from audit.bundles.packing import Contents, document
from audit.exports.statements import statements
from audit.facts.case import Case
from audit.models import Bundle, Checkpoint, Entry, Report
from audit.reports.tables import to_csv
from audit.verify_text import verify_page
from registry import storage
from registry.digests import parse_canonical, time_text
from registry.storage import sync_folder

TYPE = "pressmark/bundle/1"


def build(bundle: Bundle, target: Path) -> Path:
    """Write the zip of an issued bundle to `target`, whole or not at all; Unavailable ("pending") until a checkpoint covers it."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            write(bundle, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    return target


def write(bundle: Bundle, out: BinaryIO) -> None:
    """Write the zip of an issued bundle into an open, seekable file."""
    issued = queries.entry_of(bundle)
    checkpoint = queries.covering_checkpoint(issued.position)
    ring = keyring(checkpoint)
    with tempfile.TemporaryDirectory(prefix="pressmark-bundle-") as scratch:
        contents = Contents(Path(scratch))
        _Building(bundle, issued, checkpoint, ring, contents).fill()
        _seal(contents, bundle, checkpoint, ring)
        contents.check_fits()
        contents.pack(out)


class _Building:
    """One bundle while its files come together."""

    def __init__(
        self, bundle: Bundle, issued: Entry, checkpoint: Checkpoint, ring: Keyring, contents: Contents
    ) -> None:
        self.bundle, self.issued, self.checkpoint, self.ring, self.contents = bundle, issued, checkpoint, ring, contents
        self.moment = time_text(bundle.issued_at)
        self.model = None if bundle.subject == scopes.INSTANCE else model_of(bundle.subject)
        self.subject = self._name()

    def _name(self) -> str:
        """The subject in words, as the page in the bundle says it."""
        if self.model is None:
            return "the whole installation"
        return str(self.model) if self.bundle.version is None else f"{self.model}@{self.bundle.version.number}"

    def fill(self) -> None:
        """Everything but manifest and signatures."""
        scope = scopes.sealed(self.bundle)
        about = About(self.model, str(self.bundle.version_id or "") or None, scope, self.moment)
        report = None if self.model is None else _report(self.bundle, self.issued.position, scope.size)
        positions = self._positions(about, report)
        inside = Inside(about.concerns())
        for entry in log.write_entries(self.contents, positions, self.checkpoint.size):
            inside.take(entry["event"])
        issued = _event(self.issued)
        log.write_proofs(
            self.contents, positions, self.checkpoint, log.old_sizes(issued, scope.size, self.checkpoint.size)
        )
        inside.add_documents(self.contents)
        inside.add_texts(self.contents, opens_for(self.model))
        self._add_statements(about)
        self.contents.add_all(self.ring.files())
        _add_report(self.contents, report)
        self._add_pages()

    def _positions(self, about: About, report: Report | None) -> Sequence[int]:
        extra = {self.issued.position, *(era.first for era in self.ring.eras)}
        if report is not None:
            extra.add(queries.entry_of(report).position)
        return sorted({*about.positions(), *extra})

    def _add_statements(self, about: About) -> None:
        for model, taken in about.models():
            made = statements(Case(taken), model=str(model), origin=self.ring.last.origin, version=about.version)
            for name, payload in made:
                self.contents.add(f"statements/{name}.dsse.json", dsse.sign_envelope(self.ring.signer, payload))

    def _add_pages(self) -> None:
        now = self.ring.last.keys
        page = verify_page(
            bundle=str(self.bundle.pk), origin=now.origin, subject=self.subject, log_key_id=now.log.key_id_hex,
            issuer_key_id=now.issuer.key_id_hex, issuer_name=now.issuer.name,
        )  # fmt: skip
        self.contents.add_all({"VERIFY.md": page, "verify.py": Path(offline_verify.__file__).read_bytes()})


def _event(entry: Entry) -> Mapping[str, Any]:
    return queries.read_entry(entry)["event"]  # type: ignore[no-any-return]


def _report(bundle: Bundle, position: int, size: int) -> Report | None:
    """The newest report that was issued before the bundle, of an assessment of the model that stands within its scope."""
    rows: Iterable[Report] = (
        Report.objects.filter(assessment__stream=bundle.subject, issued_at__lte=bundle.issued_at)
        .select_related("assessment")
        .order_by("-id")
    )
    return next(
        (
            row
            for row in rows
            if queries.entry_of(row).position < position and queries.entry_of(row.assessment).position < size
        ),
        None,
    )


def _add_report(contents: Contents, report: Report | None) -> None:
    if report is None:
        return
    data = storage.read_bytes(report.json_digest)
    read = parse_canonical(data)
    assert isinstance(read, dict)
    pdf = storage.read_bytes(report.pdf_digest, limit_bytes=4 * DOCUMENT_LIMIT_BYTES)
    contents.add_all({"report.csv": to_csv(read), "report.json": data, "report.pdf": pdf})


def _seal(contents: Contents, bundle: Bundle, checkpoint: Checkpoint, ring: Keyring) -> None:
    """The manifest over everything so far, and its two signatures."""
    root = "sha256:" + bytes(checkpoint.root).hex()
    manifest = document(
        {
            "bundle": str(bundle.pk), "files": contents.rows(), "origin": ring.last.origin, "root": root,
            "scope": bundle.scope_digest, "tree_size": checkpoint.size, "type": TYPE,
        },
        "The manifest",
    )  # fmt: skip
    contents.add("manifest.json", manifest)
    contents.add("manifest.json.sig", sshsig.sign_armored(ring.signer, manifest).encode())
    contents.add("manifest.sig", ring.signer.sign(manifest))
