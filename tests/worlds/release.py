"""What tests of the room release and above may need to have, made through services."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from registry.access import services as access
from registry.access import services_deputies as deputies
from registry.access.models import Deputyship, Membership, Role
from registry.catalog import services as catalog
from registry.catalog.distributions import to_figures
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.events import Caller
from registry.oversight.subjects import of_version
from registry.release import queries, services
from registry.release.models import AliasAssignment, Approval, Policy, Waiver
from registry.release.policy_language import ready_made
from registry.release.services.purges import confirm_purge, request_purge
from registry.release.serving_models import Target
from tests.worlds.base import BaseWorld
from tests.worlds.catalog import figure

if TYPE_CHECKING:
    from tests.worlds.catalog import CatalogWorld
    from tests.worlds.oversight import OversightWorld

    class Below(CatalogWorld, OversightWorld):
        """The rooms below."""

else:
    Below = BaseWorld  # `World` joins the rooms side by side

DAY = datetime.timedelta(days=1)
EDGES = ["-2", "-1", "0", "1", "2"]
CALM = [50, 100, 150, 150, 100, 50]
"""Counts over the six bins of EDGES as the approved version made them."""


def distribution(counts: list[int] | None = None, *, missing: int = 0, features: int = 3) -> dict[str, Any]:
    """A `pressmark/distribution/1` with the same counts in every feature."""
    bins = counts or CALM
    rows = [
        {"counts": bins, "edges": EDGES, "missing": missing, "name": f"output_projection_{i}"} for i in range(features)
    ]
    return {"features": copy.deepcopy(rows), "n": sum(bins) + missing, "type": "pressmark/distribution/1"}


class ReleaseWorld(Below):
    """One method per thing; each returns the row."""

    def officer(self) -> Caller:
        """carla, as a compliance officer of the whole instance: policies belong to no team."""
        carla = self.cast.people["carla"]
        if not Membership.objects.filter(actor=carla, team=None).exists():
            access.grant_membership(actor=self.cast.root, person=carla, role=Role.COMPLIANCE_OFFICER, team=None)
        return self.cast.carla

    def policy_document(
        self, tier: str = "limited", change: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """A ready-made policy, changed in place by `change`."""
        document = copy.deepcopy(dict(ready_made())[tier])
        if change is not None:
            change(document)
        return document

    def policy(self, tier: str = "limited", change: Callable[[dict[str, Any]], None] | None = None) -> Policy:
        """The policy in force for a tier: the ready-made one where nothing else is asked for."""
        found = queries.policy_in_force(tier)
        if found is not None and change is None:
            return found
        officer = self.officer()
        written = services.author_policy(actor=self.cast.root, slug=tier, document=self.policy_document(tier, change))
        return services.approve_policy(actor=officer, policy=written)

    def second_approver(self, name: str = "olga") -> Caller:
        """Another approver of the team."""
        person = self.person(name, Role.APPROVER)
        return Caller(actor_id=person.pk, via="cli")

    def person(self, name: str, *roles: Role) -> Any:
        """Somebody new in the team, with these roles."""
        person = access.create_actor(
            actor=self.cast.root, username=name, display_name=name.capitalize(), password="correct horse battery staple"
        )
        for role in roles:
            access.grant_membership(actor=self.cast.root, person=person, role=role, team=self.team)
        self.cast.people[name] = person
        return person

    def governed_model(self, tier: str = "limited", slug: str | None = None) -> RegisteredModel:
        """A model with a use case of a tier, and a policy in force for it."""
        self.policy(tier)
        return self.model(slug, use_case=self.use_case(f"{tier}-use", tier))

    def parent_version(
        self, model: RegisteredModel | None = None, *, seed: int = 1, training_data: str = "complete"
    ) -> ModelVersion:
        """An uploaded version that the ready-made policies let pass."""
        return self.version(model or self.governed_model(), seed=seed, training_data=training_data)

    def child_version(self, parent: ModelVersion, *, seed: int | None = None, evidence: bool = True) -> ModelVersion:
        """A derived version with the evidence that a run measures."""
        child = self.derived_version(parent, seed=seed)
        if evidence:
            self.measure(child, parent)
        return child

    def measure(self, child: ModelVersion, parent: ModelVersion, **changes: str | None) -> None:
        """Evidence of every kind that the ready-made policies ask for; `changes` sets a metric to another value."""
        value = {
            "size_ratio": "3.92",
            "cosine_mean": "0.9991",
            "cosine_min": "0.991",
            "latency_ratio": "1.02",
            "peak_memory_ratio": "0.6",
        }
        value |= changes
        low = None if value["cosine_mean"] is None else str(round(float(value["cosine_mean"]) - 0.0004, 6))
        high = None if value["cosine_mean"] is None else "0.9995"
        self.evidence(child, "size", [figure("size_ratio", value["size_ratio"])], parent=parent)
        fidelity = [
            figure("cosine_mean", value["cosine_mean"], "cosine", n=320, low=low, high=high, spread="0.001"),
            figure("cosine_min", value["cosine_min"], "cosine", n=320),
        ]
        self.evidence(child, "fidelity", fidelity, parent=parent)
        timing = figure("latency_ratio", value["latency_ratio"], n=25, low="0.98", high="1.06", spread="0.02")
        self.evidence(child, "timing", [timing], parent=parent)
        self.evidence(child, "memory", [figure("peak_memory_ratio", value["peak_memory_ratio"], n=5)], parent=parent)
        self.evidence(child, "distribution", to_figures(distribution()), parent=parent)

    def waiver(
        self, version: ModelVersion, rule: str = "training-data", days: int = 30, actor: Caller | None = None
    ) -> Waiver:
        return services.sign_waiver(
            actor=actor or self.cast.carla, version=version, rule=rule, reason="Known and accepted for now.",
            expires_at=timezone.now() + DAY * days,
        )  # fmt: skip

    def approval(self, version: ModelVersion, alias: str = "production", actor: Caller | None = None) -> Approval:
        """A request by ada."""
        return services.request_approval(
            actor=actor or self.cast.ada, version=version, alias=alias, reason="It is smaller and answers the same."
        )

    def granted(self, version: ModelVersion, alias: str = "production") -> Approval:
        """An approval that omar granted."""
        approval = self.approval(version, alias)
        services.grant_approval(actor=self.cast.omar, approval=approval, reason="Evidence read; fine.")
        return queries.approvals_of(version).get(pk=approval.pk)

    def promoted(self, version: ModelVersion, alias: str = "production") -> AliasAssignment:
        """The version as incumbent, promoted by otto."""
        return services.promote(
            actor=self.cast.otto, model=version.model, alias=alias, approval=self.granted(version, alias)
        )

    def released_pair(self, alias: str = "production") -> tuple[ModelVersion, ModelVersion]:
        """A parent that was promoted, and its child that was promoted after it: what a roll-back goes between."""
        parent = self.parent_version()
        self.promoted(parent, alias)
        child = self.child_version(parent)
        self.promoted(child, alias)
        return parent, child

    def needing(self, required: int, officers: int = 0, tier: str = "limited") -> Policy:
        """A policy in force that asks for so many grants, so many of them by compliance officers."""

        def ask(document: dict[str, Any]) -> None:
            document["approvals_required"] = required
            document["officers_required"] = officers

        return self.policy(tier, change=ask)

    def target(self, slug: str = "edge", **changes: Any) -> Target:
        """A place where versions run, registered by otto."""
        given: dict[str, Any] = {"runtime": "onnxruntime 1.20", "hardware": "8 cores, 16 GB", **changes}
        return services.register_target(actor=self.cast.otto, team=self.team, slug=slug, **given)

    def deputy(self, name: str, principal: str = "omar", role: str = Role.APPROVER) -> Deputyship:
        """Somebody new, who may only look, decides in the place of the principal from now on for a week."""
        person = self.cast.people.get(name) or self.person(name, Role.VIEWER)
        return deputies.appoint_deputy(
            actor=Caller(actor_id=self.cast.people[principal].pk, via="cli"), deputy=person, role=role, team=self.team,
            ends_at=timezone.now() + DAY * 7, reason="On leave.",
        )  # fmt: skip

    def purged(self, version: ModelVersion) -> ModelVersion:
        """The version without its bytes: root asked for it, and carla confirmed."""
        asked = request_purge(actor=self.cast.root, subject=of_version(version), reason="Somebody asked to delete it.")
        confirm_purge(actor=self.cast.carla, purge=asked)
        return ModelVersion.objects.select_related("model__team").get(pk=version.pk)

    def assign_use_case(self, model: RegisteredModel, use_case: Any) -> RegisteredModel:
        return catalog.assign_use_case(actor=self.cast.ada, model=model, use_case=use_case)
