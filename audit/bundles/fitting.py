"""Whether what a bundle would hold fits into one zip of the form: counted before it is sealed, for what is sealed stays.

Rules:
- documents and texts are counted as they will be packed, entries by their bytes, proofs by the least that they can take;
- statements are counted one by one only where their greatest possible number would not fit;
- what passes here is counted again when it is built: entries that come between, the report and the manifest are not known yet.
"""

from __future__ import annotations

import bisect
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit import offline_verify
from audit.bundles import log, packing
from audit.bundles.about import About
from audit.bundles.inside import Inside, opens_for
from audit.bundles.packing import Contents, refuse_too_large
from audit.exports.statements import count_statements
from audit.facts.case import Case

_HASH_BYTES = 67  # 64 hex digits, two quotation marks, a comma
_SPOKEN_OF = ("compression.run", "catalog.evidence", "release.verdict")


def demand_fits(about: About) -> None:
    """Conflict when a bundle about it would hold more than one zip may."""
    positions = about.positions()
    proof_bytes = _least_proof_bytes(positions, about.scope.size)
    refuse_too_large(len(offline_verify.REQUIRED_FILES), proof_bytes)  # a long ledger is refused without reading it
    inside, entry_bytes, spoken_of = Inside(about.concerns()), 0, set()
    for data in log.entries_at(positions):
        entry_bytes += len(data) + 1
        event: Mapping[str, Any] = json.loads(data)["event"]
        inside.take(event)
        spoken_of |= {record["id"] for record in event["records"] if record["type"].split("/")[0] in _SPOKEN_OF}
    with tempfile.TemporaryDirectory(prefix="pressmark-bundle-") as scratch:
        contents = Contents(Path(scratch))
        inside.add_documents(contents)
        inside.add_texts(contents, opens_for(about.model))
        files, size_bytes = contents.extent()
    files += len(set(offline_verify.REQUIRED_FILES) - {"texts.json", "not_included.json"})
    size_bytes += entry_bytes + proof_bytes
    refuse_too_large(files, size_bytes)
    if files + len(spoken_of) > packing.FILES_LIMIT:
        statements = sum(count_statements(Case(taken), version=about.version) for _, taken in about.models())
        refuse_too_large(files + statements, size_bytes)


def _least_proof_bytes(positions: Sequence[int], size: int) -> int:
    """What the paths of the entries in the largest complete subtree take at the least."""
    height = size.bit_length() - 1
    return bisect.bisect_left(positions, 1 << height) * height * _HASH_BYTES
