"""What a policy may say: the checks, their parameters, and how a document becomes a Policy that gates can evaluate.

Rules:
- a document obeys `schemas/policy-1.json` and the canonical form; each check has exactly its own parameters;
- rule ids are unique, so that a waiver names one rule; the digest of a rule says whether it is still the rule that was waived;
- kinds of findings, documents and reviews, and terms of licences, are words that exist: a rule about a kind that nothing ever has
  would hold always, or never;
- the language has a number: a gate never evaluates a language that it does not know.
No Django here: the same document is read by reports and by anybody outside.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from registry.digests import CanonicalError, canonical, is_slug, sha256
from registry.provenance.documents import KINDS as DOCUMENT_KINDS
from registry.provenance.licences import TERMS

POLICY_TYPE = "pressmark/policy/1"
LANGUAGE = 1
APPLIES_TO_ANY = "any"
OFFICERS_REQUIRED, LAPSE_GRACE_HOURS, BREAK_GLASS_HOURS = 0, 72, 24
"""What a policy means that says nothing about these."""
QUARANTINE = "in-quarantine"
"""The rule that stands in every policy unwritten."""
# named by the rooms that open findings and sign reviews too, which stand on Django: a test holds both together
FINDING_KINDS = ("approval-lapsed", "broken-glass", "manual", "recalled", "replay-differs", "terms-changed")
REVIEW_KINDS = ("vetting", "privacy", "legal", "security", "quality", "other")


class PolicyError(ValueError):
    """A policy document that cannot be evaluated; the message says where and why."""


@dataclass(frozen=True)
class Rule:
    """One condition for a release."""

    id: str
    about: str
    check: str
    applies_to: str
    waivable: bool
    parameters: Mapping[str, Any]
    digest: str

    def applies(self, origin: str) -> bool:
        """Whether the rule asks anything of a version of this origin (uploaded, derived)."""
        return self.applies_to in (APPLIES_TO_ANY, origin)


@dataclass(frozen=True)
class DriftLimits:
    """What a monitor may call drift, as the approver of the policy signed it. Decimals as text."""

    population_stability_index: str
    missing_share: str
    false_alarm_level: str


@dataclass(frozen=True)
class PolicyRules:
    """A policy as the gate reads it."""

    title: str
    tiers: tuple[str, ...]
    aliases: tuple[str, ...]
    approvals_required: int
    approval_valid_days: int
    waiver_valid_days: int
    drift_limits: DriftLimits
    rules: tuple[Rule, ...]
    document: Mapping[str, Any] = field(repr=False)
    officers_required: int = OFFICERS_REQUIRED
    """How many of the approvals are by compliance officers; the others are by approvers."""
    lapse_grace_hours: int = LAPSE_GRACE_HOURS
    """How long what an alias serves may go on after its approval has lapsed."""
    break_glass_hours: int = BREAK_GLASS_HOURS
    """How long a move without approval lasts."""

    def covers(self, tier: str, alias: str | None = None) -> bool:
        """Whether this policy judges releases of a tier to an alias; an empty list of aliases means every alias."""
        return tier in self.tiers and (alias is None or not self.aliases or alias in self.aliases)

    def rule(self, rule_id: str) -> Rule | None:
        return next((r for r in self.rules if r.id == rule_id), None)

    def overlaps(self, other: PolicyRules) -> set[str]:
        """Tiers that both policies would judge for some alias."""
        shared_alias = not self.aliases or not other.aliases or bool(set(self.aliases) & set(other.aliases))
        return set(self.tiers) & set(other.tiers) if shared_alias else set()


RULES_LIMIT = 100
"""As the schema has it."""


def parse(document: Any) -> PolicyRules:
    """A checked policy; PolicyError names the first thing that is wrong."""
    _check_schema(document)
    rules = tuple(_rule(r) for r in document["rules"])
    for rule in rules:
        _check_words(rule)
    ids = [r.id for r in rules]
    doubled = next((i for i in ids if ids.count(i) > 1), None)
    if doubled:
        raise PolicyError(f"the rule id {doubled!r} stands twice; give each rule a name of its own")
    if QUARANTINE in ids:
        raise PolicyError(f"{QUARANTINE!r} is the name of the rule that stands in every policy; give yours another one")
    if document.get("officers_required", OFFICERS_REQUIRED) > document["approvals_required"]:
        raise PolicyError(
            f"officers_required: {document['officers_required']} compliance officers cannot be among "
            f"{document['approvals_required']} approvals"
        )
    wrong = next((a for a in document["aliases"] if not is_slug(a) or not a[0].isalpha()), None)
    if wrong is not None:
        raise PolicyError(f"{wrong!r} is no name for an alias; it begins with a letter")
    limits = document["drift_limits"]
    return PolicyRules(
        title=document["title"],
        tiers=tuple(document["tiers"]),
        aliases=tuple(document["aliases"]),
        approvals_required=document["approvals_required"],
        approval_valid_days=document["approval_valid_days"],
        waiver_valid_days=document["waiver_valid_days"],
        drift_limits=DriftLimits(**limits),
        rules=rules,
        document=document,
        officers_required=document.get("officers_required", OFFICERS_REQUIRED),
        lapse_grace_hours=document.get("lapse_grace_hours", LAPSE_GRACE_HOURS),
        break_glass_hours=document.get("break_glass_hours", BREAK_GLASS_HOURS),
    )


def _rule(document: Mapping[str, Any]) -> Rule:
    common = ("id", "about", "check", "applies_to", "waivable")
    parameters = {k: v for k, v in document.items() if k not in common}
    return Rule(**{k: document[k] for k in common}, parameters=parameters, digest=sha256(canonical(document)))


def _check_words(rule: Rule) -> None:
    """Refuse words that nothing in a registry is ever called by."""
    words: dict[str, tuple[str, Collection[str], Collection[str]]] = {
        "open_findings": ("kind of finding", rule.parameters.get("kinds", ()), FINDING_KINDS),
        "document_attached": ("kind of document", [rule.parameters.get("kind", "")], DOCUMENT_KINDS),
        "review_in_force": ("kind of review", [rule.parameters.get("kind", "")], REVIEW_KINDS),
        "terms": ("term of licences", [rule.parameters.get("term", "")], TERMS),
    }
    what, given, known = words.get(rule.check, ("", (), ()))
    wrong = next((word for word in given if word not in known), None)
    if wrong is not None:
        raise PolicyError(f"the rule '{rule.id}' names {wrong!r}, which is no {what}; there are: {', '.join(known)}")


def _check_schema(document: Any) -> None:
    rules = document.get("rules") if isinstance(document, dict) else None
    if isinstance(rules, list) and len(rules) > RULES_LIMIT:  # before each is held against every check
        raise PolicyError(f"rules: {len(rules)} are too many; a policy has at most {RULES_LIMIT}")
    try:
        canonical(document)
    except CanonicalError as error:
        raise PolicyError(str(error)) from None
    found = sorted(_validator().iter_errors(document), key=lambda e: [str(p) for p in e.absolute_path])
    if found:
        first = found[0]
        where = "/".join(str(p) for p in first.absolute_path) or "the document"
        raise PolicyError(f"{where}: {_plain(first)}")


def _plain(error: Any) -> str:
    """The message of a schema error; for a rule, that of the check which it names."""
    if error.validator != "oneOf" or not isinstance(error.instance, dict):
        return str(error.message)
    check = error.instance.get("check")
    for branch in error.context:
        names = error.schema["oneOf"][branch.schema_path[0]]["properties"]["check"]
        if names.get("const") == check:
            where = "/".join(str(p) for p in branch.path)
            return f"{where + ': ' if where else ''}{branch.message}"
    return f"{check!r} is no check; there are: {', '.join(checks())}"


@cache
def _schema() -> dict[str, Any]:
    text = files("registry.release").joinpath("schemas/policy-1.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(_schema())


def checks() -> list[str]:
    """The names of all checks of this language."""
    return [branch["properties"]["check"]["const"] for branch in _schema()["$defs"]["rule"]["oneOf"]]


def ready_made() -> Iterator[tuple[str, dict[str, Any]]]:
    """The policies that ship, one for each tier: slug and document."""
    folder = files("registry.release").joinpath("policies")
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name.endswith(".json"):
            yield path.name.removesuffix(".json"), json.loads(path.read_text("utf-8"))
