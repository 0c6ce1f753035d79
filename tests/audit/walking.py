"""A random walk over acts on one model, with what the product's own queries said after each: the oracle for history.

Rules: acts go through services only, so what they refuse simply does not happen; truth is read from tables by the queries that
the rest of the product uses, never by anything in `audit.history.past_state`.
"""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from audit import erasure
from audit.models import Entry
from registry.access.models import Text
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.catalog.queries import evidence_set
from registry.desk.allowed import waiver_state
from registry.digests import time_text
from registry.errors import Problem
from registry.oversight import services as oversight
from registry.release import queries, services
from registry.release.models import Alias, Approval, Waiver
from tests.world import World
from tests.worlds.catalog import figure

ALIASES = ("production", "canary")
TIERS = ("minimal", "limited")
SHORT = datetime.timedelta(milliseconds=400)
Shape = dict[str, Any]


def truth(model_id: Any) -> Shape:
    """What the tables say now, by the product's queries."""
    model = RegisteredModel.objects.select_related("use_case", "owner").get(pk=model_id)
    return {
        "aliases": {alias.slug: alias_truth(model, alias.slug) for alias in Alias.objects.filter(model=model)},
        "approvals": {str(row.pk): approval_truth(row) for row in Approval.objects.filter(model=model)},
        "owner": str(model.owner_id),
        "policies": {str(policy): policy.digest for policy in queries.policies_in_force()},
        "use_case": (model.use_case.slug, model.use_case.tier) if model.use_case else None,
        "versions": {row.number: version_truth(row) for row in ModelVersion.objects.filter(model=model)},
        "waivers": {str(row.pk): waiver_state(row) for row in Waiver.objects.filter(model=model)},
    }


def alias_truth(model: RegisteredModel, slug: str) -> Shape:
    moves = queries.alias_history(model, slug)
    now = queries.incumbent(model, slug)
    return {
        "moves": [(move.number, move.kind, str(move.assigned_by_id), time_text(move.assigned_at)) for move in moves],
        "serves": (now.version.number, now.version_digest, str(now.approval_id)) if now and now.version else None,
    }


def approval_truth(row: Approval) -> Shape:
    row = queries.approvals_of(row.version).get(pk=row.pk)
    now = queries.status_of(row)
    acts = [(d.kind, str(d.decided_by_id), d.role) for d in row.decisions.all()]
    return {"acts": acts, "grants": now.grants, "reasons": now.reasons, "version": row.version.number, "word": now.word}


def version_truth(row: ModelVersion) -> Shape:
    edges = row.parent_edges.all()
    return {
        "digest": row.digest,
        "edges": sorted((e.role, e.parent_digest, tuple(e.operations), e.grade) for e in edges),
        "evidence": evidence_set(row)[0],
        "licence": row.licence.expression,
        "origin": row.origin,
    }


def said(body: Shape) -> Shape:
    """What an answer of history says, in the shape of `truth`."""
    model = body["model"]
    use_case = model["use_case"]
    return {
        "aliases": {alias["alias"]: alias_said(alias) for alias in body["aliases"]},
        "approvals": {row["id"]: approval_said(row) for row in body["approvals"]},
        "owner": model["owner"]["id"],
        "policies": {policy["policy"]: policy["digest"] for policy in body["policies"]},
        "use_case": (use_case["name"], use_case["tier"]) if use_case else None,
        "versions": {row["number"]: version_said(row) for row in body["versions"]},
        "waivers": {row["id"]: row["state"] for row in body["waivers"]},
    }


def alias_said(alias: Shape) -> Shape:
    serves = alias["serves"]
    return {
        "moves": [(move["number"], move["kind"], move["by"]["id"], move["since"]) for move in alias["moves"]],
        "serves": (serves["version"], serves["digest"], serves["approval"]) if serves else None,
    }


def approval_said(row: Shape) -> Shape:
    acts = [(d["kind"], d["by"]["id"], d["by"]["role"]) for d in row["decisions"]]
    return {
        "acts": acts,
        "grants": row["grants"],
        "reasons": row["status_reasons"],
        "version": row["version"],
        "word": row["status"],
    }


def version_said(row: Shape) -> Shape:
    return {
        "digest": row["digest"],
        "edges": sorted((e["role"], e["digest"], tuple(e["operations"]), e["grade"]) for e in row["edges"]),
        "evidence": row["evidence_set_digest"],
        "licence": row["licence"],
        "origin": row["origin"],
    }


@dataclass(frozen=True)
class Stop:
    """After one act: what stood last in the ledger, when the tables were read, and what they said."""

    act: str
    position: int
    sealed_at: str
    read_at: str
    truth: Shape
    timely: bool
    """Whether nothing ran out between the act and the reading, so that its position alone gives the same state."""


class Walk:
    """One model, and a hand that does things to it and beside it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.cast = world.cast
        for tier in TIERS:
            world.policy(tier)
        self.olga = world.second_approver()
        self.model = world.governed_model("limited")
        self.ends: list[datetime.datetime] = []
        self.made = 0
        self.stops: list[Stop] = []
        self.refused = 0

    def go(self, acts: int) -> list[Stop]:
        """Do this many acts that were not refused."""
        self.world.parent_version(self.model, seed=self._fresh())
        self._stop("register_version")
        while len(self.stops) < acts:
            act = self.random.choice(ACTS)
            before = Entry.objects.count()
            try:
                act(self)
            except (Problem, IndexError):
                self.refused += 1
                continue
            if Entry.objects.count() > before or act is Walk.wait:
                self._stop(act.__name__)
        return self.stops

    def _stop(self, name: str) -> None:
        """Read the tables when nothing is about to run out, so that the moment of reading is sharp."""
        last = Entry.objects.order_by("-position")[0]
        for _ in range(20):
            start = timezone.now()
            found = truth(self.model.pk)
            end = timezone.now()
            if not any(start <= ending <= end for ending in self.ends):
                break
        timely = not any(time_text(ending) > last.at and ending <= end for ending in self.ends)
        self.stops.append(Stop(name, last.position, last.at, time_text(end), found, timely))

    def _fresh(self) -> int:
        self.made += 1
        return 5000 + self.made

    def _version(self) -> ModelVersion:
        return self.random.choice(list(ModelVersion.objects.filter(model=self.model).order_by("number")))

    def _approval(self) -> Approval:
        return self.random.choice(list(Approval.objects.filter(model=self.model).order_by("-pk")[:4]))

    # --- acts ---

    def register_version(self) -> None:
        data = self.world.dataset_version(slug=self.world.fresh_slug("rows")) if self.random.random() < 0.5 else None
        edges = [EdgeSpec("data", dataset_version=data)] if data else []
        self.world.version(self.model, seed=self._fresh(), edges=edges, training_data="complete")

    def derive(self) -> None:
        child = self.world.derived_version(self._version(), seed=self._fresh(), operations=("pruned", "quantized"))
        if self.random.random() < 0.7:
            self.world.measure(child, ModelVersion.objects.get(pk=child.parent_edges.get(role="base").parent_id))

    def declare(self) -> None:
        row = figure("size_ratio", f"{self._fresh()}.5")
        self.world.evidence(self._version(), "size", [row], source="declared")

    def measure(self) -> None:
        self.world.evidence(self._version(), "memory", [figure("peak_memory_ratio", f"{self._fresh()}", n=5)])

    def request(self) -> None:
        short = self.random.random() < 0.2
        ends = timezone.now() + SHORT if short else None
        services.request_approval(
            actor=self.cast.ada, version=self._version(), alias=self.random.choice(ALIASES), reason="Please.", expires_at=ends
        )  # fmt: skip
        self.ends += [ends] if ends else []

    def decide(self) -> None:
        verbs = [services.grant_approval] * 4 + [
            services.reject_approval, services.return_approval, services.revoke_approval, services.withdraw_approval,
        ]  # fmt: skip
        verb = self.random.choice(verbs)
        actor = self.cast.ada if verb is services.withdraw_approval else self.random.choice([self.cast.omar, self.olga])
        verb(actor=actor, approval=self._approval(), reason="Looked at it.")

    def release(self) -> None:
        """The usual way in one go: request, grant, promote."""
        self.world.promoted(self._version(), self.random.choice(ALIASES))

    def promote(self) -> None:
        row = self._approval()
        services.promote(actor=self.cast.otto, model=self.model, alias=row.alias, approval=row)

    def roll_back(self) -> None:
        services.roll_back(
            actor=self.cast.omar, model=self.model, alias=self.random.choice(ALIASES), reason="Back to what was good."
        )

    def suspend(self) -> None:
        services.suspend(
            actor=self.cast.otto, model=self.model, alias=self.random.choice(ALIASES), reason="Something is wrong."
        )

    def sign_waiver(self) -> None:
        self.world.waiver(self._version(), actor=self.random.choice([self.cast.carla, self.olga]))

    def end_waiver(self) -> None:
        row = self.random.choice(list(Waiver.objects.filter(model=self.model)))
        services.end_waiver(actor=self.cast.carla, waiver=row, reason="No longer needed.")

    def change_policy(self) -> None:
        tier = self.random.choice(TIERS)

        def change(document: Shape) -> None:
            document["title"] = f"Policy {self._fresh()}"

        self.world.policy(tier, change)

    def end_policy(self) -> None:
        row = self.random.choice(queries.policies_in_force())
        services.end_policy(actor=self.world.officer(), policy=row)

    def change_tier(self) -> None:
        use_case = RegisteredModel.objects.select_related("use_case").get(pk=self.model.pk).use_case
        oversight.change_tier(
            actor=self.cast.carla, use_case=use_case, tier=self.random.choice(TIERS), reason="Looked at again."
        )

    def assign_use_case(self) -> None:
        other = self.world.use_case(self.world.fresh_slug("purpose"), self.random.choice(TIERS))
        self.model = self.world.assign_use_case(RegisteredModel.objects.get(pk=self.model.pk), other)

    def erase(self) -> None:
        rows = list(Text.objects.filter(stream=f"model:{self.model.pk}", erased_at=None))
        erasure.erase(actor=self.cast.root, texts=[self.random.choice(rows)], reason="They asked for it.")

    def act_elsewhere(self) -> None:
        """Another model of the team, with versions and moves of its own."""
        model = self.world.model(use_case=self.world.use_case("limited-use", "limited"))
        self.world.promoted(self.world.version(model, seed=self._fresh()), "production")

    def wait(self) -> None:
        """Until something has run out."""
        waiting = [end for end in self.ends if end > timezone.now()]
        if not waiting:
            raise IndexError
        time.sleep(max(0.0, (min(waiting) - timezone.now()).total_seconds()) + 0.02)


ACTS: list[Callable[[Walk], None]] = [
    Walk.register_version, Walk.derive, Walk.derive, Walk.declare, Walk.measure, Walk.request, Walk.request, Walk.decide,
    Walk.decide, Walk.decide, Walk.decide, Walk.release, Walk.release, Walk.promote, Walk.promote, Walk.roll_back,
    Walk.suspend, Walk.sign_waiver, Walk.end_waiver, Walk.change_policy, Walk.end_policy, Walk.change_tier,
    Walk.assign_use_case, Walk.erase, Walk.act_elsewhere, Walk.wait, Walk.wait,
]  # fmt: skip
