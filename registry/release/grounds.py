"""On what a verdict rests: which rows, by which plan, which output and slices were judged, and who chose all that.

Rules:
- only what a rule went by stands here, told by the verdict's own inputs, so that it stays what the approver signs;
- size, speed, memory, energy and money rest on no rows that anybody could choose well;
- rows and plan that a rule names were chosen by the policy, which two people answer for; others by whoever asked to evaluate;
- how often a kind was measured is said, by runs, with how many found the same again, failed or were cancelled: the newest decides,
  so whoever tries often enough may have waited for good luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry import storage
from registry.catalog.evidence_reading import evidence_body
from registry.catalog.models import Evidence
from registry.compression.measured_again import Tries, tries_of
from registry.compression.queries import Names
from registry.digests import parse_canonical
from registry.events import Caller
from registry.provenance.models import DatasetVersion
from registry.release import queries
from registry.release.evidence_choice import ALL_ROWS, DISTINCT_ROWS, PLAN, ROWS, SEEN_ROWS, of_rows
from registry.release.models import Verdict

_CHECKS = ("figure", "evidence_present")
_FIRST_OUTPUT = "the first output of numbers with one entry a row"


@dataclass(frozen=True)
class Ground:
    """One set of rows, judged by one plan, and the rules that rest on it."""

    rules: Sequence[str]
    kinds: Sequence[str]
    dataset: DatasetVersion | None
    dataset_digest: str
    n: int | None
    """The largest sample over all rows; parts of it are smaller."""
    facts: Mapping[str, str]
    """What the environment says of all figures."""
    plan_digest: str
    plan: Mapping[str, Any]
    free_of_rows: Sequence[str]
    """The rules that name no rows: whoever asked for the evaluation chose them."""
    free_of_plan: Sequence[str]
    tries: int
    """How many runs had measured the kind that was measured most often, when the gate was asked."""
    alike: int
    """How many of these found again to the byte what was known."""
    failed: int
    cancelled: int
    """How many evaluations of the version had failed, and how many were cancelled."""

    @property
    def output(self) -> str:
        """Which output of the model was judged."""
        return str(self.plan.get("output") or _FIRST_OUTPUT)

    @property
    def of_team(self) -> str:
        """What stands before the name of the data, where the reader may know it."""
        return "" if self.dataset is None else f"of {self.dataset.dataset.team}/"

    @property
    def slices(self) -> Sequence[str]:
        """The columns whose groups were judged apart."""
        return [str(name) for name in self.plan.get("slices") or ()]

    @property
    def label(self) -> str:
        """The column that says what is right; empty where nothing says it."""
        return str(self.plan.get("label") or "")

    @property
    def distinct(self) -> str:
        """How many rows differ, where some repeat."""
        return self.facts.get(DISTINCT_ROWS, "")

    @property
    def seen(self) -> str:
        """How many rows the version had seen when it was made; empty for none."""
        said = self.facts.get(SEEN_ROWS, "0")
        return "" if said == "0" else said

    @property
    def is_free(self) -> bool:
        """Whether some rule leaves rows or plan to whoever asked."""
        return bool(self.free_of_rows or self.free_of_plan)

    @property
    def pins(self) -> str:
        """What a draft of the policy would say in each of the rules to rest on these rows and this plan alone."""
        named = {ROWS: self.dataset_digest} | ({PLAN: self.plan_digest} if self.plan_digest else {})
        return ",\n".join(f'"{name}": "{digest}"' for name, digest in named.items())


def grounds_of(verdict: Verdict) -> list[Ground]:
    """What the rules of a verdict went by, the ground of most rules first."""
    asked = {rule.id: rule.parameters for rule in queries.policy_rules(verdict.policy).rules}
    results: Any = queries.verdict_document(verdict)["results"]
    inputs = {digest for result in results if result["check"] in _CHECKS for digest in result["inputs"]}
    rows = Evidence.objects.filter(version=verdict.version_id, source="measured", created_at__lte=verdict.created_at)
    known = list(rows.select_related("dataset_version__dataset__team").order_by("pk"))
    found: dict[tuple[str, str], _Gathered] = {}
    for row in known:
        rules = [r["rule"] for r in results if r["check"] in _CHECKS and row.digest in r["inputs"]]
        if row.digest in inputs and of_rows(row.kind):
            document = evidence_body(row)
            key = (_subject(row, document), _facts(document).get("plan", ""))
            found.setdefault(key, _Gathered(row, [])).add(row, document, rules)
    tries = tries_of(verdict.version, verdict.created_at)
    grounds = [_ground(key, gathered, asked, known, tries) for key, gathered in found.items()]
    return sorted(grounds, key=lambda ground: (-len(ground.rules), ground.dataset_digest, ground.plan_digest))


def grounds_body(caller: Caller, verdict: Verdict) -> list[dict[str, Any]]:
    """The same for programs; what is of another team stands there by its digest."""
    names = Names(caller)
    return [
        {
            "rules": list(ground.rules),
            "kinds": list(ground.kinds),
            "dataset": names.reference(ground.dataset),
            "dataset_digest": ground.dataset_digest,
            "n": ground.n,
            "plan_digest": ground.plan_digest or None,
            "output": ground.plan.get("output"),
            "slices": list(ground.slices),
            "label": ground.label or None,
            DISTINCT_ROWS: ground.distinct or None,
            SEEN_ROWS: ground.seen or None,
            "rules_without_rows": list(ground.free_of_rows),
            "rules_without_plan": list(ground.free_of_plan),
            "measured_times": ground.tries,
            "measured_alike": ground.alike,
            "failed_runs": ground.failed,
            "cancelled_runs": ground.cancelled,
        }
        for ground in grounds_of(verdict)
    ]


@dataclass(frozen=True)
class _Gathered:
    """Evidence over the same rows by the same plan."""

    first: Evidence
    documents: list[tuple[Evidence, dict[str, Any], list[str]]]

    def add(self, row: Evidence, document: dict[str, Any], rules: list[str]) -> None:
        self.documents.append((row, document, rules))


def _ground(
    key: tuple[str, str],
    gathered: _Gathered,
    asked: Mapping[str, Mapping[str, Any]],
    known: Sequence[Evidence],
    tries: Tries,
) -> Ground:
    rules = sorted({rule for _, _, named in gathered.documents for rule in named})
    kinds = sorted({row.kind for row, _, _ in gathered.documents})
    facts = {name: value for _, document, _ in gathered.documents for name, value in _facts(document).items()}
    samples = [
        f["n"] for _, document, _ in gathered.documents for f in document["figures"] if not f["slice"] and f["n"]
    ]
    said = facts.get(ALL_ROWS, "")
    known_of = Counter(row.kind for row in known)
    times, alike = max((known_of[kind] + tries.alike.get(kind, 0), tries.alike.get(kind, 0)) for kind in kinds)
    return Ground(
        rules=rules,
        kinds=kinds,
        dataset=gathered.first.dataset_version,
        dataset_digest=key[0],
        n=int(said) if said.isdecimal() else max(samples, default=None),
        facts=facts,
        plan_digest=key[1],
        plan=_plan(key[1]),
        free_of_rows=[rule for rule in rules if asked.get(rule, {}).get(ROWS) is None],
        free_of_plan=[rule for rule in rules if asked.get(rule, {}).get(PLAN) is None],
        tries=times,
        alike=alike,
        failed=tries.failed,
        cancelled=tries.cancelled,
    )


def _facts(document: Mapping[str, Any]) -> dict[str, str]:
    return {str(fact["name"]): str(fact["value"]) for fact in document["environment"]}


def _subject(row: Evidence, document: Mapping[str, Any]) -> str:
    """The digest of the rows that were judged; of two sets (rows of another kind) the one that the record names."""
    if row.dataset_version is not None:
        return str(row.dataset_version.bound_digest)
    return next((str(s["digest"]) for s in document["subjects"] if s["role"] == "dataset"), "")


def _plan(digest: str) -> Mapping[str, Any]:
    """The document of a plan, where its bytes are here."""
    if not digest.startswith("sha256:") or not storage.is_stored(digest):
        return {}
    document = parse_canonical(storage.read_bytes(digest))
    return document if isinstance(document, dict) else {}
