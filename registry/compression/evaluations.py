"""What an evaluation found, whole: its figures with their sentences, what it was about, on which rows, by which plan. Reads."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from registry import storage
from registry.access import permissions
from registry.access.queries import get_readable, readable
from registry.catalog import queries as catalog
from registry.catalog import sentences
from registry.catalog.evidence import ALL_ROWS, DISTINCT_ROWS, SCORES_DOUBTED, SEEN_ROWS, left_out
from registry.catalog.models import Evidence, ModelVersion
from registry.compression import queries
from registry.compression.models import Run, RunKind
from registry.digests import parse_canonical
from registry.errors import NotFound
from registry.events import Caller

Body = dict[str, Any]


def evaluations_of(caller: Caller, version: ModelVersion) -> QuerySet[Run]:
    """The runs that evaluate the version: requested for it, or the one that made and measured it; newest first."""
    rows = readable(queries.run_rows(), caller, team="model__team")
    return rows.filter(_judges(version)).order_by("-requested_at", "-pk")


def get_evaluation(caller: Caller, version: ModelVersion, run_id: uuid.UUID) -> Run:
    """One of them."""
    rows = queries.run_rows().filter(_judges(version))
    return get_readable(rows, caller, team="model__team", pk=run_id)


def _judges(version: ModelVersion) -> Q:
    return Q(kind=RunKind.EVALUATION, parent=version) | Q(kind=RunKind.COMPRESSION, child=version)


def plan_of(run: Run) -> Body | None:
    """The plan by which the run evaluates; None where the engine looked for itself."""
    return _document(run.plan_digest)


def _document(digest: str | None) -> Body | None:
    if digest is None:
        return None
    document = parse_canonical(storage.read_bytes(digest))
    assert isinstance(document, dict)
    return document


def compared_with(run: Run) -> dict[str, ModelVersion | None]:
    """The versions beside the judged one, by the engine's word for them."""
    return {"parent": run.original, "incumbent": run.incumbent, "first": run.first}


def outputs_of(caller: Caller, run: Run) -> tuple[str, int]:
    """Digest and size of what the models answered; Forbidden without the right to download every version and all data in it."""
    for team in _teams_in(run):
        permissions.require(caller, "version.download", team)
    if run.outputs_digest is None or not storage.is_stored(run.outputs_digest):
        raise NotFound(
            "The answers of the models are not stored for this evaluation.",
            hint="They are kept when an evaluation succeeds; request it again.",
        )
    return run.outputs_digest, storage.path_of(run.outputs_digest).stat().st_size


def may_download_outputs(caller: Caller, run: Run) -> bool:
    """Whether a page should offer them."""
    return all(permissions.may(caller.actor_id, "version.download", team) for team in _teams_in(run))


def _teams_in(run: Run) -> list[uuid.UUID]:
    """Of every version that answered, and of the data: the file says which of their rows were broken, and why."""
    data = (run.evaluation, run.out_of_distribution)
    teams = {run.model.team_id} | {rows.dataset.team_id for rows in data if rows is not None}
    return sorted(teams | {version.model.team_id for version in compared_with(run).values() if version is not None})


def evaluation_body(run: Run, caller: Caller) -> Body:
    """Everything that a page about an evaluation shows; the members of the run itself are `run_body`."""
    names = queries.Names(caller)
    reader = catalog.EvidenceReader(caller)
    rows = [(row, reader.document(row)) for row in queries.evidence_of_run(run)]
    judged = queries.judged_version(run)
    result = queries.result_of(run)
    data = _data(run, names, None if result is None else result.document)
    return {
        "version": None if judged is None else names.reference(judged),
        "version_digest": None if judged is None else judged.digest,
        "compared_with": {role: _version(version, names) for role, version in compared_with(run).items()},
        "plan": plan_of(run),
        "price_sheet": _document(run.price_sheet_digest),
        "data": data,
        "n": next((row["rows"] for row in data if row["role"] == "evaluation"), None),
        "seen": _seen(run, [document for _, document in rows]),
        "doubts": _doubts([document for _, document in rows]),
        "outputs": _outputs(run),
        "reduced": not all(reader.reads(row) for row, _ in rows),
        "evidence": [_evidence(row, document) for row, document in rows],
    }


def _version(version: ModelVersion | None, names: queries.Names) -> Body | None:
    return None if version is None else {"reference": names.reference(version), "digest": version.digest}


def _data(run: Run, names: queries.Names, result: Mapping[str, Any] | None) -> list[Body]:
    """The data by role, with the number of rows that counted, of those that did not, and the names of their first, once known."""
    told = {} if result is None else {row["role"]: row for row in result["data"]}
    return [
        {
            "role": role,
            "reference": names.reference(dataset),
            "digest": dataset.bound_digest,
            "file": names.evaluation_file(run) if role == "evaluation" else None,
            "rows": told[role]["rows"] if role in told else None,
            "left_out": left_out(told[role]["broken"]) if role in told else None,
            "broken": names.broken_rows(dataset, told[role]["broken"]) if role in told else None,
            "unlisted_labels": names.unlisted_labels(dataset, told.get(role, {}).get("unlisted_labels", ())),
        }
        for role, dataset in queries.data_by_role(run).items()
        if dataset is not None
    ]


def _seen(run: Run, documents: list[Body]) -> Body:
    """Whether rows were allowed that the version was made with, and how many the evidence says there were."""
    said = [row["value"] for document in documents for row in document["environment"] if row["name"] == SEEN_ROWS]
    return {"allowed": run.allow_seen, "rows": max(map(int, said)) if said else None}


def _doubts(documents: list[Body]) -> Body:
    """What makes every figure worth less: of how many rows how many differ, where some repeat; why the scores are doubted."""
    said = {row["name"]: row["value"] for document in documents for row in document["environment"]}
    return {name: said.get(name) for name in (DISTINCT_ROWS, ALL_ROWS, SCORES_DOUBTED)}


def _outputs(run: Run) -> Body | None:
    if run.outputs_digest is None:
        return None
    stored = storage.is_stored(run.outputs_digest)
    size_bytes = storage.path_of(run.outputs_digest).stat().st_size if stored else None
    return {"digest": run.outputs_digest, "size_bytes": size_bytes}


def _evidence(row: Evidence, document: Body) -> Body:
    figures = [{**figure, "sentence": sentences.sentence(figure, row.kind)} for figure in document["figures"]]
    kept = ("environment", "method", "seed", "source", "subjects")
    return {"id": str(row.pk), "kind": row.kind, "digest": row.digest, "figures": figures} | {
        k: document[k] for k in kept
    }
