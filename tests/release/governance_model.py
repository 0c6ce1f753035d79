"""The workflow of a release as plain Python: who may do what when, written from the issue and its contract, not from the product.

It knows no table, no digest and no clock: people by name, versions by number, time in days. Each act answers whether it is
allowed, and changes the state only then. Acts happen at whole days; what is given an end ends at noon of a later day, or a whole
number of days after it began. Around it stand `governance_stops` (versions, recalls) and `governance_people` (roles, rules).
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.release.governance_people import DECIDERS
from tests.release.governance_records import (
    ALIASES,
    GLASS_DAYS,
    GLASS_DAYS_WITHOUT_POLICY,
    GRACE_DAYS,
    VALID_DAYS,
    Approval,
    Decision,
    Move,
    Waiver,
)
from tests.release.governance_stops import Stops


class Model(Stops):
    """One model of a team: its approvals, its aliases, and what everybody else is told."""

    def __init__(self) -> None:
        super().__init__()
        self.approvals: list[Approval] = []
        self.waivers: list[Waiver] = []
        self.aliases: dict[str, list[Move]] = {alias: [] for alias in ALIASES}

    # --- what follows from the state ---

    def bound(self, version: int) -> tuple[object, ...]:
        """What an approval of a version is bound to."""
        policy, state = self.policy(), self.versions[version]
        return (state.measured, state.declared, policy and policy.serial, self.tier)

    def ends(self, approval: Approval) -> float:
        return min([approval.ends, *(d.ends for d in approval.of("granted") if d.ends is not None)])

    def word(self, number: int) -> str:
        """The status of an approval."""
        approval = self.approvals[number]
        if approval.over:
            return approval.over
        if self.day >= self.ends(approval):
            return "expired"
        if approval.bound != self.bound(approval.version) or approval.limits - {self.place}:
            return "stale"
        if approval.question:
            return "returned"
        return "granted" if approval.complete else "requested"

    def corrected(self, number: int) -> float | None:
        """The day on which what is stated about the version was first corrected after the last grant."""
        approval = self.approvals[number]
        if not approval.complete:
            return None
        last = approval.of("granted")[-1].order
        return next((c.day for c in self.versions[approval.version].corrections if c.order > last), None)

    def forbidden(self, number: int) -> bool:
        """Something was corrected since the last grant, and the policy in force says no to what is known of the version."""
        approval = self.approvals[number]
        if not approval.complete or self.policy() is None:
            return False
        last = approval.of("granted")[-1].order
        anything = any(c.order > last for version in self.versions for c in version.corrections)
        known = self.versions[approval.version].known or self.waived(approval.version)
        return anything and not known

    def passes(self, version: int) -> bool:
        """Whether the gate lets a version pass."""
        known = self.versions[version].known or self.waived(version)
        return self.policy() is not None and not self.stopped(version) and known

    def waived(self, version: int) -> bool:
        return any(w.version == version and not w.ended and w.ends > self.day for w in self.waivers)

    def serves(self, alias: str) -> Move | None:
        moves = self.aliases[alias]
        return moves[-1] if moves and moves[-1].version is not None else None

    def own_work(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        mine = {approval.by, self.versions[approval.version].by, *(d.by for d in approval.of("answered"))}
        return who in mine

    def asked_for(self, who: str, version: int) -> bool:
        return any(a.version == version and a.by == who for a in self.approvals)

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

    # --- requests and decisions ---

    def request(self, who: str, version: int, alias: str, half_days: int | None, here: bool) -> bool:
        policy = self.policy()
        waiting = any(
            a.version == version and a.alias == alias and self.word(i) in ("requested", "returned")
            for i, a in enumerate(self.approvals)
        )
        if not self.may(who, "request", alias) or waiting or policy is None or not self.passes(version):
            return False
        ends = self.day + (VALID_DAYS if half_days is None else half_days + 0.5)
        target = self.place if here else None
        asked = Approval(
            version, alias, who, ends, policy.required, policy.officers, self.bound(version), self.next(), target
        )
        self.approvals.append(asked)
        return True

    def grant(self, who: str, number: int, half_days: int | None, here: bool) -> bool:
        approval = self.approvals[number]
        ends = None if half_days is None else self.day + half_days + 0.5
        way = self.way(who, number, granting=True)
        if self.word(number) != "requested" or way is None or (ends is not None and ends >= approval.ends):
            return False
        target = self.place if here else None
        approval.decisions.append(Decision("granted", who, way[0], way[1], self.next(), ends, target))
        return True

    def way(self, who: str, number: int, *, granting: bool) -> tuple[str, str | None] | None:
        """The first of the ways that is open: nobody decides on own work, nor grants twice, nor under a role that has given."""
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
        way = self.way(who, number, granting=False)
        if approval.over or approval.complete or way is None or (kind == "returned" and approval.question):
            return False
        approval.decisions.append(Decision(kind, who, way[0], way[1], self.next()))
        return True

    def revoke(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        way = next(self.ways(who, approval), None)
        if way is None or approval.over or not approval.of("granted"):
            return False
        approval.decisions.append(Decision("revoked", who, way[0], way[1], self.next()))
        return True

    def answer(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        decided = any(d.by == who for d in approval.decisions if d.kind != "answered")
        if "engineer" not in self.roles(who) or approval.over or not approval.question or decided:
            return False
        approval.decisions.append(Decision("answered", who, "engineer", None, self.next()))
        return True

    def withdraw(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        if "engineer" not in self.roles(who) or approval.by != who or approval.over or approval.complete:
            return False
        approval.decisions.append(Decision("withdrawn", who, "engineer", None, self.next()))
        return True

    def waive(self, who: str, version: int, half_days: int) -> bool:
        mine = self.versions[version].by == who or self.asked_for(who, version)
        if not self.roles(who) & DECIDERS or mine or self.policy() is None:
            return False
        self.waivers.append(Waiver(version, who, self.day + half_days + 0.5))
        return True

    def end_waiver(self, who: str, number: int) -> bool:
        if not self.roles(who) & DECIDERS or self.waivers[number].ended:
            return False
        self.waivers[number].ended = True
        return True

    # --- moves ---

    def promote(self, who: str, number: int) -> bool:
        approval = self.approvals[number]
        now = self.serves(approval.alias)
        again = now is not None and (now.version, now.approval) == (approval.version, number)
        if not self.may(who, "promote", approval.alias) or again or self.corrected(number) is not None:
            return False
        if self.word(number) != "granted" or not self.passes(approval.version):
            return False
        self.aliases[approval.alias].append(Move("promoted", approval.version, number, self.next()))
        return True

    def suspend(self, who: str, alias: str) -> bool:
        if not self.may(who, "suspend", alias) or self.serves(alias) is None:
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
        if not self.may(who, "roll-back", alias) or not found or policy is None:
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
        """The newest approval on which a way back may rest: complete, not ended, about what was measured and stated, for a place
        that there is."""
        for number in reversed(range(len(self.approvals))):
            approval = self.approvals[number]
            if (approval.version, approval.alias) != (version, alias) or self.corrected(number) is not None:
                continue
            same = approval.bound[0] == self.bound(version)[0] and not approval.limits - {self.place}
            held = self.word(number) == "stale" and approval.complete and not approval.question and same
            if self.word(number) == "granted" or held:
                return number
        return None

    def break_glass(self, who: str, version: int, alias: str) -> bool:
        state, now = self.versions[version], self.serves(alias)
        mine = state.by == who or self.asked_for(who, version)
        if not self.roles(who) & {"operator", "approver"} or mine or self.stopped(version):
            return False
        if now is not None and now.version == version:
            return False
        if any(move.kind == "broken-glass" and not move.closed for move in self.aliases[alias]):
            return False
        ends = self.day + (GLASS_DAYS if self.policy() else GLASS_DAYS_WITHOUT_POLICY)
        self.aliases[alias].append(Move("broken-glass", version, None, self.next(), ends, who))
        return True

    def last_glass(self, alias: str) -> Move | None:
        return next((move for move in reversed(self.aliases[alias]) if move.kind == "broken-glass"), None)

    def review(self, who: str, alias: str) -> bool:
        """Somebody looks at what the last emergency of an alias served; whoever broke the glass is nobody else."""
        glass = self.last_glass(alias)
        assert glass is not None
        assert glass.version is not None
        if not self.roles(who) & DECIDERS or self.versions[glass.version].by == who:
            return False
        for move in (m for moves in self.aliases.values() for m in moves):
            if move.kind == "broken-glass" and move.version == glass.version and move.by != who:
                move.reviewed = True
        return True

    def close(self, who: str, alias: str) -> bool:
        """The finding about the last emergency of an alias."""
        glass = self.last_glass(alias)
        assert glass is not None
        if not self.roles(who) & DECIDERS or glass.by == who or glass.closed or not glass.reviewed:
            return False
        glass.closed = True
        return True

    def tell(self) -> bool:
        """The keeper looks: owners are told once of each move that rests on an approval that is none any more."""
        for alias in ALIASES:
            now = self.serves(alias)
            if now and now.approval is not None and now.told is None and self.word(now.approval) != "granted":
                now.told = self.day
        return True

    # --- what everybody else is told ---

    def admits(self, version: int, alias: str, here: bool) -> bool:
        """Whether a version may run for an alias now: somewhere (nobody says where), or in the one place that there is."""
        now, moves = self.serves(alias), self.aliases[alias]
        if self.stopped(version):
            return False
        mine = [i for i, a in enumerate(self.approvals) if (a.version, a.alias) == (version, alias)]
        if now is not None and now.version == version:
            if any(self._counts(i, here) for i in mine):
                return True
            return self.day < now.ends if now.ends is not None else self._lapses_well(now, here)
        if moves and moves[-1].version is None:
            return False
        left = [place for place, move in enumerate(moves) if move.version == version]
        after = moves[left[-1] + 1] if left else None
        if after is not None and after.kind == "rolled-back":
            mine = [i for i in mine if self.approvals[i].order > after.order]
        return any(self._counts(i, here) for i in mine)

    def _fits(self, number: int, here: bool) -> bool:
        return self.approvals[number].limits <= ({self.place} if here else set())

    def _counts(self, number: int, here: bool) -> bool:
        changed = self.corrected(number) is not None or self.forbidden(number)
        return self.word(number) == "granted" and not changed and self._fits(number, here)

    def _lapses_well(self, now: Move, here: bool) -> bool:
        """What is served goes on for as long as the policy says, from the first that was known of."""
        assert now.approval is not None
        word, corrected = self.word(now.approval), self.corrected(now.approval)
        lapsed = word in ("expired", "stale")
        changed = word == "granted" and (corrected is not None or self.forbidden(now.approval))
        if not (lapsed or changed) or not self._fits(now.approval, here):
            return False
        ended = self.ends(self.approvals[now.approval])
        moments = [now.told if lapsed else None, ended if ended <= self.day else None, corrected]
        return self.day < min((m for m in moments if m is not None), default=self.day) + GRACE_DAYS
