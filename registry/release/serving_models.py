"""Where and how aliases may move: targets, rules of who may move which alias, moves without approval, drills."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from registry.access.models import Actor, Role, Team, Text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel
from registry.release.models import Policy, Verdict


class Target(GovernedModel):
    """Where a version will run: runtime, hardware, serving settings, limits and safeguards. A changed one is a new number."""

    once = ("ended_at",)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="targets")
    slug = SlugField()
    number = models.PositiveIntegerField()
    runtime = LineField(max_length=120)
    hardware = LineField(max_length=200)
    settings = models.JSONField()
    limits = models.JSONField()
    safeguards = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "release_target"
        constraints = [models.UniqueConstraint(fields=["team", "slug", "number"], name="release_target_number")]

    def __str__(self) -> str:
        return f"{self.team.slug}/{self.slug}@{self.number}"


class AliasAction(models.TextChoices):
    """What a rule of an alias can narrow."""

    REQUEST = "request"
    PROMOTE = "promote"
    ROLL_BACK = "roll-back"
    SUSPEND = "suspend"


class AliasRule(GovernedModel):
    """In one team, one act on one alias is for one role only. Rules narrow the permission table, they never widen it.

    It comes into force once somebody other than its author approved it. Several rules for one act let several roles do it.
    """

    once = ("approved_by", "in_force_at", "ended_at")

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="alias_rules")
    alias = SlugField()
    action = models.CharField(max_length=16, choices=AliasAction.choices)
    role = models.CharField(max_length=32, choices=Role.choices)
    author = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    approved_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    in_force_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "release_alias_rule"
        constraints = [
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("author")),
                name="release_alias_rule_not_by_author",
            )
        ]


class BrokenGlass(GovernedModel):
    """A move of an alias without an approval, in an emergency: who, why, what the gate said, until when. It is reviewed.

    Without policy and verdict: no policy was in force that could have judged it, and an emergency does not wait for one.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="broken_glass")
    version_digest = DigestField()
    alias = SlugField()
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, null=True, related_name="+")
    verdict = models.ForeignKey(Verdict, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=32)
    broken_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    broken_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "release_broken_glass"
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("broken_at")), name="release_broken_glass_expires"),
            models.CheckConstraint(
                condition=Q(policy__isnull=True, verdict__isnull=True) | Q(policy__isnull=False, verdict__isnull=False),
                name="release_broken_glass_judged",
            ),
        ]


class Drill(GovernedModel):
    """A roll-back that was gone through and timed without moving anything: which version it would have been, or why none."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    alias = SlugField()
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    version_digest = DigestField(null=True, blank=True)
    eligible = models.BooleanField()
    reasons = models.JSONField()
    decision_milliseconds = models.PositiveIntegerField()
    bytes_milliseconds = models.PositiveIntegerField()
    size_bytes = models.BigIntegerField()
    drilled_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    drilled_at = models.DateTimeField()

    class Meta:
        db_table = "release_drill"
