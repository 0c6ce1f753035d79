"""The product's side of each act of the workflow, by services alone, and the clock that is moved by hand."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from registry import storage
from registry.access import services as access
from registry.access.models import Deputyship, Membership, Role
from registry.access.queries import system_actor
from registry.access.services_deputies import appoint_deputy, end_deputyship
from registry.catalog import services as catalog
from registry.catalog.manifest import FileSpec
from registry.catalog.services_corrections import correct_version
from registry.errors import Problem
from registry.events import Caller, unit
from registry.oversight import services as oversight
from registry.oversight.models import Finding
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_version
from registry.release import services
from registry.release.models import AliasAssignment, Policy
from registry.release.services import alias_rules
from registry.release.services.lapses import open_lapse_findings
from registry.release.stopping_models import Quarantine, Recall
from tests.release.governance_model import Model
from tests.release.governance_records import APPROVERS, ENGINEERS, OFFICERS, OPERATORS, PEOPLE, VALID_DAYS
from tests.world import World
from tests.worlds.catalog import figure

WHY = "It has to be."
ROLES = {
    **dict.fromkeys(ENGINEERS, Role.ENGINEER), **dict.fromkeys(APPROVERS, Role.APPROVER),
    **dict.fromkeys(OFFICERS, Role.COMPLIANCE_OFFICER), **dict.fromkeys(OPERATORS, Role.OPERATOR), "dora": Role.VIEWER,
}  # fmt: skip
CLOCKS = ("registry.events", "audit.ledger", "audit.history.moments")


class Clock(datetime.datetime):
    """A clock that is moved by hand, and otherwise steps on by a microsecond at each reading."""

    base: ClassVar[datetime.datetime]
    moved: ClassVar[datetime.timedelta]

    @classmethod
    def begin(cls) -> None:
        cls.moved = datetime.timedelta()

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        cls.moved += datetime.timedelta(microseconds=1)
        return cls.base + cls.moved


class Ground:
    """What every run begins from: people with roles, a policy for each tier, a model with its first version."""

    def __init__(self, world: World) -> None:
        self.world = world
        cast = world.cast
        for name in PEOPLE:
            if name not in cast.people:
                world.person(name, ROLES[name])
        iris = world.person("iris")
        access.grant_membership(actor=cast.root, person=iris, role=Role.COMPLIANCE_OFFICER, team=None)
        self.iris = Caller(actor_id=iris.pk, via="cli")
        self.licence = world.licence("Apache-2.0")
        self.place = world.target("edge")
        self.serial = 0
        self.write_policy("minimal", 1, 0)
        self.write_policy("limited", 2, 1)
        self.use_case = world.use_case("machine", "limited")
        self.line = world.model("machine", use_case=self.use_case)
        self.first = world.version(self.line, seed=6999)

    def caller(self, who: str) -> Caller:
        return Caller(actor_id=self.world.cast.people[who].pk, via="cli")

    def write_policy(self, tier: str, required: int, officers: int) -> Policy:
        """A policy whose one waivable rule asks whether the training data are known."""
        self.serial += 1
        whole = self.world.policy_document("minimal")
        structure = next(r for r in whole["rules"] if r["check"] == "structure_checked")
        known = {
            "about": "Nobody releases what was trained on who knows what.", "allowed": ["complete"], "applies_to": "any",
            "check": "training_data", "id": "training-data", "waivable": True,
        }  # fmt: skip
        document = whole | {
            "title": f"Policy {self.serial} for {tier}", "tiers": [tier], "approvals_required": required,
            "officers_required": officers, "approval_valid_days": VALID_DAYS, "waiver_valid_days": 60,
            "lapse_grace_hours": 36, "break_glass_hours": 48, "rules": [structure, known],
        }  # fmt: skip
        row = services.author_policy(actor=self.world.cast.root, slug=tier, document=document)
        return services.approve_policy(actor=self.iris, policy=row)


class Product:
    """One model of a team as the product holds it: each act as `_<name>`, with the arguments that the plain model takes."""

    ground: ClassVar[Ground]
    model: Model
    world: World
    line: Any
    use_case: Any
    versions: list[Any]
    approvals: list[Any]
    waivers: list[Any]
    deputies: list[Any]
    rules: list[Any]
    place: Any

    def _register(self, who: str, known: bool) -> None:
        caller = self.ground.caller(who)
        weights = self.world.upload(self.world.tiny_onnx(7000 + len(self.versions)), actor=caller)
        made = catalog.register_version(
            actor=caller, model=self.line, files=[FileSpec("model.onnx", "weights", weights.digest)],
            licence=self.ground.licence, training_data="complete" if known else "unknown",
        )  # fmt: skip
        self.versions.append(made)

    def _derive(self, who: str, parent: int) -> None:
        person = self.world.cast.people[who]
        worker = Caller(actor_id=system_actor().pk, via="worker", on_behalf_of=person.pk)
        weights = storage.store_bytes(self.world.tiny_onnx(8000 + len(self.versions), 32))
        with unit(worker, role="system") as opened:
            made = catalog.add_derived_version(
                opened, model=self.line, parent=self.versions[parent], requested_by=person, operations=["quantized"],
                files=[FileSpec("model.onnx", "weights", weights.digest)],
            )  # fmt: skip
        self.versions.append(made)

    def _correct(self, who: str, version: int, known: bool) -> None:
        said = "complete" if known else "unknown"
        correct_version(actor=self.ground.caller(who), version=self.versions[version], training_data=said, reason=WHY)

    def _measure(self, version: int, declared: bool) -> None:
        rows = [figure("size_ratio", f"{self.model.next()}.5")]
        source = "declared" if declared else "measured"
        self.world.evidence(self.versions[version], "size", rows, source=source)

    def _in_days(self, half_days: int | None) -> datetime.datetime | None:
        return None if half_days is None else Clock.now() + datetime.timedelta(days=half_days + 0.5)

    def _request(self, who: str, version: int, alias: str, half_days: int | None, here: bool) -> None:
        row = services.request_approval(
            actor=self.ground.caller(who), version=self.versions[version], alias=alias, reason=WHY,
            expires_at=self._in_days(half_days), target=self.place if here else None,
        )  # fmt: skip
        self.approvals.append(row)

    def _grant(self, who: str, number: int, half_days: int | None, here: bool) -> None:
        ends, target = self._in_days(half_days), self.place if here else None
        services.grant_approval(
            actor=self.ground.caller(who), approval=self.approvals[number], reason=WHY, expires_at=ends, target=target
        )

    def _refuse(self, who: str, number: int, kind: str) -> None:
        verb = services.reject_approval if kind == "rejected" else services.return_approval
        verb(actor=self.ground.caller(who), approval=self.approvals[number], reason=WHY)

    def _revoke(self, who: str, number: int) -> None:
        services.revoke_approval(actor=self.ground.caller(who), approval=self.approvals[number], reason=WHY)

    def _answer(self, who: str, number: int) -> None:
        services.answer_approval(actor=self.ground.caller(who), approval=self.approvals[number], reason=WHY)

    def _withdraw(self, who: str, number: int) -> None:
        services.withdraw_approval(actor=self.ground.caller(who), approval=self.approvals[number], reason=WHY)

    def _promote(self, who: str, number: int) -> None:
        row = self.approvals[number]
        services.promote(actor=self.ground.caller(who), model=self.line, alias=row.alias, approval=row)

    def _suspend(self, who: str, alias: str) -> None:
        services.suspend(actor=self.ground.caller(who), model=self.line, alias=alias, reason=WHY)

    def _roll_back(self, who: str, alias: str) -> None:
        services.roll_back(actor=self.ground.caller(who), model=self.line, alias=alias, reason=WHY)

    def _break_glass(self, who: str, version: int, alias: str) -> None:
        services.break_glass(actor=self.ground.caller(who), version=self.versions[version], alias=alias, reason=WHY)

    def _review(self, who: str, alias: str) -> None:
        glass = self._glass(alias)
        version = of_version(glass.version)
        sign_review(actor=self.ground.caller(who), subject=version, kind="other", accepted=True, statement=WHY)

    def _close(self, who: str, alias: str) -> None:
        finding = Finding.objects.get(kind="broken-glass", about=self._glass(alias).broken_glass_id)
        oversight.close_finding(actor=self.ground.caller(who), finding=finding, closure=WHY)

    def _glass(self, alias: str) -> AliasAssignment:
        moves = AliasAssignment.objects.filter(model=self.line, alias__slug=alias, kind="broken-glass")
        return moves.select_related("version__model__team").order_by("-number")[0]

    def _tell(self) -> None:
        open_lapse_findings()

    def _move_place(self, who: str) -> None:
        self.place = services.register_target(
            actor=self.ground.caller(who), team=self.world.team, slug="edge", runtime="another", hardware="4 cores"
        )

    def _author_rule(self, who: str, alias: str, action: str, role: str) -> None:
        caller = self.ground.caller(who)
        row = alias_rules.author_alias_rule(actor=caller, team=self.world.team, alias=alias, action=action, role=role)
        self.rules.append(row)

    def _approve_rule(self, who: str, number: int) -> None:
        alias_rules.approve_alias_rule(actor=self.ground.caller(who), rule=self.rules[number])

    def _end_rule(self, who: str, number: int) -> None:
        alias_rules.end_alias_rule(actor=self.ground.caller(who), rule=self.rules[number])

    def _waive(self, who: str, version: int, half_days: int) -> None:
        ends = self._in_days(half_days)
        assert ends is not None
        row = services.sign_waiver(
            actor=self.ground.caller(who), version=self.versions[version], rule="training-data", reason=WHY, expires_at=ends
        )  # fmt: skip
        self.waivers.append(row)

    def _end_waiver(self, who: str, number: int) -> None:
        services.end_waiver(actor=self.ground.caller(who), waiver=self.waivers[number], reason=WHY)

    def _change_policy(self, tier: str, required: int, officers: int) -> None:
        self.ground.write_policy(tier, required, officers)

    def _end_policy(self, tier: str) -> None:
        row = Policy.objects.filter(slug=tier, in_force_at__isnull=False).order_by("-number").first()
        assert row is not None
        services.end_policy(actor=self.ground.iris, policy=row)

    def _change_tier(self, who: str, tier: str) -> None:
        oversight.change_tier(actor=self.ground.caller(who), use_case=self.use_case, tier=tier, reason=WHY)

    def _appoint(self, who: str, half_days: int) -> None:
        ends = self._in_days(half_days)
        assert ends is not None
        row = appoint_deputy(
            actor=self.ground.caller(who), deputy=self.world.cast.people["dora"], role=ROLES[who], team=self.world.team,
            ends_at=ends, reason=WHY,
        )  # fmt: skip
        self.deputies.append(row)

    def _end_deputyship(self, number: int) -> None:
        row: Deputyship = self.deputies[number]
        end_deputyship(actor=self.world.cast.root, deputyship=row)

    def _take_role(self, who: str) -> None:
        row = Membership.objects.get(actor=self.world.cast.people[who], team=self.world.team, ended_at=None)
        access.end_membership(actor=self.world.cast.root, membership=row)

    def _give_role(self, who: str) -> None:
        access.grant_membership(
            actor=self.world.cast.root, person=self.world.cast.people[who], role=ROLES[who], team=self.world.team
        )

    def _recall(self, who: str, version: int) -> None:
        services.start_recall(actor=self.ground.caller(who), subject=of_version(self.versions[version]), reason=WHY)

    def _end_recall(self, who: str, version: int) -> None:
        row = Recall.objects.filter(about=self.versions[version].pk).order_by("-pk").first()
        if row is None:
            raise Problem("there is no recall")
        services.end_recall(actor=self.ground.caller(who), recall=row, reason=WHY)

    def _ask_release(self, who: str, number: int) -> None:
        row = self._quarantine(number)
        services.request_quarantine_release(actor=self.ground.caller(who), quarantine=row, reason=WHY)

    def _decide_release(self, who: str, number: int, granted: bool) -> None:
        verb = services.grant_quarantine_release if granted else services.refuse_quarantine_release
        verb(actor=self.ground.caller(who), quarantine=self._quarantine(number), reason=WHY)

    def _quarantine(self, number: int) -> Quarantine:
        """By the place in the plain model: its recall, counted, and its version."""
        stopped = self.model.quarantines[number]
        recall = Recall.objects.filter(about__in=[v.pk for v in self.versions]).order_by("pk")[stopped.recall]
        return Quarantine.objects.get(recall=recall, version=self.versions[stopped.version])

    def _pass_time(self, days: int) -> None:
        Clock.moved += datetime.timedelta(days=days)
