"""Writes about licences: their rows, and what named persons found in their texts. Keyword-only, the actor first; all is emitted.

Rules:
- a licence of a team's own has a text; the same text is the same row, another text is another number, and only who registered it
  before, or an officer of the instance, may say that the text has changed;
- a ruling answers some terms, each with a sentence, and rests on a document about the licence; the other terms stay as they are;
- who may rule in some team may author one; it judges nothing until somebody else approves it, and because it counts for every
  team, approving and ending need the role for the whole instance; its author does not end alone what two people put in force;
- one ruling is in force for an expression (and text); the one before it is superseded in the same unit; one that was written before
  the terms changed is written again, so that nobody's answers are lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import IntegrityError
from django.db.models import Q

from registry.access import permissions
from registry.access.models import Team
from registry.access.queries_responsibility import is_own
from registry.access.services import new_text
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, Unit, current_unit, emit, unit
from registry.provenance import licences, queries, ruling_hooks
from registry.provenance.licences import ANSWERS, TERMS, TermDocument, TermsDocument
from registry.provenance.models import Document, Licence, LicenceRuling
from registry.provenance.services_documents import attach_document, require_for
from registry.provenance.subjects import Subject

MAX_SENTENCE_CHARACTERS = 300
_TEXT_KIND = "licence-text"
_OWN_PACK = "none: a text of a team's own"


def register_licence(
    *, actor: Caller, team: Team, expression: str, text_digest: str | None = None, title: str = ""
) -> Licence:
    """The row of an expression with its terms; the same row again while terms (and text) stay the same.

    `text_digest` names the uploaded text of a team's own `LicenseRef-<name>`; its terms are unknown until somebody rules.
    """
    role = permissions.require(actor, "licence.register", team.pk)
    if text_digest is not None:
        return _register_text(actor, role, expression.strip(), text_digest, title)
    spelling = queries.spelling_of(expression)
    if licences.TEAMS_OWN.fullmatch(spelling):
        found = queries.licence_in_force(spelling)
        assert found is not None  # the spelling is that of a row
        return found
    terms = licences.terms_of(spelling).document()
    try:
        return _write_licence(actor, role, spelling, terms)
    except IntegrityError:  # somebody else registered it in the same instant
        if current_unit() is not None:
            raise
        return _write_licence(actor, role, spelling, terms)


def _write_licence(actor: Caller, role: str, spelling: str, terms: TermsDocument) -> Licence:
    with unit(actor, role=role) as opened:
        newest = queries.licence_in_force(spelling)
        if newest is not None and newest.terms == terms:
            return newest
        return _create(opened, spelling, newest.number + 1 if newest else 1, terms, licences.pack().id, None)


def _create(
    opened: Unit, spelling: str, number: int, terms: TermsDocument, pack: str, text_digest: str | None
) -> Licence:
    licence = Licence.objects.create(
        expression=spelling, number=number, terms=terms, pack=pack, text_digest=text_digest,
        created_by_id=opened.caller.actor_id, created_at=opened.now,
    )  # fmt: skip
    emit("licence.registered", licence, team=None)
    return licence


def _register_text(actor: Caller, role: str, name: str, text_digest: str, title: str) -> Licence:
    if not licences.TEAMS_OWN.fullmatch(name):
        raise Invalid(
            f"{name[:80]!r} cannot have a text of your own.",
            hint="Name it LicenseRef-NAME (letters, digits, - and .); listed ids and LicenseRef-pressmark-... have theirs.",
            code="licence-own-name",
        )
    with unit(actor, role=role) as opened:
        rows = list(Licence.objects.select_for_update(no_key=True).filter(expression__iexact=name).order_by("number"))
        same = next((row for row in rows if row.text_digest == text_digest and row.ended_at is None), None)
        if same is not None:
            return same
        if rows and not any(row.created_by_id == actor.actor_id for row in rows):
            _require_officer(actor, rows[-1])
        spelling = rows[0].expression if rows else name
        terms = licences.terms_of(spelling).document()
        licence = _create(opened, spelling, len(rows) + 1, terms, _OWN_PACK, text_digest)
        attach_document(
            actor=actor, subject=subject_of(licence), kind=_TEXT_KIND, digest=text_digest, title=title or spelling
        )
        return licence


def _require_officer(actor: Caller, row: Licence) -> None:
    if not permissions.may(actor.actor_id, "ruling.author", None):
        raise Forbidden(
            f"{row.expression} was registered with another text, by somebody else.",
            hint="Use another name for your text, or ask a compliance officer of the instance to register the new one.",
            code="licence-of-others",
        )


def subject_of(licence: Licence) -> Subject:
    """A licence as what a document is about: it belongs to the instance."""
    return Subject("licence", f"licence:{licence.pk}", licence.pk, licence.expression, None)


# --- rulings ----------------------------------------------------------------------------------------------------------


def author_ruling(
    *, actor: Caller, licence: Licence, answers: Mapping[str, TermDocument], reason: str, document: Document
) -> LicenceRuling:
    """What a named person found: answers to terms, each with its sentence, on the ground of a document. Not in force yet."""
    role = require_for(actor, "ruling.author", subject_of(licence))
    check_answers(answers)
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say in a sentence or two how you came to these answers.")
    if licences.is_category(licence.expression):
        raise Invalid(
            f"{licence.expression} stands for texts that nobody has named, so nobody can rule on it.",
            hint="Register the text as LicenseRef-NAME, then correct the versions (or register the data) under it.",
            code="ruling-category",
        )
    if document.about not in set(queries.same_licence(licence).values_list("pk", flat=True)):
        raise Invalid(
            f"The document is not about {licence.expression}.",
            hint="Attach the text, or the opinion about it, to the licence first.",
            code="ruling-document",
        )
    with unit(actor, role=role) as opened:
        licence = Licence.objects.select_for_update(no_key=True).get(pk=licence.pk)
        before = queries.terms_in_force([licence.pk])[licence.pk]
        terms = ruled(before, answers)
        if terms["answers"] == before["answers"]:
            raise Conflict("These are the terms in force already.", hint="There is nothing to rule on.")
        newest = licence.rulings.order_by("-number").first()
        text = new_text(stream=f"licence:{licence.pk}", purpose="reason", value=reason, now=opened.now)
        ruling = LicenceRuling.objects.create(
            licence=licence, number=newest.number + 1 if newest else 1, terms=terms, document=document, reason=text,
            authored_by_id=actor.actor_id, authored_at=opened.now,
        )  # fmt: skip
        emit("ruling.authored", ruling, text, team=None, refs=[_ref(document)])
        return ruling


def check_answers(answers: Mapping[str, TermDocument]) -> None:
    """Invalid where an answer is none; asked before a document is attached for nothing."""
    if not answers:
        raise Invalid("No term is answered.", hint=f"Answer one or more of: {', '.join(TERMS)}.", code="ruling-answers")
    for term, given in answers.items():
        if term not in TERMS:
            raise Invalid(f"There is no term {term[:40]!r}.", hint=f"Terms are: {', '.join(TERMS)}.")
        if given["answer"] not in ANSWERS:
            raise Invalid(f"{term} is answered {given['answer'][:40]!r}.", hint=f"Answers are: {', '.join(ANSWERS)}.")
        said = given["sentence"].strip()
        if not 10 <= len(said) <= MAX_SENTENCE_CHARACTERS or not said.isprintable():
            raise Invalid(
                f"The sentence for {term} has {len(said)} characters.",
                hint=f"Say in one line of 10 to {MAX_SENTENCE_CHARACTERS} characters what the text grants or asks; it is sealed.",
                code="ruling-sentence",
            )


def ruled(before: TermsDocument, answers: Mapping[str, TermDocument]) -> TermsDocument:
    """The terms before, with some answers in their place; what stays unknown is said to be left open by the ruling."""
    given = {term: TermDocument(answer=a["answer"], sentence=a["sentence"].strip()) for term, a in answers.items()}
    # "nobody has ruled on it" would be untrue from now on, and would hide what is still missing
    left_open = {
        term: TermDocument(
            answer="unknown", sentence=f"The ruling leaves open what the text says on {term.replace('_', ' ')}."
        )
        for term, standing in before["answers"].items()
        if standing["answer"] == "unknown" and term not in given
    }
    return {"answers": {**before["answers"], **left_open, **given}, "licences": before["licences"], "notes": []}


def require_approve(*, actor: Caller, ruling: LicenceRuling) -> str:
    """The role under which the caller may put this ruling in force; Forbidden says why not."""
    role = permissions.require(actor, "ruling.approve", None)
    if is_own(actor.actor_id, ruling.authored_by_id):
        raise Forbidden(
            "You wrote this ruling; somebody else has to approve it.",
            hint="Ask a compliance officer, approver or administrator of the instance.",
            code="own-ruling",
        )
    return role


def approve_ruling(*, actor: Caller, ruling: LicenceRuling) -> LicenceRuling:
    """Put a ruling in force, for every team; the one before it on the same expression and text is superseded."""
    role = require_approve(actor=actor, ruling=ruling)
    with unit(actor, role=role) as opened:
        row = _locked(ruling)
        if row.in_force_at is not None:
            raise Conflict(f"{_name(row)} was approved already.")
        if row.ended_at is not None:
            raise Conflict(f"{_name(row)} was taken back.", hint="Author the answers again as a new number.")
        _refuse_overtaken(row)
        affected = [licence.pk for licence in queries.affected_licences(row.licence)]
        before = queries.terms_in_force(affected)
        for old in _in_force(row.licence):
            old.ended_at = opened.now
            old.save(update_fields=["ended_at"])
            emit("ruling.superseded", old, team=None)
        row.approved_by_id, row.in_force_at = actor.actor_id, opened.now
        row.save(update_fields=["approved_by", "in_force_at"])
        emit("ruling.approved", row, team=None, refs=[_ref(row.document)] if row.document else [])
        ruling_hooks.run_when_terms_changed(opened, _changed(before), row.licence.expression)
        return row


def end_ruling(*, actor: Caller, ruling: LicenceRuling, reason: str) -> LicenceRuling:
    """Take a ruling out of force, or back before anybody approved it. The terms that were registered stand again."""
    if ruling.in_force_at is None and ruling.authored_by_id == actor.actor_id:
        role = require_for(actor, "ruling.author", subject_of(ruling.licence))
    else:
        role = permissions.require(actor, "ruling.approve", None)
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say why the ruling should count no longer.")
    with unit(actor, role=role) as opened:
        row = _locked(ruling)
        if row.ended_at is not None:
            raise Conflict(f"{_name(row)} has ended already.")
        if row.in_force_at is not None and is_own(actor.actor_id, row.authored_by_id):
            raise Forbidden(
                "You wrote this ruling, and its end changes terms for every team; somebody else has to end it.",
                hint="Ask a compliance officer, approver or administrator of the instance, or author another ruling.",
                code="own-ruling",
            )
        before = queries.terms_in_force([licence.pk for licence in queries.affected_licences(row.licence)])
        text = new_text(stream=f"licence:{row.licence_id}", purpose="reason", value=reason, now=opened.now)
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        emit("ruling.ended", row, text, team=None)
        ruling_hooks.run_when_terms_changed(opened, _changed(before), row.licence.expression)
        return row


def _locked(ruling: LicenceRuling) -> LicenceRuling:
    """The ruling, with every row of its expression locked: two rulings must not come into force side by side."""
    list(Licence.objects.select_for_update(no_key=True).filter(expression=ruling.licence.expression).order_by("pk"))
    return LicenceRuling.objects.select_related("licence", "document").get(pk=ruling.pk)


def _refuse_overtaken(ruling: LicenceRuling) -> None:
    """A ruling holds an answer to every term: those that it left alone must still be what they were when it was written."""
    same = LicenceRuling.objects.filter(licence__in=queries.same_licence(ruling.licence))
    since = Q(in_force_at__gt=ruling.authored_at) | Q(in_force_at__isnull=False, ended_at__gt=ruling.authored_at)
    if same.filter(since).exists():
        raise Conflict(
            f"The terms of {ruling.licence.expression} have changed since {_name(ruling)} was written.",
            hint="Author the answers again: they are then put beside what is in force now.",
            code="ruling-overtaken",
        )


def _in_force(licence: Licence) -> list[LicenceRuling]:
    rows = LicenceRuling.objects.filter(licence__in=queries.same_licence(licence), in_force_at__isnull=False)
    return list(rows.filter(ended_at=None).order_by("pk"))


def _changed(before: ruling_hooks.Changed) -> ruling_hooks.Changed:
    now = queries.terms_in_force(before)
    return {key: terms for key, terms in before.items() if now[key]["answers"] != terms["answers"]}


def _ref(document: Document) -> Ref:
    return Ref("document", document.digest, document.size_bytes)


def _name(ruling: LicenceRuling) -> str:
    return f"Ruling {ruling.number} on {ruling.licence.expression}"
