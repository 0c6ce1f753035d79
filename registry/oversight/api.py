"""JSON doors of this room: use cases, attestations and findings about a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.access.queries import get_readable, get_team
from registry.catalog.models import RegisteredModel
from registry.digests import time_text
from registry.events import Caller
from registry.oversight import queries, services
from registry.oversight.models import Attestation, Finding, Tier, UseCase


def use_case_body(row: UseCase) -> dict[str, Any]:
    """A use case as the API shows it."""
    return {
        "id": str(row.pk),
        "team": row.team.slug,
        "slug": row.slug,
        "tier": row.tier,
        "sector": row.sector,
        "jurisdiction": row.jurisdiction,
        "purpose": str(row.purpose),
        "users": str(row.users or ""),
        "prohibited": str(row.prohibited or ""),
        "owner": str(row.owner_id),
        "created_at": time_text(row.created_at),
    }


def attestation_body(row: Attestation) -> dict[str, Any]:
    """An attestation as the API shows it."""
    return {
        "id": str(row.pk),
        "framework": row.framework,
        "requirement": row.requirement,
        "statement": str(row.statement),
        "signed_by": str(row.signed_by_id),
        "role": row.role,
        "signed_at": time_text(row.signed_at),
        "expires_at": time_text(row.expires_at),
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
    }


def finding_body(row: Finding) -> dict[str, Any]:
    """A finding as the API shows it."""
    return {
        "id": str(row.pk),
        "subject": row.subject,
        "kind": row.kind,
        "state": row.state,
        "description": str(row.description),
        "owner": str(row.owner_id),
        "due_on": row.due_on.isoformat(),
        "closure": str(row.closure) if row.closure else None,
        "closed_at": time_text(row.closed_at) if row.closed_at else None,
    }


def _model(caller: Caller, team: str, model: str) -> RegisteredModel:
    rows = RegisteredModel.objects.select_related("team")
    return get_readable(rows, caller, team__slug=team, slug=model)


class QuestionAnswerInput(serializers.Serializer[Any]):
    question = serializers.CharField(max_length=60)
    answer = serializers.CharField(max_length=60)


class RegisterUseCaseInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    answers = QuestionAnswerInput(
        many=True, required=False, help_text="To the tier table in force; they give the tier."
    )
    tier = serializers.ChoiceField(
        choices=Tier.choices, required=False, default="", allow_blank=True,
        help_text="By hand: higher than the answers give, or any where no tier table is in force.",
    )  # fmt: skip
    reason = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="On what the answers rest; of a tier by hand, why."
    )
    sector = serializers.CharField(max_length=60)
    jurisdiction = serializers.CharField(max_length=60)
    purpose = serializers.CharField()
    owner = serializers.CharField(help_text="User name of the person who answers for it.")
    users = serializers.CharField(required=False, default="", allow_blank=True)
    prohibited = serializers.CharField(required=False, default="", allow_blank=True)


@extend_schema_view(
    get=extend_schema(operation_id="list_use_cases", responses={200: dict}),
    post=extend_schema(operation_id="register_use_case", request=RegisterUseCaseInput, responses={201: dict}),
)
class RegisterUseCase(Command, Query):
    """The use cases of a team; a new one."""

    input = RegisterUseCaseInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(queries.use_cases_of(caller, kwargs["team"]), query, use_case_body)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = get_team(caller, kwargs["team"])
        answers = [dict(row) for row in data.get("answers", ())]
        given = {**data, "owner": queries.person(data["owner"]), "answers": answers}
        return use_case_body(services.register_use_case(actor=caller, team=team, **given))


class ChangeTierInput(serializers.Serializer[Any]):
    tier = serializers.ChoiceField(choices=Tier.choices)
    reason = serializers.CharField()


@extend_schema_view(post=extend_schema(operation_id="change_tier", request=ChangeTierInput, responses={200: dict}))
class ChangeTier(Command):
    """Ask for more or less care; approvals under the old tier become stale."""

    input = ChangeTierInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        use_case = queries.get_use_case(caller, kwargs["team"], kwargs["use_case"])
        return use_case_body(services.change_tier(actor=caller, use_case=use_case, **data))


class SignAttestationInput(serializers.Serializer[Any]):
    framework = serializers.CharField(max_length=60)
    requirement = serializers.CharField(max_length=40)
    statement = serializers.CharField()
    expires_at = serializers.DateTimeField()


@extend_schema_view(
    get=extend_schema(operation_id="list_attestations", responses={200: dict}),
    post=extend_schema(operation_id="sign_attestation", request=SignAttestationInput, responses={201: dict}),
)
class SignAttestation(Command, Query):
    """What people signed about a model; a new statement."""

    input = SignAttestationInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = _model(caller, kwargs["team"], kwargs["model"])
        rows = queries.attestations_of(f"model:{model.pk}")
        return keyset_page(rows, query, attestation_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model = _model(caller, kwargs["team"], kwargs["model"])
        row = services.sign_attestation(actor=caller, stream=f"model:{model.pk}", team_id=model.team_id, **data)
        return attestation_body(row)


@extend_schema_view(post=extend_schema(operation_id="end_attestation", request=None, responses={200: dict}))
class EndAttestation(Command):
    """Take a statement back; that it was made stays on record."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_attestation(caller, kwargs["attestation_id"])
        return attestation_body(services.end_attestation(actor=caller, attestation=row))


class OpenFindingInput(serializers.Serializer[Any]):
    subject = serializers.CharField(max_length=120)
    description = serializers.CharField()
    owner = serializers.CharField()
    due_on = serializers.DateField()


@extend_schema_view(
    get=extend_schema(operation_id="list_findings", responses={200: dict}),
    post=extend_schema(operation_id="open_finding", request=OpenFindingInput, responses={201: dict}),
)
class OpenFinding(Command, Query):
    """What has to be mended about a model; a new finding."""

    input = OpenFindingInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = _model(caller, kwargs["team"], kwargs["model"])
        return keyset_page(queries.findings_of(f"model:{model.pk}"), query, finding_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model = _model(caller, kwargs["team"], kwargs["model"])
        owner = queries.person(data["owner"])
        row = services.open_finding(
            actor=caller, stream=f"model:{model.pk}", team_id=model.team_id, **{**data, "owner": owner}
        )
        return finding_body(row)


class CloseFindingInput(serializers.Serializer[Any]):
    closure = serializers.CharField()


@extend_schema_view(post=extend_schema(operation_id="close_finding", request=CloseFindingInput, responses={200: dict}))
class CloseFinding(Command):
    """Say how a finding was mended."""

    input = CloseFindingInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        finding = queries.get_finding(caller, kwargs["finding_id"])
        return finding_body(services.close_finding(actor=caller, finding=finding, closure=data["closure"]))
