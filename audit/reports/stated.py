"""What was registered wrongly and said anew, the files that data consist of, and who answers for the machines that acted. Pure.

Rules:
- of each correction only what it changed is told, in the words of its columns, with what stood there before;
- data of another team stand without name, paths and what people wrote, as everywhere in a report;
- of a service account everybody is told who ever answered for it: neither leaving nor handing it on takes that away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from audit.facts.case import Case
from audit.reports import wording
from audit.snapshots import Record, Snapshot

TextOf = Callable[[str | None], str]
_COLUMNS = {
    "licence_id": "licence",
    "training_data": "training data",
    "uses": "uses",
    "personal_data": "personal data",
    "consent": "consent",
    "third_party_works": "works of others",
    "opt_out_honoured": "opt-out honoured",
    "third_party_basis_id": "basis for works of others",
    "origin_id": "origin",
    "collection_id": "collection",
    "owner_id": "owner",
    "known_biases_id": "known biases",
    "collected_from": "collected from",
    "collected_until": "collected until",
    "retain_until": "kept until",
}
"""What a correction may say anew, and how a report says it."""
_TEXTS = frozenset({"third_party_basis_id", "origin_id", "collection_id", "owner_id", "known_biases_id"})
_NOT_STATED = "not stated"


def stated_section(case: Case, behind: Snapshot, text_of: TextOf) -> dict[str, Any]:
    """Corrections by position, files by data and path, service accounts by id."""
    return {
        "accounts": _accounts(case, behind),
        "corrections": sorted(
            [*_of_versions(case, text_of), *_of_data(case, text_of)], key=lambda row: int(row["position"])
        ),
        "files": _files(case),
    }


def data_name(case: Case, data: Record) -> str:
    """`rows@3`; readers of the model may not be readers of data of another team: these stand there by their digest alone."""
    dataset = case.snapshot.get("provenance.dataset", str(data.row["dataset_id"]))
    if dataset is None or not _is_own(case, data):
        return "of another team"
    return f"{dataset.row['slug']}@{data.row['number']}"


def _is_own(case: Case, data: Record) -> bool:
    dataset = case.snapshot.get("provenance.dataset", str(data.row["dataset_id"]))
    return dataset is not None and case.model is not None and dataset.row["team_id"] == case.model.row["team_id"]


# --- corrections ---


def _of_versions(case: Case, text_of: TextOf) -> list[dict[str, Any]]:
    found = []
    for version in case.versions:
        known = dict(version.row)
        for row in _in_turn(case, "catalog.correction", "version_id", version):
            now = known | {name: row.row[name] for name in ("licence_id", "training_data") if row.row[name]}
            found.append(_correction(row, case.title(version), _changes(case, known, now, text_of), text_of))
            known = now
    return found


def _of_data(case: Case, text_of: TextOf) -> list[dict[str, Any]]:
    found = []
    for data in case.dataset_versions_as_registered:
        known, said = dict(data.row), text_of if _is_own(case, data) else _unsaid
        for row in _in_turn(case, "provenance.dataset_correction", "dataset_version_id", data):
            now = dict(case.as_said(data, row).row)
            found.append(_correction(row, f"data {data_name(case, data)}", _changes(case, known, now, said), said))
            known = now
    return found


def _in_turn(case: Case, type_: str, column: str, about: Record) -> list[Record]:
    return sorted(
        (c for c in case.snapshot.all(type_) if c.row[column] == about.id), key=lambda c: int(c.row["number"])
    )


def _correction(row: Record, subject: str, changes: list[str], text_of: TextOf) -> dict[str, Any]:
    return {
        "at": row.first_at,
        "by": wording.person(row.role, row.actor),
        "changes": changes,
        "position": row.position,
        "reason": text_of(row.row["reason_id"]),
        "subject": subject,
    }


def _changes(case: Case, before: Mapping[str, Any], now: Mapping[str, Any], text_of: TextOf) -> list[str]:
    changed = [name for name in _COLUMNS if before.get(name) != now.get(name)]
    return [_change(name, *(_value(case, name, row.get(name), text_of) for row in (before, now))) for name in changed]


def _change(column: str, old: str, new: str) -> str:
    return f"{_COLUMNS[column]}: {new or 'said anew'}{f', was {old}' if old else ''}"


def _value(case: Case, column: str, value: Any, text_of: TextOf) -> str:
    if value is None:
        return _NOT_STATED
    if column in _TEXTS:
        return text_of(str(value))
    if column == "licence_id":
        licence = case.snapshot.get("provenance.licence", str(value))
        return _NOT_STATED if licence is None else str(licence.row["expression"])
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _unsaid(key: str | None) -> str:
    """What people of another team wrote."""
    return ""


# --- files and machines ---


def _files(case: Case) -> list[dict[str, Any]]:
    found = []
    for data in case.dataset_versions:
        own = _is_own(case, data)
        for row in case.files_of(data):
            found.append(
                {
                    "data": data_name(case, data),
                    "digest": str(row.row["digest"]),
                    "path": str(row.row["path"]) if own else "",
                    "rows": int(row.row["row_count"]),
                }
            )
    return found


def _accounts(case: Case, behind: Snapshot) -> list[dict[str, Any]]:
    acted = {act.actor for act in case.snapshot.acts} | {act.on_behalf_of for act in case.snapshot.acts}
    answering: dict[str, list[Record]] = {}
    for row in behind.all("access.responsibility"):
        if row.row["account_id"] in acted:
            answering.setdefault(str(row.row["account_id"]), []).append(row)
    return [
        {
            "account": wording.person("service_account", key),
            "answers": [
                f"{wording.person('person', str(row.row['person_id']))} since {wording.day(row.first_at)}"
                for row in rows
            ],
            "position": rows[-1].position,
        }
        for key, rows in sorted(answering.items())
    ]
