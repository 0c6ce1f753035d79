"""How it behaves: the baseline frozen at approval, monitors over an alias, the windows that come in, and incidents."""

from __future__ import annotations

from django.db import models

from registry.access.models import Actor, Text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel
from registry.release.models import Alias, AliasAssignment, Approval


class Baseline(GovernedModel):
    """What the approved version did on the baseline data: frozen bins, counts and limits, as a document."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="baselines")
    version_digest = DigestField()
    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, related_name="baselines")
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "monitoring_baseline"
        constraints = [
            models.UniqueConstraint(fields=["version", "approval"], name="monitoring_baseline_once"),
        ]


class Monitor(GovernedModel):
    """Watches one alias: windows are judged against the baseline of the version that the alias serves."""

    once = ("ended_at",)

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="monitors")
    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, related_name="monitors")
    slug = SlugField()
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "monitoring_monitor"
        constraints = [models.UniqueConstraint(fields=["model", "slug"], name="monitoring_monitor_slug")]

    def __str__(self) -> str:
        return f"{self.model}: {self.slug}"


class WindowState(models.TextChoices):
    HEALTHY = "healthy"
    DRIFTED = "drifted"
    INSUFFICIENT = "insufficient-data"
    NO_BASELINE = "no-baseline"
    DIGEST_DRIFT = "digest-drift"


class Window(GovernedModel):
    """Counts over one stretch of live traffic, and the judgement under the baseline in force. No raw rows.

    `version` is what the alias served then by our record; `version_digest` is what the operator saw served. They differ only in the
    state digest-drift.
    """

    monitor = models.ForeignKey(Monitor, on_delete=models.PROTECT, related_name="windows")
    label = LineField(max_length=80)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    version_digest = DigestField()
    baseline = models.ForeignKey(Baseline, on_delete=models.PROTECT, null=True, related_name="windows")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    row_count = models.BigIntegerField()
    state = models.CharField(max_length=20, choices=WindowState.choices)
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    judgement_digest = DigestField()
    judgement_size_bytes = models.BigIntegerField()
    pushed_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    received_at = models.DateTimeField()

    class Meta:
        db_table = "monitoring_window"
        constraints = [models.UniqueConstraint(fields=["monitor", "label"], name="monitoring_window_label")]


class Incident(GovernedModel):
    """A drifted window that people must answer. Its status is computed from which of the acts below have happened."""

    once = (
        "acknowledged_at", "acknowledged_by", "judged_at", "judged_by", "benign",
        "resolved_at", "resolved_by", "resolution", "assignment",
    )  # fmt: skip

    monitor = models.ForeignKey(Monitor, on_delete=models.PROTECT, related_name="incidents")
    window = models.OneToOneField(Window, on_delete=models.PROTECT, related_name="incident")
    opened_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    judged_at = models.DateTimeField(null=True, blank=True)
    judged_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    benign = models.BooleanField(null=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    resolution = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    assignment = models.ForeignKey(AliasAssignment, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        db_table = "monitoring_incident"
