"""What takes things back: recalls with the versions that they stop, the way out of a quarantine, and purges."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from registry.access.models import Actor, Text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.fields import DigestField, LineField
from registry.governed import GovernedModel


class RecallKind(models.TextChoices):
    """What is taken back."""

    DATASET_VERSION = "dataset_version"
    LICENCE = "licence"
    VERSION = "version"


class Recall(GovernedModel):
    """Something must not be used any more: a dataset version, a licence or a model version, and so all that was made from it."""

    once = ("ended_at", "ended_by", "ended_reason")

    stream = LineField(max_length=80)
    kind = models.CharField(max_length=16, choices=RecallKind.choices)
    about = models.UUIDField()
    subject = LineField(max_length=200)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    affected = models.PositiveIntegerField()
    recalled_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=32)
    recalled_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    ended_reason = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        db_table = "release_recall"


class Quarantine(GovernedModel):
    """A recall stops one version. It ends with the recall, or once its release was granted."""

    once = ("ended_at",)

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="quarantines")
    version_digest = DigestField()
    recall = models.ForeignKey(Recall, on_delete=models.PROTECT, related_name="quarantines")
    distance = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "release_quarantine"
        constraints = [models.UniqueConstraint(fields=["recall", "version"], name="release_quarantine_once")]


class QuarantineActKind(models.TextChoices):
    REQUESTED = "requested"
    GRANTED = "granted"
    REFUSED = "refused"


class QuarantineAct(GovernedModel):
    """One act on the way out of a quarantine; whether it is open is computed from these."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    quarantine = models.ForeignKey(Quarantine, on_delete=models.PROTECT, related_name="acts")
    kind = models.CharField(max_length=16, choices=QuarantineActKind.choices)
    role = models.CharField(max_length=32)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    done_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    done_at = models.DateTimeField()

    class Meta:
        db_table = "release_quarantine_act"


class PurgeKind(models.TextChoices):
    DATASET_VERSION = "dataset_version"
    VERSION = "version"


class Purge(GovernedModel):
    """The bytes of something go for good, by two people; its row and digest stay."""

    once = ("confirmed_by", "confirmed_at", "withdrawn_at", "freed_bytes")

    stream = LineField(max_length=80)
    kind = models.CharField(max_length=16, choices=PurgeKind.choices)
    about = models.UUIDField()
    subject = LineField(max_length=200)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    requested_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    confirmed_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    freed_bytes = models.BigIntegerField(null=True, blank=True)

    class Meta:
        db_table = "release_purge"
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_by__isnull=True) | ~Q(confirmed_by=F("requested_by")),
                name="release_purge_two_people",
            )
        ]
