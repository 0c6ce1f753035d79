"""The same acts on the product and on the plain model: what one allows and the other refuses is an illegal transition.

Rules: acts go through services; the model says beforehand whether an act is allowed; at the end of each run what the model says,
what the tables say by the product's queries, and what the ledger alone says by replay and by history must be one. Time is moved by
hand for everything that reads a clock in this process; each run begins from the same state, which is rolled back to.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from audit.history.answers import model_as_of
from audit.verification import replay
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Problem
from registry.release import queries
from registry.release.admission import Asked, decide
from registry.release.admission_facts import facts_of
from registry.release.models import Alias, Approval, Waiver
from registry.release.quarantines import quarantined
from tests.release.governance_model import Model
from tests.release.governance_product import ROLES, Clock, Product
from tests.release.governance_records import ALIASES, APPROVERS, ENGINEERS, OFFICERS, OPERATORS, PEOPLE, TIERS


def likely(people: set[str]) -> Any:
    """Mostly somebody who has the role, now and then anybody."""
    return st.one_of(st.sampled_from(sorted(people)), st.sampled_from(sorted(people)), st.sampled_from(PEOPLE))


PICK, DAYS = st.integers(0, 9), st.one_of(st.none(), st.integers(0, 20))
ALIAS = st.sampled_from([ALIASES[0], ALIASES[0], ALIASES[1]])
DECIDERS = APPROVERS | OFFICERS | {"dora"}


class Governance(Product, RuleBasedStateMachine):
    """One model of a team in the hands of eight people."""

    tried: ClassVar[Counter[str]]
    done: ClassVar[Counter[str]]
    words: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        Clock.begin()
        self.savepoint = transaction.savepoint()
        self.model = Model()
        self.world = self.ground.world
        self.use_case = self.world.use_case("machine", "limited")
        self.line = self.world.model("machine", use_case=self.use_case)
        self.versions: list[Any] = []
        self.approvals: list[Any] = []
        self.waivers: list[Any] = []
        self.deputies: list[Any] = []
        self.act("register", "ada", True)

    def act(self, name: str, *given: Any) -> bool:
        """One act on both; they have to agree on whether it is allowed."""
        expected = getattr(self.model, name)(*given)
        refusal = ""
        try:
            getattr(self, f"_{name}")(*given)
        except Problem as problem:
            refusal = f"{problem.code}: {problem.detail}"
        self.tried[name] += 1
        self.done[name] += expected
        assert expected == (not refusal), f"{name}{given}: the model says {expected}, the product {refusal or 'yes'}"
        return bool(expected)

    # --- rules ---

    @precondition(lambda self: len(self.versions) < 4)
    @rule(who=likely(ENGINEERS), known=st.sampled_from([True, True, False]))
    def registers(self, who: str, known: bool) -> None:
        self.act("register", who, known)

    @rule(pick=PICK, declared=st.booleans())
    def measures(self, pick: int, declared: bool) -> None:
        self.act("measure", pick % len(self.versions), declared)

    @rule(who=likely(ENGINEERS), pick=PICK, alias=ALIAS, days=DAYS)
    def requests(self, who: str, pick: int, alias: str, days: int | None) -> None:
        self.act("request", who, pick % len(self.versions), alias, days)

    @rule(pick=PICK, alias=ALIAS)
    def releases(self, pick: int, alias: str) -> None:
        """The usual way in one go."""
        self._release(pick % len(self.versions), alias)

    @rule(who=likely(OPERATORS | APPROVERS), alias=ALIAS, back=st.booleans())
    def replaces(self, who: str, alias: str, back: bool) -> None:
        """Another version takes the place of the incumbent, and may be gone back from."""
        now = self.model.serves(alias)
        if now is None:
            self._release(0, alias)
        if len(self.versions) < 2:
            self.act("register", "ada", True)
        now = self.model.serves(alias)
        self._release(next(n for n in range(len(self.versions)) if now is None or n != now.version), alias)
        if back:
            self.act("roll_back", who, alias)

    def _release(self, version: int, alias: str) -> None:
        """What is in the way and can be mended is mended first; the rest refuses, on both sides."""
        if self.model.policy() is None:
            self.act("change_policy", self.model.tier, 1, 0)
        if not self.model.passes(version):
            self.act("waive", "carla", version, 9)
        self.act("request", "ada", version, alias, None)
        number = len(self.approvals) - 1
        if number >= 0:
            for decider in ("omar", "carla", "olga"):
                self.act("grant", decider, number, None)
            self.act("promote", "otto", number)

    @precondition(lambda self: self.approvals)
    @rule(who=likely(DECIDERS), pick=PICK, days=DAYS)
    def grants(self, who: str, pick: int, days: int | None) -> None:
        self.act("grant", who, self._late(pick), days)

    @precondition(lambda self: self.approvals)
    @rule(who=likely(DECIDERS), other=likely(ENGINEERS), pick=PICK, answers=st.booleans())
    def asks_a_question(self, who: str, other: str, pick: int, answers: bool) -> None:
        number = self._waiting(pick)
        if self.act("refuse", who, number, "returned") or answers:
            self.act("answer", other, number)

    @precondition(lambda self: self.approvals)
    @rule(
        who=likely(DECIDERS),
        other=likely(ENGINEERS),
        pick=PICK,
        kind=st.sampled_from(["rejected", "revoked", "withdrawn"]),
    )
    def ends_a_request(self, who: str, other: str, pick: int, kind: str) -> None:
        if kind == "revoked":
            self.act("revoke", who, self._late(pick))
        elif kind == "rejected":
            self.act("refuse", who, self._waiting(pick), kind)
        else:
            self.act("withdraw", other, self._waiting(pick))

    @precondition(lambda self: self.approvals)
    @rule(who=likely(OPERATORS | ENGINEERS), pick=PICK)
    def promotes(self, who: str, pick: int) -> None:
        self.act("promote", who, self._late(pick))

    @rule(who=likely(OPERATORS | APPROVERS), alias=ALIAS)
    def suspends(self, who: str, alias: str) -> None:
        self.act("suspend", who, alias)

    @rule(who=likely(OPERATORS | APPROVERS), alias=ALIAS)
    def goes_back(self, who: str, alias: str) -> None:
        self.act("roll_back", who, alias)

    @rule(who=likely(OPERATORS | APPROVERS), pick=PICK, alias=ALIAS)
    def breaks_glass(self, who: str, pick: int, alias: str) -> None:
        self.act("break_glass", who, pick % len(self.versions), alias)

    @rule(who=likely(OFFICERS | APPROVERS), pick=PICK, days=st.integers(0, 20))
    def waives(self, who: str, pick: int, days: int) -> None:
        self.act("waive", who, pick % len(self.versions), days)

    @precondition(lambda self: self.waivers)
    @rule(who=likely(OFFICERS), pick=PICK)
    def ends_waiver(self, who: str, pick: int) -> None:
        self.act("end_waiver", who, pick % len(self.waivers))

    @rule(
        kind=st.sampled_from(["policy", "policy", "tier", "end"]), tier=st.sampled_from(TIERS),
        grants=st.sampled_from([(1, 0), (1, 1), (2, 0), (2, 1)]), who=likely(OFFICERS),
    )  # fmt: skip
    def the_rules_change(self, kind: str, tier: str, grants: tuple[int, int], who: str) -> None:
        if kind == "policy":
            self.act("change_policy", tier, *grants)
        elif kind == "tier":
            self.act("change_tier", who, tier)
        else:
            self.act("end_policy", tier)
            self.act("change_policy", "limited" if tier == "minimal" else "minimal", *grants)

    @rule(
        kind=st.sampled_from(["appoint", "appoint", "end", "role"]), who=likely(APPROVERS | OFFICERS),
        days=st.integers(0, 20), pick=PICK,
    )  # fmt: skip
    def people_change(self, kind: str, who: str, days: int, pick: int) -> None:
        if kind == "appoint":
            self.act("appoint", who, days)
        elif kind == "end" and self.deputies:
            self.act("end_deputyship", pick % len(self.deputies))
        elif who in ROLES and who not in ("otto", "dora"):
            self.act("give_role" if who in self.model.without_role else "take_role", who)

    @rule(
        kind=st.sampled_from(["recall", "end_recall", "release", "release", "ask", "decide"]), who=likely(OFFICERS),
        other=likely(ENGINEERS), pick=PICK, granted=st.booleans(),
    )  # fmt: skip
    def a_recall(self, kind: str, who: str, other: str, pick: int, granted: bool) -> None:
        number = pick % len(self.versions)
        if kind in ("recall", "end_recall"):
            self.act(kind, who, number)
        if "open" not in self.model.versions[number].stops:
            return
        if kind in ("release", "ask"):
            self.act("ask_release", other, number)
        if kind in ("release", "decide"):
            self.act("decide_release", who, number, granted)

    @rule(days=st.sampled_from([1, 1, 2, 5, 29]))
    def time_passes(self, days: int) -> None:
        self.act("pass_time", days)

    def _late(self, pick: int) -> int:
        """Mostly one of the newest requests."""
        return max(0, len(self.approvals) - 1 - pick // 3)

    def _waiting(self, pick: int) -> int:
        """Mostly a request that waits for its grants: the newest, or one that is made now."""
        waiting = [n for n in range(len(self.approvals)) if self.model.word(n) == "requested"]
        if not waiting and pick > 1:
            self.act("request", "ada", pick % len(self.versions), "canary", None)
        return waiting[-1] if waiting else len(self.approvals) - 1

    # --- model = tables = ledger ---

    def teardown(self) -> None:
        try:
            self._compare_tables()
            assert replay.compare() == []
            self._compare_history()
        finally:
            transaction.savepoint_rollback(self.savepoint)

    def _words(self) -> dict[str, str]:
        rows = {str(row.pk): self.model.word(number) for number, row in enumerate(self.approvals)}
        self.words.update(rows.values())
        return rows

    def _compare_tables(self) -> None:
        rows = Approval.objects.filter(model=self.line)
        found = {str(r.pk): queries.approval_status(queries.approvals_of(r.version).get(pk=r.pk)) for r in rows}
        assert found == self._words()
        for alias in ALIASES:
            moves = [(m.kind, m.version_id) for m in reversed(queries.alias_history(self.line, alias))]
            expected = [(m.kind, self._key(m.version)) for m in self.model.aliases[alias]]
            assert moves == expected, alias
            candidates = queries.rollback_candidates(queries.alias_history(self.line, alias))
            assert [v.pk for v in candidates] == [self._key(v) for v in self.model.candidates(alias)]
        for number, version in enumerate(self.versions):
            assert bool(quarantined(version)) == ("recalled" in self.model.versions[number].stops)
            for alias in ALIASES:
                facts, asked = facts_of(self._fresh(number), Asked(alias), Clock.now())
                answer = decide(facts, asked)
                expected_yes = self.model.admits(number, alias)
                assert (answer.decision == "yes") == expected_yes, (number, alias, answer)
        in_force = {w.pk for w in Waiver.objects.filter(model=self.line, ended_at=None)}
        assert in_force == {row.pk for row, w in zip(self.waivers, self.model.waivers, strict=True) if not w.ended}

    def _fresh(self, number: int) -> Any:
        return ModelVersion.objects.select_related("model__team", "model__use_case").get(pk=self.versions[number].pk)

    def _key(self, version: int | None) -> Any:
        return None if version is None else self.versions[version].pk

    def _compare_history(self) -> None:
        model = RegisteredModel.objects.get(pk=self.line.pk)
        told = model_as_of(self.world.cast.root, model, {})
        assert {row["id"]: row["status"] for row in told["approvals"]} == self._words()
        for alias in told["aliases"]:
            now = self.model.serves(alias["alias"])
            serves = alias["serves"]["version"] if alias["serves"] else None
            assert serves == (None if now is None or now.version is None else now.version + 1), alias["alias"]
        assert {a["alias"] for a in told["aliases"]} == set(
            Alias.objects.filter(model=model).values_list("slug", flat=True)
        )
