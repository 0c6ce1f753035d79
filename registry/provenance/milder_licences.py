"""Who may say that something is under a milder licence than is stated: an officer who did not state what stands.

Rules:
- a licence is milder where it answers any term more freely, by the terms in force; what is stricter in every other one changes
  nothing: the two are not weighed against each other;
- a stricter licence is said by whoever may correct, and counts at once: a caution waits for nobody;
- a milder one frees what is live already, so it takes two people: who registered or corrected what stands, or
  stands behind the service account that did, cannot be the one.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from registry.access import permissions
from registry.access.queries_responsibility import hands_of
from registry.errors import Forbidden
from registry.events import Caller
from registry.provenance.licences import ANSWERS, TERMS, TermsDocument
from registry.provenance.models import Licence
from registry.provenance.ruled_terms import terms_in_force


def milder_terms(before: TermsDocument, after: TermsDocument) -> list[str]:
    """The terms that `after` answers more freely than `before`."""
    was, will_be = before["answers"], after["answers"]
    return [term for term in TERMS if _level(will_be[term]["answer"]) < _level(was[term]["answer"])]


def require_may_free(
    *, actor: Caller, team_id: uuid.UUID, standing: Licence, said: Licence, stated_by: Collection[uuid.UUID]
) -> None:
    """Forbidden where `said` is milder than what stands, and the caller may not say so alone. `stated_by`: who said what stands."""
    terms = terms_in_force({standing.pk, said.pk})
    freed = milder_terms(terms[standing.pk], terms[said.pk])
    if not freed:
        return
    named = ", ".join(term.replace("_", " ") for term in freed)
    what = f"{said.expression} is milder than {standing.expression} ({named})."
    if not permissions.may(actor.actor_id, "ruling.author", team_id):
        raise Forbidden(
            f"{what} That is for a compliance officer to say.",
            hint="Give an officer of the team the reason and the text; a stricter licence you may state yourself.",
            code="milder-licence",
        )
    if not hands_of(actor.actor_id).isdisjoint(stated_by):
        raise Forbidden(
            f"{what} You stated what stands (or a service account of yours did), so somebody else has to say so.",
            hint="Ask another compliance officer.",
            code="milder-licence-own",
        )


def _level(answer: str) -> int:
    return ANSWERS.index(answer)
