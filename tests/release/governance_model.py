"""The workflow of a release as plain Python: who may do what when, written from the issue and its contract, not from the product.

It knows no table, no digest and no clock: people by name, versions by number, time in days. Each act answers whether it is
allowed, and changes the state only then. Acts happen at whole days; what is given an end ends at noon of a later day, or a whole
number of days after it began.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.release.governance_records import (
    ALIASES,
    APPROVERS,
    ENGINEERS,
    GLASS_DAYS,
    GRACE_DAYS,
    OFFICERS,
    OPERATORS,
    TIERS,
    VALID_DAYS,
    Approval,
    Decision,
    Deputyship,
    Move,
    Policy,
    Version,
    Waiver,
)


class Model:
    """One model of a team, with everything around it that bears on its releases."""

    def __init__(self) -> None:
        self.day = 0.0
        self.tier = "limited"
        self.policies: dict[str, Policy | None] = {"minimal": Policy(1, 1, 0), "limited": Policy(2, 2, 1)}
        self.serial = 2
        self.versions: list[Version] = []
        self.approvals: list[Approval] = []
        self.waivers: list[Waiver] = []
        self.deputies: list[Deputyship] = []
        self.aliases: dict[str, list[Move]] = {alias: [] for alias in ALIASES}
        self.without_role: set[str] = set()
        self.acts = 0

    def next(self) -> int:
        """The place of an act among all."""
        self.acts += 1
        return self.acts

    # --- what follows from the state ---

    def roles(self, who: str) -> set[str]:
        """The roles that somebody holds in the team."""
        if who in self.without_role:
            return {"viewer"}
        named = {"engineer": ENGINEERS, "approver": APPROVERS, "compliance_officer": OFFICERS, "operator": OPERATORS}
        return {role for role, people in named.items() if who in people} or {"viewer"}

    def policy(self) -> Policy | None:
        return self.policies[self.tier]

    def bound(self, version: int) -> tuple[object, ...]:
        """What an approval of a version is bound to."""
        policy, state = self.policy(), self.versions[version]
        return (len(state.measured), state.declared, policy and policy.serial, self.tier)

    def ends(self, approval: Approval) -> float:
        return min([approval.ends, *(d.ends for d in approval.of("granted") if d.ends is not None)])

    def word(self, number: int) -> str:
        """The status of an approval."""
        approval = self.approvals[number]
        if approval.over:
            return approval.over
        if self.day >= self.ends(approval):
            return "expired"
        if approval.bound != self.bound(approval.version):
            return "stale"
        if approval.question:
            return "returned"
        return "granted" if approval.complete else "requested"

    def passes(self, version: int) -> bool:
        """Whether the gate lets a version pass."""
        state = self.versions[version]
        return self.policy() is not None and "recalled" not in state.stops and (state.known or self.waived(version))

    def waived(self, version: int) -> bool:
        return any(w.version == version and not w.ended and w.ends > self.day for w in self.waivers)

    def serves(self, alias: str) -> Move | None:
        moves = self.aliases[alias]
        return moves[-1] if moves and moves[-1].version is not None else None

    def own_work(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        mine = {approval.by, self.versions[approval.version].by, *(d.by for d in approval.of("answered"))}
        return who in mine

    def ways(self, who: str, approval: Approval) -> Iterator[tuple[str, str | None]]:
        """Roles under which somebody may decide, own ones first, each with whom they stand for."""
        deciding = ["approver", *(["compliance_officer"] if approval.officers else [])]
        yield from ((role, None) for role in deciding if role in self.roles(who))
        if who == "dora":
            for role in deciding:
                for lent in self.deputies:
                    holds = lent.role in self.roles(lent.principal)
                    if lent.role == role and not lent.ended and lent.begins <= self.day < lent.ends and holds:
                        yield role, lent.principal

    # --- acts ---

    def register(self, who: str, known: bool) -> bool:
        if "engineer" not in self.roles(who):
            return False
        self.versions.append(Version(who, known))
        return True

    def measure(self, version: int, declared: bool) -> bool:
        """The worker measured something, or ada declared it."""
        if declared and "engineer" not in self.roles("ada"):
            return False
        if declared:
            self.versions[version].declared += 1
        else:
            self.versions[version].measured.append(self.day)
        return True

    def request(self, who: str, version: int, alias: str, half_days: int | None) -> bool:
        policy = self.policy()
        waiting = any(
            a.version == version and a.alias == alias and self.word(i) in ("requested", "returned")
            for i, a in enumerate(self.approvals)
        )
        if "engineer" not in self.roles(who) or waiting or policy is None or not self.passes(version):
            return False
        ends = self.day + (VALID_DAYS if half_days is None else half_days + 0.5)
        bound = self.bound(version)
        self.approvals.append(
            Approval(version, alias, who, self.day, ends, policy.required, policy.officers, bound, self.next())
        )
        return True

    def grant(self, who: str, number: int, half_days: int | None) -> bool:
        approval = self.approvals[number]
        ends = None if half_days is None else self.day + half_days + 0.5
        way = self._way(who, number, granting=True)
        if self.word(number) != "requested" or way is None or (ends is not None and ends >= approval.ends):
            return False
        approval.decisions.append(Decision("granted", who, way[0], way[1], self.day, ends))
        return True

    def _way(self, who: str, number: int, *, granting: bool) -> tuple[str, str | None] | None:
        approval = self.approvals[number]
        for role, principal in self.ways(who, approval):
            people = {who, principal} - {None}
            if any(self.own_work(person, number) for person in people if person):
                continue
            had = {p for d in approval.of("granted") for p in (d.by, d.instead_of)}
            if granting and (people & had or not approval.missing(role)):
                continue
            return role, principal
        return None

    def refuse(self, who: str, number: int, kind: str) -> bool:
        """Reject it, or return it with a question."""
        approval = self.approvals[number]
        way = self._way(who, number, granting=False)
        if approval.over or approval.complete or way is None or (kind == "returned" and approval.question):
            return False
        approval.decisions.append(Decision(kind, who, way[0], way[1], self.day))
        return True

    def revoke(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        way = next(self.ways(who, approval), None)
        if way is None or approval.over or not approval.of("granted"):
            return False
        approval.decisions.append(Decision("revoked", who, way[0], way[1], self.day))
        return True

    def answer(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        decided = any(d.by == who for d in approval.decisions if d.kind != "answered")
        if "engineer" not in self.roles(who) or approval.over or not approval.question or decided:
            return False
        approval.decisions.append(Decision("answered", who, "engineer", None, self.day))
        return True

    def withdraw(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        if "engineer" not in self.roles(who) or approval.by != who or approval.over or approval.complete:
            return False
        approval.decisions.append(Decision("withdrawn", who, "engineer", None, self.day))
        return True

    def promote(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        now = self.serves(approval.alias)
        again = now is not None and (now.version, now.approval) == (approval.version, number)
        if not self.roles(who) & {"engineer", "operator", "approver"} or again:
            return False
        if self.word(number) != "granted" or not self.passes(approval.version):
            return False
        self.aliases[approval.alias].append(Move("promoted", approval.version, number, self.next()))
        return True

    def suspend(self, who: str, alias: str) -> bool:
        if not self.roles(who) & {"operator", "approver"} or self.serves(alias) is None:
            return False
        self.aliases[alias].append(Move("suspended", None, None, self.next()))
        return True

    def candidates(self, alias: str) -> list[int]:
        """What an alias can go back to, nearest first: what it left by going back is none until it is promoted again."""
        line: list[int] = []
        for move in self.aliases[alias]:
            if move.version is None:
                continue
            if move.kind == "rolled-back" and move.version in line:
                line = line[: line.index(move.version) + 1]
            else:
                line = [v for v in line if v != move.version] + [move.version]
        return line[-2::-1] if len(line) > 1 else []

    def roll_back(self, who: str, alias: str) -> bool:
        found = self.candidates(alias)
        policy = self.policy()
        if not self.roles(who) & {"operator", "approver"} or not found or policy is None:
            return False
        version, now = found[0], self.serves(alias)
        number = self._carries_back(version, alias)
        if number is None or not self.passes(version) or (now is not None and now.version == version):
            return False
        grants = self.approvals[number].of("granted")
        officers = [d for d in grants if d.role == "compliance_officer"]
        if len(grants) < policy.required or len(officers) < policy.officers:
            return False
        self.aliases[alias].append(Move("rolled-back", version, number, self.next()))
        return True

    def _carries_back(self, version: int, alias: str) -> int | None:
        """The newest approval on which a way back may rest: complete, not ended, about the evidence that was measured."""
        for number in reversed(range(len(self.approvals))):
            approval = self.approvals[number]
            if (approval.version, approval.alias) != (version, alias):
                continue
            same_measured = approval.bound[0] == self.bound(version)[0]
            held = self.word(number) == "stale" and approval.complete and not approval.question and same_measured
            if self.word(number) == "granted" or held:
                return number
        return None

    def break_glass(self, who: str, version: int, alias: str) -> bool:
        state, now = self.versions[version], self.serves(alias)
        asked = any(a.version == version and a.by == who for a in self.approvals)
        mine = state.by == who or asked
        if not self.roles(who) & {"operator", "approver"} or mine or "recalled" in state.stops:
            return False
        if self.policy() is None or (now is not None and now.version == version):
            return False
        if any(move.kind == "broken-glass" for move in self.aliases[alias]):  # nobody here reviews the last time
            return False
        self.aliases[alias].append(Move("broken-glass", version, None, self.next(), self.day + GLASS_DAYS))
        return True

    def waive(self, who: str, version: int, half_days: int) -> bool:
        asked = any(a.version == version and a.by == who for a in self.approvals)
        allowed = self.roles(who) & {"approver", "compliance_officer"}
        if not allowed or self.versions[version].by == who or asked or self.policy() is None:
            return False
        self.waivers.append(Waiver(version, who, self.day + half_days + 0.5))
        return True

    def end_waiver(self, who: str, number: int) -> bool:
        if not self.roles(who) & {"approver", "compliance_officer"} or self.waivers[number].ended:
            return False
        self.waivers[number].ended = True
        return True

    def change_policy(self, tier: str, required: int, officers: int) -> bool:
        self.serial += 1
        self.policies[tier] = Policy(self.serial, required, officers)
        return True

    def end_policy(self, tier: str) -> bool:
        if self.policies[tier] is None:
            return False
        self.policies[tier] = None
        return True

    def change_tier(self, who: str, tier: str) -> bool:
        raises = TIERS.index(tier) > TIERS.index(self.tier)
        allowed = {"engineer", "compliance_officer"} if raises else {"compliance_officer"}
        if tier == self.tier or not self.roles(who) & allowed:
            return False
        self.tier = tier
        return True

    def appoint(self, who: str, half_days: int) -> bool:
        """Dora stands for somebody from now on."""
        role = next((r for r in ("approver", "compliance_officer") if r in self.roles(who)), None)
        ends = self.day + half_days + 0.5
        overlaps = any(
            d.principal == who and not d.ended and d.begins < ends and d.ends > self.day for d in self.deputies
        )
        if role is None or overlaps:
            return False
        self.deputies.append(Deputyship(who, role, self.day, ends))
        return True

    def end_deputyship(self, number: int) -> bool:
        if self.deputies[number].ended or self.day >= self.deputies[number].ends:
            return False
        self.deputies[number].ended = True
        return True

    def take_role(self, who: str) -> bool:
        if who in self.without_role:
            return False
        self.without_role.add(who)
        return True

    def give_role(self, who: str) -> bool:
        if who not in self.without_role:
            return False
        self.without_role.discard(who)
        return True

    def recall(self, who: str, version: int) -> bool:
        state = self.versions[version]
        if "compliance_officer" not in self.roles(who) or "open" in state.stops:
            return False
        state.stops = {"open", "recalled"}
        state.asked_by = set()
        return True

    def end_recall(self, who: str, version: int) -> bool:
        state = self.versions[version]
        if "compliance_officer" not in self.roles(who) or "open" not in state.stops:
            return False
        state.stops = set()
        return True

    def ask_release(self, who: str, version: int) -> bool:
        state = self.versions[version]
        if "engineer" not in self.roles(who) or "recalled" not in state.stops or "asked" in state.stops:
            return False
        state.stops.add("asked")
        state.asked_by.add(who)
        return True

    def decide_release(self, who: str, version: int, granted: bool) -> bool:
        state = self.versions[version]
        allowed = self.roles(who) & {"approver", "compliance_officer"} and who != state.by and who not in state.asked_by
        if not allowed or "asked" not in state.stops:
            return False
        state.stops.discard("asked")
        if granted:
            state.stops.discard("recalled")
        return True

    def pass_time(self, days: int) -> bool:
        self.day += days
        return True

    # --- what everybody else is told ---

    def admits(self, version: int, alias: str) -> bool:
        """Whether a version may run for an alias now. Nobody is told of lapses here, so a stale approval begins to lapse now."""
        state, now, moves = self.versions[version], self.serves(alias), self.aliases[alias]
        if "recalled" in state.stops:
            return False
        mine = [i for i, a in enumerate(self.approvals) if (a.version, a.alias) == (version, alias)]
        if now is not None and now.version == version:
            if any(self.word(i) == "granted" for i in mine):
                return True
            if now.ends is not None:
                return self.day < now.ends
            assert now.approval is not None
            word, ended = self.word(now.approval), self.ends(self.approvals[now.approval])
            if word == "expired":
                return self.day < ended + GRACE_DAYS
            return word == "stale"
        if moves and moves[-1].version is None:
            return False
        left = [place for place, move in enumerate(moves) if move.version == version]
        after = moves[left[-1] + 1] if left else None
        if after is not None and after.kind == "rolled-back":
            mine = [i for i in mine if self.approvals[i].order > after.order]
        return any(self.word(i) == "granted" for i in mine)
