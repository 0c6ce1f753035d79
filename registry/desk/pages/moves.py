"""Pages that move an alias: back to an earlier version, or to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from registry.catalog.models import RegisteredModel
from registry.desk.addresses import model_url
from registry.desk.forms import ReasonField
from registry.desk.http import Context, FormPage
from registry.desk.pages.catalog import find_model
from registry.errors import NotFound
from registry.events import Caller
from registry.release import queries, services
from registry.release.models import AliasAssignment


class MoveForm(forms.Form):
    """Why the alias moves."""

    reason = ReasonField()


class RollBackForm(MoveForm):
    """Where to and why; the version served just before stands first."""

    to_version = forms.ChoiceField(label="Back to")
    field_order = ("to_version", "reason")


class RollBack(FormPage):
    """Moves an alias back to an earlier version, after its bytes, approval and policy were checked again."""

    template = "release/roll_back.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        model, history = _history(caller, kwargs)
        targets = queries.rollback_candidates(history)
        return {"model": model, "alias": kwargs["alias"], "history": history, "targets": targets}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        form = RollBackForm(data)
        targets = queries.rollback_candidates(_history(caller, kwargs)[1])
        form.fields["to_version"].choices = [(v.number, f"version {v.number}") for v in targets]  # type: ignore[attr-defined]
        return form

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        model = find_model(caller, kwargs["team"], kwargs["model"])
        target = model.versions.get(number=data["to_version"])
        move = services.roll_back(
            actor=caller, model=model, alias=kwargs["alias"], reason=data["reason"], to_version=target
        )
        return model_url(kwargs), f"{kwargs['alias']} serves {move.version} again."


class Suspend(FormPage):
    """Lets an alias serve nothing."""

    template = "release/suspend.html"
    section = "models"
    form_class = MoveForm

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        model, history = _history(caller, kwargs)
        return {"model": model, "alias": kwargs["alias"], "history": history}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        model = find_model(caller, kwargs["team"], kwargs["model"])
        services.suspend(actor=caller, model=model, alias=kwargs["alias"], reason=data["reason"])
        return model_url(kwargs), f"{kwargs['alias']} serves nothing now."


def _history(caller: Caller, kwargs: Mapping[str, Any]) -> tuple[RegisteredModel, list[AliasAssignment]]:
    """A model and every move of one of its aliases."""
    model = find_model(caller, kwargs["team"], kwargs["model"])
    history = queries.alias_history(model, kwargs["alias"])
    if not history:
        raise NotFound(f"{model} has no alias '{kwargs['alias']}'.")
    return model, history
