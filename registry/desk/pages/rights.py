"""The page of a team's rights: who may do what with each alias, and the rules that narrow it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from django import forms
from django.urls import reverse

from registry.access import permissions
from registry.access.models import Role
from registry.access.permissions import PERMISSIONS
from registry.access.queries import get_readable, get_team
from registry.access.queries_responsibility import hands_of
from registry.desk.forms import AliasField
from registry.desk.http import Act, Context, Page
from registry.events import Caller
from registry.release.alias_rules import ACTS, rights_of, rules_of
from registry.release.services.alias_rules import approve_alias_rule, author_alias_rule, end_alias_rule
from registry.release.serving_models import AliasRule

ACT_WORDS = {
    "request": "ask for approval",
    "promote": "promote",
    "roll-back": "roll back",
    "suspend": "suspend",
}


class RuleForm(forms.Form):
    """An alias, an act, and the role that it is kept for."""

    alias = AliasField(label="Alias", help_text="Such as production.")
    action = forms.ChoiceField(label="Act", choices=list(ACT_WORDS.items()))
    role = forms.ChoiceField(
        label="Only for",
        choices=[(r.value, r.label) for r in Role if any(r in PERMISSIONS[act] for act in ACTS.values())],
        help_text="Several rules for one act let several roles do it. A rule takes rights away and never gives any.",
    )


class AliasRights(Page):
    """Who may do what with each alias of a team, people by name."""

    template = "release/rights.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        team = get_team(caller, kwargs["team"])
        rights = [
            (right, sorted(role.label for role in right.roles), ACT_WORDS[right.action]) for right in rights_of(team)
        ]
        rules = [(rule, ACT_WORDS[rule.action], Role(rule.role).label, _state(rule)) for rule in rules_of(team)]
        return {
            "team": team,
            "rights": [(alias, list(rows)) for alias, rows in groupby(rights, key=lambda row: row[0].alias)],
            "rules": rules,
            "mine": hands_of(caller.actor_id),
            "may_author": permissions.may(caller.actor_id, "alias_rule.author", team.pk),
            "may_approve": permissions.may(caller.actor_id, "alias_rule.approve", team.pk),
            "form": RuleForm(),
        }


def _state(rule: AliasRule) -> str:
    if rule.ended_at is not None:
        return "ended"
    return "in force" if rule.in_force_at is not None else "waiting"


class _RuleAct(Act):
    page = AliasRights

    def rule(self, caller: Caller, kwargs: Mapping[str, Any]) -> AliasRule:
        rows = AliasRule.objects.select_related("team")
        return get_readable(rows, caller, team="team", pk=kwargs["rule"], team__slug=kwargs["team"])

    def back(self, kwargs: Mapping[str, Any], said: str) -> tuple[str, str]:
        return reverse("desk:alias-rights", args=[kwargs["team"]]), said


class AuthorAliasRule(_RuleAct):
    """Another rule."""

    form_class = RuleForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        author_alias_rule(actor=caller, team=get_team(caller, kwargs["team"]), **data)
        return self.back(kwargs, "The rule is written. It counts once somebody else approved it.")


class ApproveAliasRule(_RuleAct):
    """A rule of somebody else comes into force."""

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        approve_alias_rule(actor=caller, rule=self.rule(caller, kwargs))
        return self.back(kwargs, "The rule is in force.")


class EndAliasRule(_RuleAct):
    """A rule goes."""

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        end_alias_rule(actor=caller, rule=self.rule(caller, kwargs))
        return self.back(kwargs, "The rule counts no more.")
