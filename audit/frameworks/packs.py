"""Read a framework pack: requirements, their rules and attestations, checked once, so that a wrong pack never makes a report.

Rules:
- a requirement is named by (framework, version, id), never by id alone, and says which source its text was made from;
- a rule names a fact that exists, with parameters that the fact takes;
- the digest of a pack's bytes is what an assessment binds.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from audit.facts.table import FACTS
from registry.access.models import Role
from registry.digests import sha256

CLASSES = ("A", "B", "C", "X")
NIST_AI_RMF = "nist_ai_rmf_1_0"
_MEMBERS = {"id", "function", "category", "class", "title", "rules", "attestation", "ceiling", "outside", "source"}
_RULE_MEMBERS = {"fact", "parameters", "indicator"}


class PackError(ValueError):
    """A pack that cannot be used; the message names the requirement and the member."""


@dataclass(frozen=True)
class Rule:
    """One fact that a requirement rests on. An indicator is shown, but closes nothing."""

    fact: str
    parameters: Mapping[str, Any]
    indicator: bool


@dataclass(frozen=True)
class AttestationNeed:
    """Who may sign for a requirement, for how long, and whether the requirement is open without it."""

    role: str
    valid_days: int
    needed: bool


@dataclass(frozen=True)
class Requirement:
    """One subcategory."""

    id: str
    function: str
    category: str
    cls: str
    title: str
    rules: tuple[Rule, ...]
    attestation: AttestationNeed | None
    ceiling: str
    outside: str
    source: str


@dataclass(frozen=True)
class Pack:
    """A framework."""

    id: str
    title: str
    version: str
    rules_version: int
    label: str
    disclaimer: str
    functions: Mapping[str, str]
    categories: Mapping[str, str]
    sources: Mapping[str, Mapping[str, str]]
    requirements: tuple[Requirement, ...]
    data: bytes

    @property
    def digest(self) -> str:
        return sha256(self.data)

    @property
    def name(self) -> str:
        return f"{self.title} {self.version}"


@cache
def load(pack_id: str = NIST_AI_RMF) -> Pack:
    """A pack that ships with the product."""
    if not re.fullmatch(r"[a-z0-9_]{1,60}", pack_id):
        raise PackError(f"{pack_id!r} is no name of a framework pack")
    try:
        data = files("audit.frameworks").joinpath(f"{pack_id}.toml").read_bytes()
    except FileNotFoundError:
        raise PackError(f"there is no framework pack {pack_id!r}") from None
    return parse(data)


def parse(data: bytes) -> Pack:
    """The pack in these bytes; PackError when something in it does not hold."""
    try:
        raw = tomllib.loads(data.decode())
        sources, functions, categories = raw["sources"], raw["functions"], raw["categories"]
        requirements = tuple(_requirement(row, sources, functions, categories) for row in raw["requirements"])
        pack = Pack(
            raw["id"], raw["title"], raw["version"], raw["rules_version"], raw["label"], raw["disclaimer"], functions,
            categories, sources, requirements, data,
        )  # fmt: skip
    except (KeyError, TypeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"the pack is not readable: {error!r}") from error
    doubled = {r.id for r in requirements if [x.id for x in requirements].count(r.id) > 1}
    if doubled:
        raise PackError(f"requirements stand twice: {', '.join(sorted(doubled))}")
    return pack


def _requirement(
    row: Mapping[str, Any],
    sources: Mapping[str, Any],
    functions: Mapping[str, str],
    categories: Mapping[str, str],
) -> Requirement:
    name = row["id"]
    if not set(row) <= _MEMBERS:
        raise PackError(f"{name}: unknown members {sorted(set(row) - _MEMBERS)}")
    if row["class"] not in CLASSES or row["function"] not in functions or row["category"] not in categories:
        raise PackError(f"{name}: class, function or category is not known")
    if not name.startswith(row["category"] + ".") or not row["category"].startswith(row["function"] + " "):
        raise PackError(f"{name}: does not belong to {row['category']} of {row['function']}")
    if row["source"] not in sources:
        raise PackError(f"{name}: its source {row['source']!r} is not described")
    rules = tuple(_rule(rule, name) for rule in row["rules"])
    need = _attestation(row.get("attestation"), name)
    if row["class"] != "A" and need is None:
        raise PackError(f"{name}: class {row['class']} says who signs")
    return Requirement(
        name, row["function"], row["category"], row["class"], row["title"], rules, need, row.get("ceiling", ""),
        row["outside"], row["source"],
    )  # fmt: skip


def _rule(row: Mapping[str, Any], name: str) -> Rule:
    spec = FACTS.get(row["fact"])
    if spec is None or not set(row) <= _RULE_MEMBERS:
        raise PackError(f"{name}: there is no fact {row['fact']!r}, or the rule has unknown members")
    given = row.get("parameters", {})
    if not set(given) <= set(spec.parameters):
        raise PackError(f"{name}: the fact {spec.name} takes {sorted(spec.parameters)}, not {sorted(given)}")
    return Rule(spec.name, {**spec.parameters, **given}, bool(row.get("indicator", False)))


def _attestation(row: Mapping[str, Any] | None, name: str) -> AttestationNeed | None:
    if row is None:
        return None
    if row["role"] not in Role.values or row["valid_days"] < 1:
        raise PackError(f"{name}: the attestation names no role or no time")
    return AttestationNeed(row["role"], row["valid_days"], row["needed"])
