"""What exists: models, their immutable versions, the files of a version, where it came from, and the evidence about it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.access.models import Actor, Team, Text
from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel
from registry.provenance.models import DatasetVersion, Licence, Source


class VersionFormat(models.TextChoices):
    ONNX = "onnx"
    SAFETENSORS = "safetensors"
    PT2 = "pt2"


class VersionOrigin(models.TextChoices):
    UPLOADED = "uploaded"
    DERIVED = "derived"


class Completeness(models.TextChoices):
    """How much is known about what a version was trained on."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class EdgeRole(models.TextChoices):
    BASE = "base"
    TEACHER = "teacher"
    STUDENT_START = "student-start"
    MERGE_INPUT = "merge-input"
    DATA = "data"


class Grade(models.TextChoices):
    """How we know an edge: somebody said so, our engine did it, or a replay did it again."""

    DECLARED = "declared"
    EXECUTED = "executed"
    REDERIVED = "re-derived"


class RegisteredModel(GovernedModel):
    """A named line of models; it has an owner and serves one use case."""

    mutable = ("owner", "use_case")
    once = ("ended_at",)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="models")
    slug = SlugField()
    title = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    owner = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    use_case = models.ForeignKey("registry.UseCase", on_delete=models.PROTECT, null=True, related_name="models")
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "catalog_model"
        constraints = [models.UniqueConstraint(fields=["team", "slug"], name="catalog_model_slug")]

    def __str__(self) -> str:
        return f"{self.team.slug}/{self.slug}"


class ModelVersion(GovernedModel):
    """One immutable state of a model: a manifest of files, named by the digest of that manifest."""

    once = ("purged_at",)

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    digest = DigestField(db_index=True)
    format = models.CharField(max_length=16, choices=VersionFormat.choices)
    origin = models.CharField(max_length=16, choices=VersionOrigin.choices)
    size_bytes = models.BigIntegerField()
    licence = models.ForeignKey(Licence, on_delete=models.PROTECT, related_name="+")
    training_data = models.CharField(max_length=16, choices=Completeness.choices)
    note = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    purged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "catalog_version"
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="catalog_version_number"),
            models.UniqueConstraint(fields=["model", "digest"], name="catalog_version_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.model}@{self.number}"


class Artifact(GovernedModel):
    """One file of a version, by path, role and digest."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="artifacts")
    path = LineField(max_length=400)
    role = models.CharField(max_length=16)
    digest = DigestField(db_index=True)
    size_bytes = models.BigIntegerField()

    class Meta:
        db_table = "catalog_artifact"
        constraints = [models.UniqueConstraint(fields=["version", "path"], name="catalog_artifact_path")]


class Edge(GovernedModel):
    """`child` was derived from a parent version or from data, in one role, by an ordered list of operations.

    The grade rises when a replay made the child again; nothing else of an edge changes.
    """

    mutable = ("grade",)

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    child = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="parent_edges")
    parent = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="child_edges")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="child_edges")
    parent_digest = DigestField()
    role = models.CharField(max_length=16, choices=EdgeRole.choices)
    operations = models.JSONField(default=list)
    grade = models.CharField(max_length=16, choices=Grade.choices)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "catalog_edge"
        constraints = [
            models.CheckConstraint(
                condition=Q(parent__isnull=True) | Q(dataset_version__isnull=True), name="catalog_edge_one_parent"
            )
        ]


class Evidence(GovernedModel):
    """A measured or stated fact about one version, as a document bound by digest."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evidence")
    version_digest = DigestField()
    kind = LineField(max_length=40)
    source = models.CharField(max_length=16, choices=Source.choices)
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    parent = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="+")
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "catalog_evidence"
        constraints = [models.UniqueConstraint(fields=["version", "digest"], name="catalog_evidence_once")]


class Correction(GovernedModel):
    """What was registered wrongly about a version, as it should read: the newest one counts, what was said before stays on record.

    Null columns say that nothing about them is corrected.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="corrections")
    number = models.PositiveIntegerField()
    licence = models.ForeignKey(Licence, on_delete=models.PROTECT, null=True, related_name="+")
    training_data = models.CharField(max_length=16, choices=Completeness.choices, null=True, blank=True)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    corrected_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    corrected_at = models.DateTimeField()

    class Meta:
        db_table = "catalog_correction"
        constraints = [
            models.UniqueConstraint(fields=["version", "number"], name="catalog_correction_number"),
            models.CheckConstraint(
                condition=Q(licence__isnull=False) | Q(training_data__isnull=False),
                name="catalog_correction_of_something",
            ),
        ]
