"""The plain model: who may do what, and by which rules it is judged. Roles, deputies, rights on aliases, policies, tier, places."""

from __future__ import annotations

from tests.release.governance_records import (
    APPROVERS,
    ENGINEERS,
    MOVERS,
    OFFICERS,
    OPERATORS,
    TIERS,
    Deputyship,
    Policy,
    Rule,
    Version,
)

DECIDERS = {"approver", "compliance_officer"}


class People:
    """What is around the releases of a model. Each act answers whether it is allowed, and changes the state only then."""

    def __init__(self) -> None:
        self.day = 0.0
        self.acts = 0
        self.tier = "limited"
        self.policies: dict[str, Policy | None] = {"minimal": Policy(1, 1, 0), "limited": Policy(2, 2, 1)}
        self.serial = 2
        self.versions: list[Version] = []
        self.deputies: list[Deputyship] = []
        self.rules: list[Rule] = []
        self.place = 0
        """The number of the one place where versions run; those before it have ended."""
        self.without_role: set[str] = set()

    def next(self) -> int:
        """The place of an act among all."""
        self.acts += 1
        return self.acts

    def roles(self, who: str) -> set[str]:
        """The roles that somebody holds in the team."""
        if who in self.without_role:
            return {"viewer"}
        named = {"engineer": ENGINEERS, "approver": APPROVERS, "compliance_officer": OFFICERS, "operator": OPERATORS}
        return {role for role, people in named.items() if who in people} or {"viewer"}

    def may(self, who: str, action: str, alias: str) -> bool:
        """Whether somebody may do an act on an alias: rules in force leave it to the roles that they name."""
        kept_for = {r.role for r in self.rules if (r.alias, r.action) == (alias, action) and r.in_force and not r.ended}
        allowed = self.roles(who) & MOVERS[action]
        return bool(allowed & kept_for) if kept_for else bool(allowed)

    def policy(self) -> Policy | None:
        return self.policies[self.tier]

    def pass_time(self, days: int) -> bool:
        self.day += days
        return True

    # --- roles, and whoever stands for somebody ---

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

    # --- what judges ---

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

    def move_place(self, who: str) -> bool:
        """What runs there is another thing from now on: a new number, and the one before has ended."""
        if not self.roles(who) & {"engineer", "operator"}:
            return False
        self.place += 1
        return True

    # --- rights on aliases ---

    def author_rule(self, who: str, alias: str, action: str, role: str) -> bool:
        there = any((r.alias, r.action, r.role) == (alias, action, role) and not r.ended for r in self.rules)
        if "compliance_officer" not in self.roles(who) or role not in MOVERS[action] or there:
            return False
        self.rules.append(Rule(alias, action, role, who))
        return True

    def approve_rule(self, who: str, number: int) -> bool:
        rule = self.rules[number]
        if not self.roles(who) & DECIDERS or rule.by == who or rule.in_force or rule.ended:
            return False
        rule.in_force = True
        return True

    def end_rule(self, who: str, number: int) -> bool:
        rule = self.rules[number]
        allowed = DECIDERS if rule.in_force else {"compliance_officer"}
        if not self.roles(who) & allowed or rule.ended or (rule.in_force and rule.by == who):
            return False
        rule.ended = True
        return True
