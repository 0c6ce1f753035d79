"""The terms of licences as they count today: rulings in force before what the pack said when a licence was registered.

Rules:
- a ruling is about an expression and, where a licence has a text of its own, about that text: another text is ruled on anew;
- the newest ruling in force on the whole expression decides;
- else a ruling on a part flows into the expression: its other parts are read from the pack of today, and that is said;
- else the terms that were registered stand.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from registry.provenance import licences
from registry.provenance.licences import TermsDocument
from registry.provenance.models import Licence, LicenceRuling


class _Subject(NamedTuple):
    """What a ruling is about."""

    expression: str
    text_digest: str | None


class _Ruled(NamedTuple):
    """Terms by ruling, and where they come from in words."""

    terms: TermsDocument
    said: str


def terms_in_force(
    licence_ids: Iterable[uuid.UUID], *, supposing: LicenceRuling | None = None
) -> dict[uuid.UUID, TermsDocument]:
    """The terms that count today for each of the licences; or would count, `supposing` that a ruling were in force."""
    rows = Licence.objects.filter(pk__in=set(licence_ids)).values_list("pk", "expression", "text_digest", "terms")
    found = list(rows)
    if not found:
        return {}
    rulings = _rulings_in_force()
    if supposing is not None:
        subject = _Subject(supposing.licence.expression, supposing.licence.text_digest)
        rulings[subject] = _Ruled(supposing.terms, f"ruling {supposing.number}, not in force yet")
    if not rulings:
        return {key: terms for key, _, _, terms in found}
    single = _newest_texts(rulings)
    return {key: _terms(_Subject(expression, text), terms, rulings, single) for key, expression, text, terms in found}


def numbers_ruled_on(licence_ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Every row of an expression on which somebody ruled, where it is that of one of the licences or a part of it.

    All rows of it, not only the one that carries the ruling: which text is the newest decides what flows.
    """
    if not licence_ids:
        return []
    expressions = set(Licence.objects.filter(pk__in=licence_ids).values_list("expression", flat=True))
    names = expressions | {part for text in expressions if " " in text for part in licences.parts_of(text)}
    ruled = LicenceRuling.objects.filter(licence__expression__in=names).values("licence__expression")
    return list(Licence.objects.filter(expression__in=ruled).order_by("pk").values_list("pk", flat=True))


def _rulings_in_force() -> dict[_Subject, _Ruled]:
    """By what they are about, the newest last and so the one that stays."""
    rows = LicenceRuling.objects.filter(in_force_at__isnull=False, ended_at=None).order_by("in_force_at", "pk")
    columns = ("licence__expression", "licence__text_digest", "terms", "number", "in_force_at")
    return {
        _Subject(expression, text): _Ruled(terms, f"ruling {number}, in force since {at:%Y-%m-%d}")
        for expression, text, terms, number, at in rows.values_list(*columns)
    }


def _newest_texts(rulings: Mapping[_Subject, _Ruled]) -> dict[str, _Ruled]:
    """The rulings that may flow into larger expressions: those on the text that is the newest of its name."""
    named = {subject.expression for subject in rulings}
    rows = Licence.objects.filter(expression__in=named).order_by("expression", "number")
    newest = dict(rows.values_list("expression", "text_digest"))
    found = ((name, rulings.get(_Subject(name, text))) for name, text in newest.items())
    return {name: ruled for name, ruled in found if ruled is not None}


def _terms(
    subject: _Subject, registered: TermsDocument, rulings: Mapping[_Subject, _Ruled], single: Mapping[str, _Ruled]
) -> TermsDocument:
    ruled = rulings.get(subject)
    if ruled is not None:
        return _with_note(ruled.terms, f"The terms of {subject.expression} are those of {ruled.said}.")
    parts = licences.parts_of(subject.expression) if " " in subject.expression else ()
    flowing = {part: single[part] for part in parts if part in single}
    if not flowing:
        return registered
    decided = {part: licences.as_terms(ruled.terms) for part, ruled in flowing.items()}
    document = licences.terms_of(subject.expression, decided).document()
    for part, ruled in flowing.items():
        document = _with_note(document, f"Within {subject.expression}, the terms of {part} are those of {ruled.said}.")
    return document


def _with_note(terms: TermsDocument, note: str) -> TermsDocument:
    return {**terms, "notes": [*terms["notes"], note]}
