"""Who answers for it: use cases with a tier, statements and reviews that people sign, findings that somebody must mend, holds."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from registry.access.models import Actor, Team, Text
from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel


class Tier(models.TextChoices):
    """How much care a use case asks for."""

    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"


class TierTable(GovernedModel):
    """The questionnaire by which a use case gets its tier, as a document. In force once somebody else approved it."""

    once = ("approved_by", "in_force_at", "ended_at")

    number = models.PositiveIntegerField(unique=True)
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    author = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    approved_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    in_force_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "oversight_tier_table"
        constraints = [
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("author")),
                name="oversight_tier_table_not_by_author",
            )
        ]

    def __str__(self) -> str:
        return f"tier table {self.number}"


class UseCase(GovernedModel):
    """A purpose, its users and sector, what is prohibited, and the tier that follows."""

    mutable = ("tier", "tier_table", "answers", "owner")
    once = ("ended_at",)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="use_cases")
    slug = SlugField()
    tier = models.CharField(max_length=16, choices=Tier.choices)
    sector = LineField(max_length=60)
    jurisdiction = LineField(max_length=60)
    tier_table = models.ForeignKey(TierTable, on_delete=models.PROTECT, null=True, related_name="+")
    answers = models.JSONField(null=True, blank=True)
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


class Review(GovernedModel):
    """A named person looked at one state of something, such as a dataset version, and says what of it."""

    stream = LineField(max_length=80)
    kind = LineField(max_length=40)
    subject = LineField(max_length=120)
    about = models.UUIDField()
    digest = DigestField(null=True, blank=True)
    accepted = models.BooleanField()
    statement = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    reviewed_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=32)
    reviewed_at = models.DateTimeField()
    next_on = models.DateField(null=True, blank=True)

    class Meta:
        db_table = "oversight_review"


class Hold(GovernedModel):
    """A legal hold: while it stands, nothing that it names is purged or erased."""

    once = ("ended_at", "ended_by", "ended_reason")

    stream = LineField(max_length=80)
    subject = LineField(max_length=120)
    about = models.UUIDField()
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    placed_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    placed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    ended_reason = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        db_table = "oversight_hold"


class Finding(GovernedModel):
    """Something to be mended, with an owner and a date. `kind` and `about` name the record that it came from, where one did."""

    mutable = ("state", "owner", "due_on")
    once = ("closed_at", "closure")

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        FIXED = "fixed"
        CLOSED = "closed"

    stream = LineField(max_length=80)
    kind = LineField(max_length=40, default="manual")
    about = models.UUIDField(null=True, blank=True)
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
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "about"], condition=Q(about__isnull=False), name="oversight_finding_once"
            )
        ]
