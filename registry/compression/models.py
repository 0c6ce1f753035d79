"""What was done: recipes as published, and the runs that carried them out."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.access.models import Actor, Team, Text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel
from registry.provenance.models import DatasetVersion


class Recipe(GovernedModel):
    """Intended steps, as an immutable document. A changed recipe is a new number under the same slug."""

    once = ("ended_at",)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="recipes")
    slug = SlugField()
    number = models.PositiveIntegerField()
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "compression_recipe"
        constraints = [
            models.UniqueConstraint(fields=["team", "slug", "number"], name="compression_recipe_number"),
            models.UniqueConstraint(fields=["team", "slug", "digest"], name="compression_recipe_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.slug}@{self.number}"


class RunState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunKind(models.TextChoices):
    """Compress a parent into a child, only measure a version that is there, or make one again to see whether it is the same."""

    COMPRESSION = "compression"
    EVALUATION = "evaluation"
    REPLAY = "replay"


class Run(GovernedModel):
    """One execution: of a recipe on a parent version, or of an evaluation. The row is the truth; a queue message only wakes.

    `parent` is the version that is compressed or, for an evaluation, the one that is measured. What is compared with is fixed when
    the run is requested: `base` (what the measured one was derived from), `incumbent` (what an alias serves) and `first` (the
    first approved version of the line). `rederives` is the version that a replay makes again from `parent`, by the recipe that made
    it or is said to have made it; a replay judges nothing, so it names no rows to judge on. `evaluation_file` names the file of
    `evaluation` whose rows are read, where it has several. `training`, `teacher` and `student` (what the child begins as) are for
    steps that train; `at_least` and `loses_at_most` are shares that every step must keep, as decimal texts. Runs that were asked
    for in one request, to be compared, have the same `comparison`; in the ledger their requests are one unit, which proves it.
    """

    mutable = ("state", "attempt", "owner_token", "lease_until", "heartbeat_at", "progress", "started_at")
    once = (
        "cancel_requested_at", "finished_at", "child", "failure_code", "failure", "log_digest", "engine_version",
        "result_digest", "outputs_digest",
    )  # fmt: skip

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="runs")
    parent = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=16, choices=RunKind.choices)
    recipe = models.ForeignKey(Recipe, on_delete=models.PROTECT, null=True, related_name="runs")
    calibration = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="+")
    evaluation = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="+")
    evaluation_file = LineField(max_length=400, null=True, blank=True)
    training = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="+")
    teacher = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    student = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    at_least = LineField(max_length=20, null=True, blank=True)
    loses_at_most = LineField(max_length=20, null=True, blank=True)
    baseline = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="+")
    out_of_distribution = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="+")
    plan_digest = DigestField(null=True, blank=True)
    price_sheet_digest = DigestField(null=True, blank=True)
    base = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    incumbent = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    rederives = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="replays")
    first = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    allow_seen = models.BooleanField(default=False)
    comparison = models.UUIDField(null=True, blank=True, db_index=True)
    state = models.CharField(max_length=16, choices=RunState.choices, db_index=True)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    seed = models.PositiveIntegerField(default=0)
    requested_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    child = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="made_by_runs")
    failure_code = LineField(max_length=60, null=True, blank=True)
    failure = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    log_digest = DigestField(null=True, blank=True)
    result_digest = DigestField(null=True, blank=True)
    outputs_digest = DigestField(null=True, blank=True)
    engine_version = LineField(max_length=40, null=True, blank=True)
    # operational: who works on it now, and how far
    owner_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    progress = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "compression_run"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="compression", recipe__isnull=False, evaluation__isnull=False, rederives__isnull=True)
                | Q(kind="evaluation", recipe__isnull=True, evaluation__isnull=False, rederives__isnull=True)
                | Q(kind="replay", recipe__isnull=False, evaluation__isnull=True, rederives__isnull=False),
                name="compression_run_recipe",
            ),
        ]

    @property
    def original(self) -> ModelVersion | None:
        """What the judged version was made from: the parent of a compression, the base of an evaluation."""
        return self.parent if self.kind == RunKind.COMPRESSION else self.base

    @property
    def judging_data(self) -> DatasetVersion:
        """The rows that the version is judged on; a replay has none and is not asked."""
        assert self.evaluation is not None
        return self.evaluation

    @property
    def distribution_data(self) -> DatasetVersion:
        """The rows over which the answers' distribution is counted: baseline data where given, else the evaluation's."""
        return self.baseline or self.judging_data
