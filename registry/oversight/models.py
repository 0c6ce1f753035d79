"""Who answers for it: use cases with a tier, statements that people sign, findings that somebody must mend."""

from __future__ import annotations

from django.db import models

from registry.access.models import Actor, Team, Text
from registry.fields import LineField, SlugField
from registry.governed import GovernedModel


class Tier(models.TextChoices):
    """How much care a use case asks for."""

    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"


class UseCase(GovernedModel):
    """A purpose, its users and sector, what is prohibited, and the tier that follows."""

    mutable = ("tier", "owner")
    once = ("ended_at",)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="use_cases")
    slug = SlugField()
    tier = models.CharField(max_length=16, choices=Tier.choices)
    sector = LineField(max_length=60)
    jurisdiction = LineField(max_length=60)
    purpose = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    users = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    prohibited = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    owner = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "oversight_use_case"
        constraints = [models.UniqueConstraint(fields=["team", "slug"], name="oversight_use_case_slug")]

    def __str__(self) -> str:
        return str(self.slug)


class Attestation(GovernedModel):
    """A person's signed statement about a requirement, with an end."""

    once = ("ended_at",)

    stream = LineField(max_length=80)
    framework = LineField(max_length=60)
    requirement = LineField(max_length=40)
    statement = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    signed_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=32)
    signed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "oversight_attestation"

    def __str__(self) -> str:
        return f"{self.requirement}, signed by {self.signed_by}"


class Finding(GovernedModel):
    """Something to be mended, with an owner and a date."""

    mutable = ("state", "owner", "due_on")
    once = ("closed_at", "closure")

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        FIXED = "fixed"
        CLOSED = "closed"

    stream = LineField(max_length=80)
    subject = LineField(max_length=120)
    state = models.CharField(max_length=16, choices=State.choices)
    description = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    owner = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    due_on = models.DateField()
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closure = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        db_table = "oversight_finding"
