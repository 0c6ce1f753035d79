"""The same acts on the product and on the plain model: what one allows and the other refuses is an illegal transition.

Rules: acts go through services; the model says beforehand whether an act is allowed; at the end of each run what the model says,
what the tables say by the product's queries, and what the ledger alone says by replay and by history must be one. Time is moved by
hand for everything that reads a clock in this process; each run begins from the same state, which is rolled back to.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from audit.history.answers import model_as_of
from audit.verification import replay
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.catalog.stated import stated
from registry.errors import Problem
from registry.release import queries
from registry.release.admission import Asked, decide
from registry.release.admission_facts import facts_of
from registry.release.models import Alias, Waiver
from registry.release.quarantines import quarantined
from tests.release.governance_model import Model
from tests.release.governance_product import ROLES, Clock, Product
from tests.release.governance_records import (
    ALIASES,
    APPROVERS,
    ENGINEERS,
    MOVERS,
    OFFICERS,
    OPERATORS,
    PEOPLE,
    TIERS,
)


def likely(people: set[str]) -> Any:
    """Mostly somebody who has the role, now and then anybody."""
    return st.one_of(st.sampled_from(sorted(people)), st.sampled_from(sorted(people)), st.sampled_from(PEOPLE))


PICK, DAYS = st.integers(0, 9), st.one_of(st.none(), st.integers(0, 20))
SELDOM = st.integers(0, 5).map(lambda n: n == 5)
ALIAS = st.sampled_from([ALIASES[0], ALIASES[0], ALIASES[1]])
DECIDERS = APPROVERS | OFFICERS | {"dora"}
MAKERS = sorted(ENGINEERS)


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
        self.use_case, self.line = self.ground.use_case, self.ground.line
        self.versions: list[Any] = [self.ground.first]
        self.model.register("ada", True)
        self.approvals: list[Any] = []
        self.waivers: list[Any] = []
        self.deputies: list[Any] = []
        self.rules: list[Any] = []
        self.place = self.ground.place

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

    # --- rules: what exists ---

    @precondition(lambda self: len(self.versions) < 5)
    @rule(
        who=likely(ENGINEERS),
        known=st.sampled_from([True, True, False]),
        maker=st.sampled_from([None, *MAKERS]),
        pick=PICK,
    )
    def registers(self, who: str, known: bool, maker: str | None, pick: int) -> None:
        if maker is None:
            self.act("register", who, known)
        else:
            self.act("derive", maker, pick % len(self.versions))

    @rule(
        who=likely(ENGINEERS | OFFICERS),
        pick=PICK,
        kind=st.sampled_from(["measured", "declared", "corrected", "corrected"]),
    )
    def says_more_of_a_version(self, who: str, pick: int, kind: str) -> None:
        number = self._served_mostly(pick)
        if kind == "corrected":
            self.act("correct", who, number, not self.model.versions[number].known if pick else True)
        else:
            self.act("measure", number, kind == "declared")

    # --- rules: a release ---

    @rule(pick=PICK, alias=ALIAS, acts=st.sampled_from([1, 1, 2, 5]))
    def goes_on(self, pick: int, alias: str, acts: int) -> None:
        """The next acts of the usual way from an idea to a release, as far as they are allowed."""
        for _ in range(acts):
            if not self._go_on(pick, alias):
                return

    def _go_on(self, pick: int, alias: str) -> bool:
        model = self.model
        if model.policy() is None:
            return self.act("change_policy", model.tier, 1 + pick % 2, pick % 2)
        now = model.serves(alias)
        others = [n for n in range(len(self.versions)) if not (now and now.version == n) and not model.stopped(n)]
        if not others:
            return self.act("register", "ada", True)
        number = others[pick % len(others)]
        if not model.passes(number):
            return self.act("waive", "carla", number, 9)
        asked = [n for n, a in enumerate(model.approvals) if (a.version, a.alias) == (number, alias)]
        word = model.word(asked[-1]) if asked else ""
        if word == "granted" and model.corrected(asked[-1]) is None:
            movers = [who for who in ("otto", "omar", "ada") if model.may(who, "promote", alias)]
            return self.act("promote", movers[0] if movers else "otto", asked[-1])
        if word == "returned":
            return self.act("answer", "edda", asked[-1])
        if word != "requested":
            return self.act("request", "ada", number, alias, None, False)
        ready = [who for who in PEOPLE if model.way(who, asked[-1], granting=True)]
        return self.act("grant", ready[pick % len(ready)] if ready else "omar", asked[-1], None, False)

    @rule(who=likely(ENGINEERS), pick=PICK, alias=ALIAS, days=DAYS, here=SELDOM)
    def requests(self, who: str, pick: int, alias: str, days: int | None, here: bool) -> None:
        self.act("request", who, pick % len(self.versions), alias, days, here)

    @precondition(lambda self: self.approvals)
    @rule(who=likely(DECIDERS), pick=PICK, days=DAYS, here=SELDOM)
    def grants(self, who: str, pick: int, days: int | None, here: bool) -> None:
        self.act("grant", who, self._late(pick), days, here)

    @precondition(lambda self: self.approvals)
    @rule(who=likely(DECIDERS), other=likely(ENGINEERS), pick=PICK, answers=st.booleans())
    def asks_a_question(self, who: str, other: str, pick: int, answers: bool) -> None:
        number = self._waiting(pick)
        if self.act("refuse", who, number, "returned") or answers:
            self.act("answer", other, number)

    @precondition(lambda self: self.approvals)
    @rule(
        who=likely(DECIDERS), other=likely(ENGINEERS), pick=PICK,
        kind=st.sampled_from(["rejected", "revoked", "withdrawn"]),
    )  # fmt: skip
    def ends_a_request(self, who: str, other: str, pick: int, kind: str) -> None:
        if kind == "revoked":
            self.act("revoke", who, self._late(pick))
        elif kind == "rejected":
            self.act("refuse", who, self._waiting(pick), kind)
        else:
            self.act("withdraw", other, self._waiting(pick))

    @rule(who=likely(OFFICERS | APPROVERS), pick=PICK, days=st.integers(0, 20), ends=SELDOM)
    def excuses(self, who: str, pick: int, days: int, ends: bool) -> None:
        if ends and self.waivers:
            self.act("end_waiver", who, pick % len(self.waivers))
        else:
            self.act("waive", who, pick % len(self.versions), days)

    # --- rules: moves ---

    @precondition(lambda self: self.approvals)
    @rule(who=likely(OPERATORS | ENGINEERS), pick=PICK)
    def promotes(self, who: str, pick: int) -> None:
        self.act("promote", who, self._late(pick))

    @rule(who=likely(OPERATORS | APPROVERS), alias=ALIAS, back=st.sampled_from([True, True, False]))
    def takes_away(self, who: str, alias: str, back: bool) -> None:
        self.act("roll_back" if back else "suspend", who, alias)

    @precondition(lambda self: any(self.model.serves(alias) for alias in ALIASES))
    @rule(who=likely(OPERATORS | APPROVERS), pick=PICK)
    def comes_back(self, who: str, pick: int) -> None:
        """What is served is replaced, as far as that is allowed, and gone back to."""
        alias = next(alias for alias in ALIASES if self.model.serves(alias))
        before = self.model.serves(alias)
        for _ in range(7):
            if self.model.serves(alias) != before or not self._go_on(pick, alias):
                break
        self.act("roll_back", who, alias)

    @rule(
        who=likely(OPERATORS | APPROVERS), other=likely(OFFICERS | APPROVERS), pick=PICK, alias=ALIAS,
        kind=st.sampled_from(["break_glass", "look", "review", "close"]),
    )  # fmt: skip
    def an_emergency(self, who: str, other: str, pick: int, alias: str, kind: str) -> None:
        if kind == "break_glass" or self.model.last_glass(alias) is None:
            self.act("break_glass", who, pick % len(self.versions), alias)
            return
        if kind in ("look", "review"):
            self.act("review", other, alias)
        if kind in ("look", "close"):
            self.act("close", other, alias)

    # --- rules: what is around ---

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

    @rule(
        kind=st.sampled_from(["author", "approve", "approve", "end", "place"]), who=likely(OFFICERS), alias=ALIAS,
        action=st.sampled_from(sorted(MOVERS)), role=st.sampled_from(["engineer", "operator", "approver"]), pick=PICK,
    )  # fmt: skip
    def rights_change(self, kind: str, who: str, alias: str, action: str, role: str, pick: int) -> None:
        if kind == "place":
            self.act("move_place", "otto" if pick else who)
        elif kind == "author" or not self.rules:
            self.act("author_rule", who, alias, action, role)
        else:
            self.act(f"{kind}_rule", who, max(0, len(self.rules) - 1 - pick // 3))

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
        if kind in ("recall", "end_recall"):
            stopped = (
                [r.version for r in self.model.recalls if not r.ended] if kind == "end_recall" and pick > 1 else []
            )
            self.act(kind, who, stopped[-1] if stopped else pick % len(self.versions))
            return
        if not self.model.quarantines:
            return
        number = max(0, len(self.model.quarantines) - 1 - pick // 2)
        if kind in ("release", "ask"):
            self.act("ask_release", other, number)
        if kind in ("release", "decide"):
            self.act("decide_release", who, number, granted)

    @rule(days=st.sampled_from([0, 1, 1, 2, 5, 29]))
    def time_passes(self, days: int) -> None:
        """Or the keeper looks."""
        if days:
            self.act("pass_time", days)
        else:
            self.act("tell")

    def _late(self, pick: int) -> int:
        """Mostly one of the newest requests."""
        return max(0, len(self.approvals) - 1 - pick // 3)

    def _served_mostly(self, pick: int) -> int:
        now = self.model.serves(ALIASES[0])
        if pick < 5 and now is not None and now.version is not None:
            return now.version
        return pick % len(self.versions)

    def _waiting(self, pick: int) -> int:
        """Mostly a request that waits for its grants: the newest, or one that is made now."""
        waiting = [n for n in range(len(self.approvals)) if self.model.word(n) == "requested"]
        if not waiting and pick > 1:
            self.act("request", "ada", pick % len(self.versions), "canary", None, False)
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
        found = {}
        for version in self.versions:
            found |= {str(r.pk): queries.approval_status(r) for r in queries.approvals_to_judge(version)}
        assert found == self._words()
        for alias in ALIASES:
            history = queries.alias_history(self.line, alias)
            moves = [(m.kind, m.version_id) for m in reversed(history)]
            expected = [(m.kind, self._key(m.version)) for m in self.model.aliases[alias]]
            assert moves == expected, alias
            candidates = queries.rollback_candidates(history)
            assert [v.pk for v in candidates] == [self._key(v) for v in self.model.candidates(alias)]
        rows = ModelVersion.objects.select_related("model__team", "model__use_case")
        for number, version in enumerate(rows.filter(model=self.line).order_by("number")):
            assert bool(quarantined(version)) == self.model.stopped(number)
            assert (stated([version.pk])[version.pk].training_data == "complete") == self.model.versions[number].known
            self._compare_admission(number, version)
        in_force = {w.pk for w in Waiver.objects.filter(model=self.line, ended_at=None)}
        assert in_force == {row.pk for row, w in zip(self.waivers, self.model.waivers, strict=True) if not w.ended}

    def _compare_admission(self, number: int, version: ModelVersion) -> None:
        facts, asked = facts_of(version, Asked(target="edge"), Clock.now())
        for place in (None, asked.target):
            for alias in ALIASES:
                answer = decide(facts, replace(asked, alias=alias, target=place))
                expected = self.model.admits(number, alias, here=place is not None)
                assert (answer.decision == "yes") == expected, (number, alias, place, answer)

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
