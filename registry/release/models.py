"""Who allowed it: policies, verdicts, waivers, approvals with their decisions, and where the aliases point."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from registry.access.models import Actor, Text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel
from registry.oversight.models import Tier, UseCase


class Policy(GovernedModel):
    """Rules for a release, as an immutable document. It is in force once somebody other than its author approved it."""

    once = ("approved_by", "in_force_at", "ended_at")

    slug = SlugField()
    number = models.PositiveIntegerField()
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    author = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    approved_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    in_force_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "release_policy"
        constraints = [
            models.UniqueConstraint(fields=["slug", "number"], name="release_policy_number"),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("author")), name="release_policy_not_by_author"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slug}@{self.number}"


class Outcome(models.TextChoices):
    PASSED = "passed"
    PASSED_WITH_WAIVER = "passed-with-waiver"
    BLOCKED = "blocked"


class Verdict(GovernedModel):
    """The gate's answer for one version under one policy, with every input bound by digest."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="verdicts")
    version_digest = DigestField()
    alias = SlugField()
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    policy_digest = DigestField()
    evidence_set_digest = DigestField()
    outcome = models.CharField(max_length=24, choices=Outcome.choices)
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "release_verdict"


class Waiver(GovernedModel):
    """A signed, reasoned, expiring exception to one rule, as it was worded then, for one version."""

    once = ("ended_at",)

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="waivers")
    version_digest = DigestField()
    rule = LineField(max_length=60)
    rule_digest = DigestField()
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    signed_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    signed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "release_waiver"
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("signed_at")), name="release_waiver_expires")
        ]


class Approval(GovernedModel):
    """A request to let one version, with one evidence set under one policy, be promoted to one alias. Never edited.

    It needs `required` grants by different people, of which at least `officers` by compliance officers and the rest by approvers.
    `target` limits it to one place where it may run; null means any.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="approvals")
    version_digest = DigestField()
    alias = SlugField()
    use_case = models.ForeignKey(UseCase, on_delete=models.PROTECT, related_name="+")
    tier = models.CharField(max_length=16, choices=Tier.choices)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    policy_digest = DigestField()
    verdict = models.ForeignKey(Verdict, on_delete=models.PROTECT, related_name="+")
    evidence_set_digest = DigestField()
    required = models.PositiveSmallIntegerField()
    officers = models.PositiveSmallIntegerField(default=0)
    target = models.ForeignKey("registry.Target", on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    requested_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "release_approval"
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("requested_at")), name="release_approval_expires"),
            models.CheckConstraint(
                condition=Q(required__gte=1, officers__lte=F("required")), name="release_approval_required"
            ),
        ]


class DecisionKind(models.TextChoices):
    GRANTED = "granted"
    REJECTED = "rejected"
    RETURNED = "returned"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"


class Decision(GovernedModel):
    """One act on an approval. The approval's status is computed from these.

    `on_behalf_of` is whose deputy decided. A grant may carry conditions: an earlier end, a target to which it is limited.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, related_name="decisions")
    kind = models.CharField(max_length=16, choices=DecisionKind.choices)
    role = models.CharField(max_length=32)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    on_behalf_of = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    target = models.ForeignKey("registry.Target", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        db_table = "release_decision"
        constraints = [
            models.UniqueConstraint(
                fields=["approval", "decided_by"], condition=Q(kind="granted"), name="release_decision_one_grant"
            ),
            models.CheckConstraint(
                condition=Q(kind="granted") | Q(expires_at__isnull=True, target__isnull=True),
                name="release_decision_conditions",
            ),
        ]


class Alias(GovernedModel):
    """A name that consumers resolve; where it points is the newest assignment."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="aliases")
    slug = SlugField()
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "release_alias"
        constraints = [models.UniqueConstraint(fields=["model", "slug"], name="release_alias_slug")]

    def __str__(self) -> str:
        return str(self.slug)


class MoveKind(models.TextChoices):
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"
    SUSPENDED = "suspended"
    BROKEN_GLASS = "broken-glass"


class AliasAssignment(GovernedModel):
    """One move of an alias: from `assigned_at` until the next one. `version` is null while suspended.

    Every move to a version rests on an approval, but one that broke the glass, which is a loud record of its own.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, related_name="assignments")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=MoveKind.choices)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="assignments")
    version_digest = DigestField(null=True)
    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, null=True, related_name="+")
    broken_glass = models.OneToOneField(
        "registry.BrokenGlass", on_delete=models.PROTECT, null=True, related_name="assignment"
    )
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    assigned_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    assigned_at = models.DateTimeField()

    class Meta:
        db_table = "release_assignment"
        constraints = [
            models.UniqueConstraint(fields=["alias", "number"], name="release_assignment_number"),
            models.CheckConstraint(
                condition=Q(kind="suspended", version__isnull=True, broken_glass__isnull=True)
                | Q(kind="broken-glass", version__isnull=False, approval__isnull=True, broken_glass__isnull=False)
                | Q(
                    kind__in=["promoted", "rolled-back"],
                    version__isnull=False,
                    approval__isnull=False,
                    broken_glass__isnull=True,
                ),
                name="release_assignment_approved",
            ),
        ]
