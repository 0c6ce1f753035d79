"""JSON doors of the audit house: assessments, reports; entries, proofs and checkpoints."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from audit import assessments, downloads, queries, services
from audit.models import Assessment, Entry, Report
from audit.witnessing import witnesses
from registry import storage
from registry.access.http import Command, Query, caller_of, keyset_page
from registry.catalog import queries as catalog
from registry.digests import parse_canonical, time_text
from registry.errors import Invalid
from registry.events import Caller

_BINARY = {(200, "application/octet-stream"): OpenApiTypes.BINARY}
_JSON = {200: OpenApiTypes.OBJECT}
_CREATED = {201: OpenApiTypes.OBJECT}


def assessment_body(row: Assessment) -> dict[str, Any]:
    """An issued assessment as the API shows it, without its document."""
    return {
        "as_of_position": row.as_of_position,
        "digest": row.digest,
        "framework": row.framework,
        "framework_digest": row.framework_digest,
        "id": str(row.pk),
        "issued_at": time_text(row.issued_at),
        "issued_by": str(row.issued_by_id),
        "size_bytes": row.size_bytes,
    }


def report_body(row: Report) -> dict[str, Any]:
    """An issued report as the API shows it."""
    return {
        "assessment": str(row.assessment_id),
        "id": str(row.pk),
        "issued_at": time_text(row.issued_at),
        "issued_by": str(row.issued_by_id),
        "json_digest": row.json_digest,
        "json_size_bytes": row.json_size_bytes,
        "pdf_digest": row.pdf_digest,
        "pdf_size_bytes": row.pdf_size_bytes,
        "template": row.template,
    }


# --- assessments ---


class IssueAssessmentInput(serializers.Serializer[Any]):
    note = serializers.CharField(required=False, default="", allow_blank=True, help_text="Why it is issued.")


@extend_schema_view(
    get=extend_schema(operation_id="list_assessments", responses=_JSON),
    post=extend_schema(operation_id="issue_assessment", request=IssueAssessmentInput, responses=_CREATED),
)
class IssueAssessment(Command, Query):
    """The issued assessments of a model, newest first; a new one, computed from the ledger as it stands."""

    input = IssueAssessmentInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        return keyset_page(queries.assessments_of(model), query, assessment_body, newest_first=True)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        self.prepared = services.prepare_assessment(actor=caller, model=model)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = services.seal_assessment(actor=caller, prepared=self.prepared, note=data["note"])
        return {**assessment_body(row), "document": self.prepared.document}


@extend_schema_view(get=extend_schema(operation_id="preview_assessment", responses=_JSON))
class PreviewAssessment(Query):
    """What an assessment of the model would say now. Nothing is issued, and a long ledger is not verified for it."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        snapshot = assessments.prepare(model, ledger_limit=assessments.VIEW_LEDGER_LIMIT)
        return assessments.assess_snapshot(snapshot, model)


@extend_schema_view(get=extend_schema(operation_id="show_assessment", responses=_JSON))
class ShowAssessment(Query):
    """An issued assessment with its document."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_assessment(caller, kwargs["assessment_id"])
        reports = [report_body(report) for report in row.reports.order_by("id")]
        document = parse_canonical(storage.read_bytes(row.digest))
        return {**assessment_body(row), "document": document, "reports": reports}


# --- reports ---


@extend_schema_view(post=extend_schema(operation_id="issue_report", request=None, responses=_CREATED))
class IssueReport(Command):
    """The assessment as a report to hand over: PDF/A-3a with its JSON attached."""

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        row = queries.get_assessment(caller, kwargs["assessment_id"])
        self.prepared = services.prepare_report(actor=caller, assessment=row)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return report_body(services.seal_report(actor=caller, prepared=self.prepared))


@extend_schema_view(get=extend_schema(operation_id="show_report", responses=_JSON))
class ShowReport(Query):
    """An issued report: its digests and where it came from."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return report_body(queries.get_report(caller, kwargs["report_id"]))


class DownloadReport(APIView):
    """The report as pdf, json or csv."""

    @extend_schema(operation_id="download_report", responses=_BINARY)
    def get(self, request: Request, **kwargs: Any) -> HttpResponse:
        report = queries.get_report(caller_of(request, "api"), kwargs["report_id"])
        return downloads.report_file(report, kwargs["extension"])


# --- the ledger ---


def entry_body(row: Entry) -> dict[str, Any]:
    """An entry: its bytes in base64 (what is hashed), and the same read."""
    data = bytes(row.entry)
    return {
        "entry": base64.b64encode(data).decode(),
        "leaf": "sha256:" + bytes(row.leaf).hex(),
        "position": row.position,
        "read": json.loads(data),
    }


@extend_schema_view(get=extend_schema(operation_id="show_entry", responses=_JSON))
class ShowEntry(Query):
    """One entry of the ledger."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return entry_body(queries.get_entry(caller, kwargs["position"]))


@extend_schema_view(get=extend_schema(operation_id="prove_inclusion", responses=_JSON))
class ProveInclusion(Query):
    """That an entry stands in the tree of a signed checkpoint: a `c2sp.org/tlog-proof@v1`. 503 `pending` until one covers it."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        entry = queries.get_entry(caller, kwargs["position"])
        checkpoint, proof = queries.inclusion_proof(entry.position)
        return {
            "leaf": "sha256:" + bytes(entry.leaf).hex(),
            "position": entry.position,
            "proof": proof.text().decode(),
            "size": checkpoint.size,
        }


@extend_schema_view(
    get=extend_schema(
        operation_id="prove_consistency",
        parameters=[OpenApiParameter("old", int, required=True), OpenApiParameter("new", int, required=True)],
        responses=_JSON,
    )
)
class ProveConsistency(Query):
    """That the tree of one size continues that of an older one: the proof file that the verifier takes."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        try:
            old, new = int(query["old"]), int(query["new"])
        except (KeyError, ValueError):
            raise Invalid("Two sizes are needed.", hint="Give 'old' and 'new' as whole numbers.") from None
        return queries.consistency_proof(old, new)


def witness_body(state: witnesses.State) -> dict[str, Any]:
    """A witness: its key line, how far it cosigned, and what is wrong with it (empty when nothing is)."""
    return {
        "cosigned_at": None if state.cosigned_at is None else time_text(state.cosigned_at),
        "key_line": state.listed.key.key_line,
        "name": state.listed.name,
        "size": state.size,
        "trouble": state.trouble,
    }


@extend_schema_view(get=extend_schema(operation_id="show_checkpoint", responses=_JSON))
class ShowCheckpoint(Query):
    """The newest signed checkpoint, cosigned, and the witnesses. Keep its note where this installation cannot reach it."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.latest_checkpoint()
        root = "sha256:" + bytes(row.root).hex()
        return {
            "note": row.note,
            "root": root,
            "signed_at": time_text(row.signed_at),
            "size": row.size,
            "witnesses": [witness_body(state) for state in witnesses.states(row)],
        }
