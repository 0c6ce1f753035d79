"""JSON doors of trying drafts of policies, and of rules that keep acts on an alias for some roles."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.http import Command, Query, caller_of, keyset_page
from registry.access.models import Team
from registry.access.parsing import BoundedJSONParser
from registry.access.queries import get_readable, get_team
from registry.digests import time_text
from registry.events import Caller
from registry.release import queries
from registry.release.alias_rules import ACTS, rights_of, rules_of
from registry.release.dry_run import draft_of, dry_run, dry_run_body
from registry.release.services.alias_rules import approve_alias_rule, author_alias_rule, end_alias_rule
from registry.release.serving_models import AliasRule

_TEAM = OpenApiParameter(
    "team", str, description="Only what this team serves; the whole instance where it is left out."
)


def _team(caller: Caller, slug: str | None) -> Team | None:
    return get_team(caller, slug) if slug else None


class DryRunDraftInput(serializers.Serializer[Any]):
    document = serializers.JSONField(help_text="A pressmark/policy/1 document; nothing of it is kept.")
    slug = serializers.CharField(
        max_length=63, required=False, default=None, allow_null=True,
        help_text="The name it would come under; the policy in force of that name is taken as replaced.",
    )  # fmt: skip
    team = serializers.CharField(max_length=63, required=False, default=None, allow_null=True)


@extend_schema_view(
    post=extend_schema(operation_id="dry_run_draft", request=DryRunDraftInput, responses={200: dict}),
)
class DryRunDraft(Query):
    """Try a document on all that aliases serve now. Nothing is written, so it needs no Idempotency-Key and has no receipt."""

    http_method_names = ["post"]
    parser_classes = [BoundedJSONParser]

    def post(self, request: Request, **kwargs: Any) -> Response:
        asked = DryRunDraftInput(data=request.data)
        asked.is_valid(raise_exception=True)
        caller, data = caller_of(request, "api"), asked.validated_data
        return Response(
            dry_run_body(dry_run(caller, draft_of(data["document"]), data["slug"], _team(caller, data["team"])))
        )


@extend_schema_view(get=extend_schema(operation_id="dry_run_policy", parameters=[_TEAM], responses={200: dict}))
class DryRunPolicy(Query):
    """Try an authored policy on all that aliases serve now."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_policy(kwargs["slug"], kwargs["number"])
        return dry_run_body(dry_run(caller, queries.policy_rules(row), row.slug, _team(caller, query.get("team"))))


# --- rules of aliases ---


def alias_rule_body(row: AliasRule) -> dict[str, Any]:
    """A rule as the API shows it."""
    return {
        "id": str(row.pk),
        "team": row.team.slug,
        "alias": row.alias,
        "action": row.action,
        "role": row.role,
        "author": str(row.author_id),
        "approved_by": str(row.approved_by_id) if row.approved_by_id else None,
        "in_force_at": time_text(row.in_force_at) if row.in_force_at else None,
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
    }


class AuthorAliasRuleInput(serializers.Serializer[Any]):
    alias = serializers.CharField(max_length=63)
    action = serializers.RegexField(
        f"^({'|'.join(ACTS)})$",
        help_text=f"One of: {', '.join(ACTS)}.",
        error_messages={"invalid": f"This is none of: {', '.join(ACTS)}."},
    )
    role = serializers.RegexField("^[a-z_]{1,32}$", help_text="Such as approver or operator.")


@extend_schema_view(
    get=extend_schema(operation_id="list_alias_rules", responses={200: dict}),
    post=extend_schema(operation_id="author_alias_rule", request=AuthorAliasRuleInput, responses={201: dict}),
)
class AuthorAliasRule(Command, Query):
    """The rules of a team's aliases, ended ones too; a new one."""

    input = AuthorAliasRuleInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(rules_of(get_team(caller, kwargs["team"])), query, alias_rule_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return alias_rule_body(author_alias_rule(actor=caller, team=get_team(caller, kwargs["team"]), **data))


def _rule(caller: Caller, key: uuid.UUID) -> AliasRule:
    return get_readable(AliasRule.objects.select_related("team"), caller, team="team", pk=key)


@extend_schema_view(post=extend_schema(operation_id="approve_alias_rule", request=None, responses={200: dict}))
class ApproveAliasRule(Command):
    """Put a rule of somebody else in force."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return alias_rule_body(approve_alias_rule(actor=caller, rule=_rule(caller, kwargs["rule"])))


@extend_schema_view(post=extend_schema(operation_id="end_alias_rule", request=None, responses={200: dict}))
class EndAliasRule(Command):
    """Take a rule back."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return alias_rule_body(end_alias_rule(actor=caller, rule=_rule(caller, kwargs["rule"])))


@extend_schema_view(get=extend_schema(operation_id="alias_rights", responses={200: dict}))
class AliasRights(Query):
    """Who may do what with each alias of a team, rules and memberships taken together."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rights = rights_of(get_team(caller, kwargs["team"]))
        return {
            "items": [
                {
                    "alias": right.alias,
                    "action": right.action,
                    "narrowed": right.narrowed,
                    "roles": sorted(role.value for role in right.roles),
                    "people": [str(person.pk) for person in right.people],
                }
                for right in rights
            ],
            "next": None,
        }
