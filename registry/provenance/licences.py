"""Licences as SPDX expressions, and their terms as data from the pack `licences.toml`. No tables here.

Rules:
- an id stands on the SPDX list, is one of our own `LicenseRef-pressmark-<name>`, or a team's own `LicenseRef-<name>` whose text was
  registered; anything else is refused by name;
- a term answers how free the licensee is: allowed, conditions, unknown, forbidden (in this order, mildest first);
- AND: every licence binds, so each term takes the strictest answer;
- OR: the licensee chooses one licence as a whole, never the best term of each; the choice is said;
- WITH: an exception is not read; the terms of the licence itself stand, which is the strict side, and that is said;
- a licence that the pack does not know has unknown terms; unknown is never guessed.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from license_expression import (
    AND,
    OR,
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

from registry.errors import Invalid

TERMS = (
    "commercial_use",
    "redistribution",
    "modification",
    "notice",
    "share_alike",
    "naming",
    "use_restrictions",
    "output_use",
    "jurisdiction",
)
ANSWERS = ("allowed", "conditions", "unknown", "forbidden")
"""Mildest first: an AND takes the last of what it meets."""

OWN_PREFIX = "LicenseRef-pressmark-"
TEAMS_OWN = re.compile(r"LicenseRef-(?!pressmark-)[A-Za-z0-9](?:[A-Za-z0-9.-]{0,60}[A-Za-z0-9])?", re.IGNORECASE)
"""An id of a team's own, by the rules of SPDX for names (letters, digits, - and .)."""
MAX_EXPRESSION_CHARACTERS = 200
_PACK_FILE = Path(__file__).with_name("licences.toml")


@dataclass(frozen=True)
class Term:
    """The answer of one licence to one term, and a sentence that says it."""

    answer: str
    sentence: str


class TermDocument(TypedDict):
    """One answer as it is kept."""

    answer: str
    sentence: str


class TermsDocument(TypedDict):
    """Terms as rows and the ledger keep them."""

    answers: dict[str, TermDocument]
    licences: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Terms:
    """What an expression asks for: an answer for each term, which licences were read, and what a reader must know."""

    answers: dict[str, Term]
    licences: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def document(self) -> TermsDocument:
        """The form that the row and the ledger keep."""
        return {
            "answers": {name: {"answer": t.answer, "sentence": t.sentence} for name, t in self.answers.items()},
            "licences": list(self.licences),
            "notes": list(self.notes),
        }


def as_terms(document: TermsDocument) -> Terms:
    """Terms from the form in which they are kept."""
    answers = {name: Term(row["answer"], row["sentence"]) for name, row in document["answers"].items()}
    return Terms(answers, tuple(document["licences"]), tuple(document["notes"]))


@dataclass(frozen=True)
class PackEntry:
    """A licence whose terms the pack knows."""

    name: str
    source: str
    terms: dict[str, Term]
    is_category: bool = False
    """A word for texts that nobody has named (`unknown`, `proprietary`): nobody can rule on it."""


@dataclass(frozen=True)
class Pack:
    """The terms pack: its id (version and digest) and its licences."""

    id: str
    entries: dict[str, PackEntry]


@functools.lru_cache(maxsize=1)
def pack() -> Pack:
    """The pack of this installation, read once."""
    raw = _PACK_FILE.read_bytes()
    content = tomllib.loads(raw.decode())
    sentences: dict[str, dict[str, str]] = content["sentences"]
    bodies: dict[str, dict[str, Any]] = content["licence"]
    entries = {
        name: PackEntry(
            name,
            str(body["source"]),
            {t: _term(_given(name, t, bodies), sentences[t]) for t in TERMS},
            "category" in body,
        )
        for name, body in bodies.items()
    }
    return Pack(f"licences/{content['version']}@{hashlib.sha256(raw).hexdigest()[:16]}", entries)


def _given(name: str, term: str, bodies: dict[str, dict[str, Any]]) -> Any:
    """What an entry says of a term: its own word, else that of the entry that it is like."""
    seen = [name]
    while term not in bodies[seen[-1]]:
        like = bodies[seen[-1]].get("like")
        if like not in bodies or like in seen:
            raise ValueError(f"the terms pack says nothing of {term} for {name}")
        seen.append(like)
    return bodies[seen[-1]][term]


def _term(given: str | list[str], usual: dict[str, str]) -> Term:
    answer, sentence = (given, usual[given]) if isinstance(given, str) else (given[0], given[1])
    if answer not in ANSWERS:
        raise ValueError(f"the terms pack answers {answer!r}; allowed: {', '.join(ANSWERS)}")
    return Term(answer, sentence)


@functools.lru_cache(maxsize=64)
def _licensing(teams_own: tuple[str, ...] = ()) -> Licensing:
    listed = [s for s in get_spdx_licensing().known_symbols.values() if not s.key.startswith("LicenseRef-")]
    own = [LicenseSymbol(name) for name in (*own_licences(), *teams_own)]
    # the library lets an alias such as LicenseRef-Apache stand for a listed id; only the ids themselves count here
    return Licensing([LicenseSymbol(s.key, _spdx_aliases(s), is_exception=s.is_exception) for s in listed] + own)


def _spdx_aliases(symbol: LicenseSymbol) -> tuple[str, ...]:
    return tuple(a for a in symbol.aliases if not a.startswith("LicenseRef-") and " " not in a)


def names_of_teams(text: str) -> tuple[str, ...]:
    """The ids of teams' own licences that stand in a text, as they are written there."""
    return tuple(sorted(set(TEAMS_OWN.findall(text))))


def normalise(expression: str, teams_own: Iterable[str] = ()) -> str:
    """The one spelling of an expression; Invalid names the id that is not known, with close matches.

    `teams_own`: ids of teams' own licences that are registered, in the spelling that counts.
    """
    text = expression.strip()
    if not text:
        raise Invalid(
            "No licence is given.",
            hint=f"Give an SPDX expression such as Apache-2.0; if nobody knows yet, {OWN_PREFIX}unknown says so.",
            code="licence-missing",
        )
    if len(text) > MAX_EXPRESSION_CHARACTERS or not (text.isascii() and text.isprintable()):
        raise Invalid(
            "This is no licence expression.",
            hint=f"Use at most {MAX_EXPRESSION_CHARACTERS} printable ASCII characters.",
            code="licence-expression",
        )
    known = tuple(sorted(teams_own))
    _refuse_unknown(text, known)
    return str(_parse(text, known))


def _parse(text: str, teams_own: tuple[str, ...]) -> Any:
    try:
        return _licensing(teams_own).parse(text, validate=True, strict=True)
    except ExpressionError as error:
        raise _malformed(text, error) from None
    except RecursionError as error:
        raise _malformed(text, error) from None


def _parse_stored(expression: str) -> Any:
    """An expression that was normalised before: every id of a team's own in it was registered then."""
    return _parse(expression, names_of_teams(expression))


def _refuse_unknown(text: str, teams_own: tuple[str, ...]) -> None:
    try:
        unknown = sorted(set(_licensing(teams_own).unknown_license_keys(text)))
    except (ExpressionError, RecursionError) as error:
        raise _malformed(text, error) from None
    if not unknown:
        return
    close = [match for key in unknown for match in _close_matches(key)]
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    own = "" if not any(TEAMS_OWN.fullmatch(key) for key in unknown) else (
        "A licence of your own is registered first, with its text (`pressmark register-licence TEAM LicenseRef-NAME --text FILE`). "
    )  # fmt: skip
    raise Invalid(
        f"{', '.join(unknown)} is no SPDX licence id, and no licence that was registered with its text.",
        hint=f"{hint}{own}Use an id of https://spdx.org/licenses/, or one of our own: {', '.join(own_licences())}.",
        code="licence-unknown",
        unknown=unknown,
        close=close,
    )


def own_licences() -> list[str]:
    """The `LicenseRef-pressmark-...` ids that the pack offers."""
    return sorted(name for name in pack().entries if name.startswith(OWN_PREFIX))


def is_category(expression: str) -> bool:
    """Whether an expression is, or joins, a word for texts that nobody has named."""
    known = pack().entries
    return any(part in known and known[part].is_category for part in parts_of(expression))


def _close_matches(key: str) -> list[str]:
    by_lower = {s.key.lower(): s.key for s in _licensing().known_symbols.values()}
    found = difflib.get_close_matches(key.lower(), list(by_lower), n=3, cutoff=0.7)
    return [by_lower[name] for name in found]


def _malformed(text: str, error: Exception) -> Invalid:
    return Invalid(
        f"{text!r} is no licence expression: {error}.",
        hint="Join SPDX ids with AND, OR and WITH, and use brackets, as in '(MIT OR Apache-2.0) AND CC-BY-4.0'.",
        code="licence-expression",
    )


def terms_of(expression: str, decided: Mapping[str, Terms] | None = None) -> Terms:
    """The terms of a normalised expression, by the rules at the top. `decided`: parts whose terms stand before the pack's."""
    return _evaluate(_parse_stored(expression), decided or {})


def parts_of(expression: str) -> tuple[str, ...]:
    """The licences that an expression joins, in its order; one with an exception as a whole, and the licence itself after it."""
    found: list[str] = []
    for part in _parse_stored(expression).get_literals():
        found.append(str(part))
        if isinstance(
            part, LicenseWithExceptionSymbol
        ):  # its terms are those of the licence itself, whoever ruled on them
            found.append(str(part.license_symbol))
    return tuple(dict.fromkeys(found))


def _evaluate(node: Any, decided: Mapping[str, Terms]) -> Terms:
    if str(node) in decided:
        return decided[str(node)]
    if isinstance(node, AND):
        return _all_bind([_evaluate(part, decided) for part in node.args])
    if isinstance(node, OR):
        return _one_chosen([(str(part), _evaluate(part, decided)) for part in node.args])
    if isinstance(node, LicenseWithExceptionSymbol):
        base = _evaluate(node.license_symbol, decided)
        note = f"The exception {node.exception_symbol.key} is not read; the terms of {node.license_symbol.key} stand."
        return Terms(base.answers, (str(node),), (*base.notes, note))
    return _single(node.key)


def _single(key: str) -> Terms:
    entry = pack().entries.get(key)
    if entry is not None:
        return Terms(entry.terms, (key,))
    own = TEAMS_OWN.fullmatch(key) is not None
    sentence = f"Nobody has ruled on {key} yet." if own else f"The terms pack does not know {key}; read its text."
    return Terms({term: Term("unknown", sentence) for term in TERMS}, (key,), (sentence,))


def _all_bind(parts: list[Terms]) -> Terms:
    answers = {}
    for term in TERMS:
        worst = max((p.answers[term] for p in parts), key=lambda t: ANSWERS.index(t.answer))
        answers[term] = worst
    licences = tuple(dict.fromkeys(name for p in parts for name in p.licences))
    return Terms(answers, licences, tuple(note for p in parts for note in p.notes))


def _one_chosen(parts: list[tuple[str, Terms]]) -> Terms:
    name, chosen = min(parts, key=lambda part: _weight(part[1]))
    others = ", ".join(other for other, _ in parts if other != name)
    note = f"Licensee's choice: {name} is taken as the freest; not taken: {others}."
    return Terms(chosen.answers, chosen.licences, (*chosen.notes, note))


def _weight(terms: Terms) -> tuple[int, ...]:
    """How much an alternative binds: what it forbids counts first, then what is unknown, then conditions."""
    given = [term.answer for term in terms.answers.values()]
    return tuple(given.count(answer) for answer in reversed(ANSWERS[1:]))
