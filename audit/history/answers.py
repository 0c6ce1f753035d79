"""One answer about a model as of a moment, as every door gives it: the state, the steps around it, and what changed since another.

Rules: `at` or `position` is the moment, `compare_at` or `compare_position` another one; whichever comes first in the ledger is the
beginning of what changed; who may not see the model is told by the query that found it, before this is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from audit.history import moments
from audit.history import steps as history_steps
from audit.history import team as history_team
from audit.history.changes import changes
from audit.history.moments import Moment
from audit.history.names import Names, Shape
from audit.history.past_state import ModelThen
from audit.history.shapes import model_body
from registry.access.models import Team
from registry.catalog.models import RegisteredModel
from registry.events import Caller

_COMPARE = ("compare_at", "compare_position")


def moment_of(query: Mapping[str, str]) -> Moment:
    """The moment that is asked about."""
    return moments.resolve(query.get("at", ""), query.get("position", ""))


def other_moment_of(query: Mapping[str, str]) -> Moment | None:
    """The moment to compare with, where one is given."""
    at, position = (query.get(name, "") for name in _COMPARE)
    return moments.resolve(at, position) if at.strip() or position.strip() else None


def model_as_of(caller: Caller, model: RegisteredModel, query: Mapping[str, str]) -> Shape:
    """A model that the caller may see, as of the moment in the query."""
    moment, other = moment_of(query), other_moment_of(query)
    then = ModelThen(model.pk, moment)
    body = model_body(caller, then, str(model))
    body["steps"] = _steps_body(caller, then)
    body["changes"] = None if other is None else _changes_body(caller, model, body, moment, other)
    return body


def team_as_of(caller: Caller, team: Team, query: Mapping[str, str]) -> Shape:
    """A page of the models of a team that the caller may see, as of the moment in the query."""
    then = history_team.team_then(team.pk, moment_of(query), query.get("after", ""))
    return history_team.team_body(caller, then, team.slug)


def _changes_body(caller: Caller, model: RegisteredModel, body: Shape, moment: Moment, other: Moment) -> Shape:
    another = model_body(caller, ModelThen(model.pk, other), str(model))
    before, after = (body, another) if _key(moment) <= _key(other) else (another, body)
    return {
        "entries": after["entries"] - before["entries"],
        "from": before["as_of"],
        "found": changes(before, after),
        "to": after["as_of"],
    }


def _key(moment: Moment) -> tuple[int, str]:
    return moment.position, moment.time


def _steps_body(caller: Caller, then: ModelThen) -> Shape:
    found = history_steps.around(then.stream, then.seen)
    names = Names(caller)
    names.load_people(key for act in [*found.earlier, *found.later] for key in (act.actor, act.on_behalf_of))

    def act_body(act: history_steps.Act) -> Shape:
        return {
            "at": act.at,
            "by": names.person(act.actor, act.role),
            "kinds": list(act.kinds),
            "on_behalf_of": names.person(act.on_behalf_of),
            "position": act.position,
        }

    return {
        "back": found.back,
        "earlier": [act_body(act) for act in found.earlier],
        "forward": found.forward,
        "later": [act_body(act) for act in found.later],
    }
