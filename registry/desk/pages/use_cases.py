"""Pages about use cases and how they get their tier: the questionnaire, the answers, and who put the questions in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse

from registry.access import permissions
from registry.access.models import Team
from registry.access.queries import get_team, readable
from registry.access.queries_responsibility import is_own
from registry.catalog.models import RegisteredModel
from registry.desk.forms import DocumentField, ReasonField
from registry.desk.http import Act, Context, FormPage, Page
from registry.events import Caller
from registry.oversight import queries, queries_tiers, services, services_tiers, tiers
from registry.oversight.models import TierTable, UseCase
from registry.release import queries as release

_DOCUMENT_CHARACTERS = 200_000
_TEAMS = 50
"""So many are offered by name; a use case of another team is registered by its address or by a verb."""


def table_state(row: TierTable) -> str:
    """in force, waiting for approval, or ended."""
    if row.ended_at is not None:
        return "ended"
    return "in force" if row.in_force_at is not None else "waiting"


class UseCases(Page):
    """Every use case of the reader's teams with its tier, and the tier tables."""

    template = "oversight/use_cases.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        related = ("team", "owner", "purpose", "tier_table")
        rows = readable(UseCase.objects.select_related(*related), caller).order_by("team__slug", "slug")
        tables = TierTable.objects.select_related("author", "approved_by").order_by("-number")
        teams = readable(Team.objects.all(), caller, team="pk").order_by("slug")[:_TEAMS]
        return {
            "use_cases": [(row, queries_tiers.standing(row)) for row in rows[:300]],
            "tables": [(row, table_state(row)) for row in tables],
            "may_author": permissions.may(caller.actor_id, "tier_table.author", None),
            "register_in": [team for team in teams if permissions.may(caller.actor_id, "use_case.register", team.pk)],
        }


def _use_case(caller: Caller, kwargs: Mapping[str, Any]) -> UseCase:
    return queries.get_use_case(caller, kwargs["team"], kwargs["use_case"])


class UseCasePage(Page):
    """One use case: what it is for, which answers decide its tier, which policy judges it, which models serve it."""

    template = "oversight/use_case.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = _use_case(caller, kwargs)
        standing = queries_tiers.standing(row)
        given = {answer["question"]: answer["answer"] for answer in row.answers or []}
        asked = queries_tiers.questionnaire(standing.table).questions if standing.table else ()
        models = readable(RegisteredModel.objects.filter(use_case=row, ended_at=None), caller)
        return {
            "use_case": row,
            "standing": standing,
            "deciding": standing.result.deciding if standing.result else (),
            "answers": [(question, question.answer(given[question.id])) for question in asked],
            "policy": release.policy_in_force(row.tier),
            "models": models.select_related("team", "owner").order_by("slug"),
            "table": queries_tiers.tier_table_in_force(),
            "may_answer": permissions.may(caller.actor_id, "use_case.register", row.team_id),
        }


class AnswersForm(forms.Form):
    """One choice for each question, and on what the answers rest."""

    def __init__(self, table: tiers.Questionnaire, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for question in table.questions:
            choices = [(a.id, f"{a.text} ({a.tier})") for a in question.answers]
            self.fields[question.id] = forms.ChoiceField(
                label=question.question, choices=choices, widget=forms.RadioSelect, help_text=question.help
            )
        self.fields["reason"] = ReasonField(label="On what the answers rest")


class AnswerTierTable(FormPage):
    """The questions in force, with the answers that were given before."""

    template = "oversight/answer_tier_table.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = _use_case(caller, kwargs)
        lowers = permissions.may(caller.actor_id, "use_case.lower_tier", row.team_id)
        return {"use_case": row, "table": queries_tiers.tier_table_in_force(), "may_lower": lowers}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        row, table = _use_case(caller, kwargs), queries_tiers.tier_table_in_force()
        if table is None:
            return forms.Form(data)
        given = {answer["question"]: answer["answer"] for answer in row.answers or []}
        return AnswersForm(queries_tiers.questionnaire(table), data, initial=given)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = _use_case(caller, kwargs)
        table = queries_tiers.tier_table_in_force()
        asked = queries_tiers.questionnaire(table).questions if table else ()
        answers = [{"question": question.id, "answer": data[question.id]} for question in asked]
        row = services_tiers.answer_tier_table(
            actor=caller, use_case=row, answers=answers, reason=data.get("reason", "")
        )
        target = reverse("desk:use-case", args=[kwargs["team"], kwargs["use_case"]])
        return target, f"The use case has tier {row.tier}."


# --- a new one ---

_ANSWER = "answer-"
"""Before the name of a question: it may be called like a field of the form, as `sector` is."""


class UseCaseForm(forms.Form):
    """What models are for somewhere, and the answers that say how much care that asks for."""

    slug = forms.CharField(label="Name", max_length=63, help_text="a-z 0-9 . _ - ; sealed in clear, never changed.")
    purpose = forms.CharField(label="Purpose", widget=forms.Textarea(attrs={"rows": 3}), max_length=4000)
    users = forms.CharField(label="Who works with the answers", max_length=4000, required=False)
    prohibited = forms.CharField(label="What it must not be used for", max_length=4000, required=False)
    sector = forms.CharField(label="Sector", max_length=60, help_text="A word or two; sealed in clear.")
    jurisdiction = forms.CharField(label="Jurisdiction", max_length=60, help_text="Such as EU; sealed in clear.")
    owner = forms.CharField(label="Owner", max_length=150, help_text="User name of the person who answers for it.")

    def __init__(self, table: tiers.Questionnaire | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if table is not None:
            questions = {name: field for name, field in AnswersForm(table).fields.items() if name != "reason"}
            self.fields |= {f"{_ANSWER}{name}": field for name, field in questions.items()}
        choices = [("", "as the answers say")] if table is not None else []
        self.fields["tier"] = forms.ChoiceField(
            label="Tier by hand", choices=[*choices, *((tier, tier) for tier in tiers.ORDER)], required=table is None,
            help_text="Only higher than the answers give." if table is not None else "No questionnaire is in force.",
        )  # fmt: skip
        self.fields["reason"] = ReasonField(label="On what this rests")


class RegisterUseCase(FormPage):
    """A new use case of a team."""

    template = "oversight/register_use_case.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        team = get_team(caller, kwargs["team"])
        permissions.require(caller, "use_case.register", team.pk)
        return {"team": team, "table": queries_tiers.tier_table_in_force()}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        table = queries_tiers.tier_table_in_force()
        return UseCaseForm(queries_tiers.questionnaire(table) if table else None, data)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        table = queries_tiers.tier_table_in_force()
        asked = queries_tiers.questionnaire(table).questions if table else ()
        answers = [{"question": question.id, "answer": data[f"{_ANSWER}{question.id}"]} for question in asked]
        given = {name: data[name] for name in (*UseCaseForm.base_fields, "tier", "reason")}
        given["owner"] = queries.person(data["owner"])
        row = services.register_use_case(actor=caller, team=get_team(caller, kwargs["team"]), answers=answers, **given)
        return reverse("desk:use-case", args=[kwargs["team"], row.slug]), f"The use case has tier {row.tier}."


# --- tier tables ---


class TierTablePage(Page):
    """One table: every question, and the floor that each answer sets."""

    template = "oversight/tier_table.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = queries_tiers.get_tier_table(kwargs["number"])
        table = queries_tiers.questionnaire(row)
        may_approve = permissions.may(caller.actor_id, "tier_table.approve", None)
        return {
            "table": row,
            "state": table_state(row),
            "questionnaire": table,
            "document": json.dumps(table.document, indent=1, ensure_ascii=False),
            "own": is_own(caller.actor_id, row.author_id),
            "may_approve": may_approve,
        }


class ApproveTierTable(Act):
    """Puts a table of somebody else in force."""

    page = TierTablePage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = services_tiers.approve_tier_table(actor=caller, table=queries_tiers.get_tier_table(kwargs["number"]))
        said = f"Use cases answer the {row} from now on."
        return reverse("desk:tier-table", args=[row.number]), said


class TierTableForm(forms.Form):
    """A document."""

    document = DocumentField(of_type="pressmark/tier_table/1", max_length=_DOCUMENT_CHARACTERS)


class AuthorTierTable(FormPage):
    """The next table, beginning with the one in force or the one that ships."""

    template = "oversight/author_tier_table.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        permissions.require(caller, "tier_table.author", None)
        return {"table": queries_tiers.tier_table_in_force()}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        if data is not None:
            return TierTableForm(data)
        table = queries_tiers.tier_table_in_force()
        document = queries_tiers.questionnaire(table).document if table else tiers.ready_made()
        return TierTableForm(initial={"document": json.dumps(document, indent=1, ensure_ascii=False)})

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = services_tiers.author_tier_table(actor=caller, document=data["document"])
        said = f"The {row} is written. Somebody else puts it in force."
        return reverse("desk:tier-table", args=[row.number]), said
