"""Pages about policies: all of them, one in sentences with what differs from another number, its dry run, a new one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.urls import reverse

from registry.access import permissions
from registry.access.models import Team
from registry.access.queries import get_team, readable
from registry.access.queries_responsibility import is_own
from registry.desk.forms import DocumentField
from registry.desk.http import Act, Context, FormPage, Page
from registry.errors import NotFound
from registry.events import Caller
from registry.fields import validate_slug
from registry.release import queries, services
from registry.release.dry_run import draft_of, dry_run
from registry.release.models import Policy
from registry.release.policy_language import ready_made
from registry.release.policy_words import differences, limits, sentence

_ROWS_SHOWN = 200
_DOCUMENT_CHARACTERS = 200_000


def state_of(row: Policy) -> str:
    """in force, waiting for approval, or ended."""
    if row.ended_at is not None:
        return "ended"
    return "in force" if row.in_force_at is not None else "waiting"


def policy_rows() -> list[tuple[Policy, str]]:
    """All policies, in force first, then those that wait; each with its state."""
    order = ("in force", "waiting", "ended")
    rows = Policy.objects.select_related("author", "approved_by").order_by("slug", "-number")
    return sorted(((row, state_of(row)) for row in rows), key=lambda item: order.index(item[1]))


class Policies(Page):
    """Every policy: what is in force, what waits for approval, what was."""

    template = "release/policies.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        rows = [(row, state, queries.policy_rules(row)) for row, state in policy_rows()]
        known = {row.slug for row, _, _ in rows}
        return {
            "policies": rows,
            "ready_made": [(slug, document) for slug, document in ready_made() if slug not in known],
            "may_author": permissions.may(caller.actor_id, "policy.author", None),
        }


class PolicyPage(Page):
    """One policy: its rules as sentences, what it allows, who put it in force, and what another number said."""

    template = "release/policy.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = _policy(kwargs)
        rules = queries.policy_rules(row)
        numbers = list(Policy.objects.filter(slug=row.slug).exclude(pk=row.pk).order_by("-number"))
        other = _other(numbers, row, query.get("against", ""))
        told = differences(queries.policy_rules(other), rules) if other is not None else None
        return {
            "policy": row,
            "state": state_of(row),
            "rules": [(rule, sentence(rule)) for rule in rules.rules],
            "about": rules.document["about"],
            "title": rules.title,
            "limits": limits(rules),
            "numbers": numbers,
            "other": other,
            "differences": told,
            "document": json.dumps(rules.document, indent=1, ensure_ascii=False),
            "own": is_own(caller.actor_id, row.author_id),
            "may_approve": permissions.may(caller.actor_id, "policy.approve", None),
            "may_author": permissions.may(caller.actor_id, "policy.author", None),
            "may_try": bool(_scopes(caller)),
        }


def _policy(kwargs: Mapping[str, Any]) -> Policy:
    found = Policy.objects.select_related("author", "approved_by")
    row = found.filter(slug=kwargs["slug"], number=kwargs["number"]).first()
    if row is None:
        raise NotFound(f"There is no policy {kwargs['slug']}@{kwargs['number']}.")
    return row


def _other(numbers: Sequence[Policy], row: Policy, asked: str) -> Policy | None:
    """What to compare with: the number asked for, else the one in force, else the one before."""
    if asked:
        found = next((other for other in numbers if str(other.number) == asked), None)
        if found is None:
            raise NotFound(f"There is no policy {row.slug}@{asked}.")
        return found
    in_force = next((other for other in numbers if state_of(other) == "in force"), None)
    return in_force or next((other for other in numbers if other.number < row.number), None)


class DryRunPolicy(Page):
    """What would change about all that aliases serve if this policy were in force."""

    template = "release/dry_run.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row, scopes = _policy(kwargs), _scopes(caller)
        chosen = query.get("team", scopes[0][0] if scopes else "")
        team = get_team(caller, chosen) if chosen else None
        found = dry_run(caller, queries.policy_rules(row), row.slug, team)
        changed = [tried for tried in found.rows if tried.verdict != "unchanged"]
        return {
            "policy": row,
            "state": state_of(row),
            "scopes": scopes,
            "chosen": chosen,
            "found": found,
            "changed": changed[:_ROWS_SHOWN],
            "more": max(0, len(changed) - _ROWS_SHOWN),
            "own": is_own(caller.actor_id, row.author_id),
            "may_approve": permissions.may(caller.actor_id, "policy.approve", None),
        }


def _scopes(caller: Caller) -> list[tuple[str, str]]:
    """Of what the caller may try a draft: the whole instance first."""
    whole = [("", "the whole instance")] if permissions.may(caller.actor_id, "policy.dry_run", None) else []
    teams = readable(Team.objects.filter(ended_at=None), caller, team="pk").order_by("slug")
    return whole + [(t.slug, t.slug) for t in teams if permissions.may(caller.actor_id, "policy.dry_run", t.pk)]


class ApprovePolicy(Act):
    """Puts a policy of somebody else in force."""

    page = PolicyPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = services.approve_policy(actor=caller, policy=_policy(kwargs))
        return _address(row), f"{row} judges releases from now on."


class EndPolicy(Act):
    """Takes a policy out of force."""

    page = PolicyPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = services.end_policy(actor=caller, policy=_policy(kwargs))
        return _address(row), f"{row} judges nothing any more."


def _address(row: Policy) -> str:
    return reverse("desk:policy", args=[row.slug, row.number])


class PolicyForm(forms.Form):
    """A name and a document."""

    slug = forms.CharField(
        label="Name", max_length=63, validators=[validate_slug],
        help_text="A name that is there already gets its next number.",
    )  # fmt: skip
    document = DocumentField(of_type="pressmark/policy/1", max_length=_DOCUMENT_CHARACTERS)


class AuthorPolicy(FormPage):
    """A new policy, beginning with one that is there or one that ships."""

    template = "release/author_policy.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        permissions.require(caller, "policy.author", None)
        starts = [*(str(row) for row, _ in policy_rows()), *(slug for slug, _ in ready_made())]
        return {"starts": starts, "begun": query.get("from", "")}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        if data is not None:
            return PolicyForm(data)
        slug, document = _start(self.request.GET.get("from", ""))
        return PolicyForm(initial={"slug": slug, "document": json.dumps(document, indent=1, ensure_ascii=False)})

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        draft_of(data["document"])
        row = services.author_policy(actor=caller, slug=data["slug"], document=data["document"])
        return _address(row), f"{row} is written. Try it on what is served; somebody else puts it in force."


def _start(name: str) -> tuple[str, Mapping[str, Any]]:
    """What a form begins with: a policy that is there (`limited@2`), else one that ships."""
    slug, at, number = name.partition("@")
    shipped = dict(ready_made())
    if at and number.isdecimal():
        return slug, queries.policy_rules(queries.get_policy(slug, int(number))).document
    chosen = slug if slug in shipped else "limited"
    return chosen, shipped[chosen]
