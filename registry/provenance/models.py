"""What it is made from: datasets and their versions, licences with terms as data, documents."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from registry.access.models import Actor, Team, Text
from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel


class Knowledge(models.TextChoices):
    """An answer that may be missing: unknown is said, never guessed."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Source(models.TextChoices):
    """How a fact came here: our own measurement, or somebody's word."""

    MEASURED = "measured"
    DECLARED = "declared"


class Licence(GovernedModel):
    """A licence: an SPDX expression or a LicenseRef, with its terms as data from a versioned pack."""

    once = ("ended_at",)

    expression = LineField(max_length=200)
    number = models.PositiveIntegerField()
    terms = models.JSONField()
    pack = LineField(max_length=60)
    text_digest = DigestField(null=True, blank=True)
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "provenance_licence"
        constraints = [models.UniqueConstraint(fields=["expression", "number"], name="provenance_licence_once")]

    def __str__(self) -> str:
        return str(self.expression)


class LicenceRuling(GovernedModel):
    """What a named person found in a licence's text: its terms, with the proof. In force once somebody else approved it."""

    once = ("approved_by", "in_force_at", "ended_at")

    licence = models.ForeignKey(Licence, on_delete=models.PROTECT, related_name="rulings")
    number = models.PositiveIntegerField()
    terms = models.JSONField()
    document = models.ForeignKey("registry.Document", on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    authored_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    authored_at = models.DateTimeField()
    approved_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    in_force_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "provenance_ruling"
        constraints = [
            models.UniqueConstraint(fields=["licence", "number"], name="provenance_ruling_number"),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("authored_by")),
                name="provenance_ruling_not_by_author",
            ),
        ]


class Dataset(GovernedModel):
    """A named line of data that a team answers for."""

    mutable = ("steward",)
    once = ("ended_at",)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="datasets")
    slug = SlugField()
    title = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    steward = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "provenance_dataset"
        constraints = [models.UniqueConstraint(fields=["team", "slug"], name="provenance_dataset_slug")]

    def __str__(self) -> str:
        return str(self.slug)


class DatasetVersion(GovernedModel):
    """One immutable state of a dataset: our bytes (measured), or somebody else's by declaration."""

    once = ("purged_at",)

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    digest = DigestField(null=True, blank=True)
    document_digest = DigestField()
    source = models.CharField(max_length=16, choices=Source.choices)
    uses = models.JSONField()
    size_bytes = models.BigIntegerField(null=True)
    row_count = models.BigIntegerField(null=True)
    licence = models.ForeignKey(Licence, on_delete=models.PROTECT, related_name="+")
    origin = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    collection = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    personal_data = models.CharField(max_length=8, choices=Knowledge.choices)
    consent = models.CharField(max_length=8, choices=Knowledge.choices)
    third_party_works = models.CharField(max_length=8, choices=Knowledge.choices)
    opt_out_honoured = models.CharField(max_length=8, choices=Knowledge.choices, default=Knowledge.UNKNOWN)
    third_party_basis = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    owner = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    known_biases = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    collected_from = models.DateField(null=True, blank=True)
    collected_until = models.DateField(null=True, blank=True)
    retain_until = models.DateField(null=True, blank=True)
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    purged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "provenance_dataset_version"
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="provenance_dataset_version_number"),
            models.UniqueConstraint(fields=["dataset", "digest"], name="provenance_dataset_version_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.slug}@{self.number}"

    @property
    def bound_digest(self) -> str:
        """What names this state: the digest of the bytes or, where nobody knows the bytes, of the record about them."""
        return str(self.digest or self.document_digest)


class DatasetFile(GovernedModel):
    """One uploaded file of a dataset version, by path and digest, with how many rows it holds.

    A version that was registered by one digest alone has none: its digest is that of the file.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="files")
    path = LineField(max_length=400)
    digest = DigestField(db_index=True)
    size_bytes = models.BigIntegerField()
    format = LineField(max_length=16)
    row_count = models.BigIntegerField()

    class Meta:
        db_table = "provenance_dataset_file"
        constraints = [models.UniqueConstraint(fields=["dataset_version", "path"], name="provenance_dataset_file_path")]


class DatasetCorrection(GovernedModel):
    """What was registered wrongly about a dataset version, as it should read; the newest one says all that was ever corrected.

    Null columns say that nothing about them is corrected; `unstated` names those about which nobody can say anything after all.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="corrections")
    number = models.PositiveIntegerField()
    licence = models.ForeignKey(Licence, on_delete=models.PROTECT, null=True, related_name="+")
    uses = models.JSONField(null=True)
    origin = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    collection = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    personal_data = models.CharField(max_length=8, choices=Knowledge.choices, null=True, blank=True)
    consent = models.CharField(max_length=8, choices=Knowledge.choices, null=True, blank=True)
    third_party_works = models.CharField(max_length=8, choices=Knowledge.choices, null=True, blank=True)
    opt_out_honoured = models.CharField(max_length=8, choices=Knowledge.choices, null=True, blank=True)
    third_party_basis = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    owner = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    known_biases = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    collected_from = models.DateField(null=True, blank=True)
    collected_until = models.DateField(null=True, blank=True)
    retain_until = models.DateField(null=True, blank=True)
    steward = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    unstated = models.JSONField(default=list)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    corrected_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    corrected_at = models.DateTimeField()

    class Meta:
        db_table = "provenance_dataset_correction"
        constraints = [
            models.UniqueConstraint(fields=["dataset_version", "number"], name="provenance_dataset_correction_number"),
        ]


class Document(GovernedModel):
    """A file kept as proof beside a record: bound by digest, downloaded, never rendered inline."""

    stream = LineField(max_length=80)
    subject = LineField(max_length=200)
    about = models.UUIDField()
    kind = LineField(max_length=40)
    title = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    media_type = LineField(max_length=100)
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "provenance_document"
        constraints = [models.UniqueConstraint(fields=["about", "kind", "digest"], name="provenance_document_once")]


class DataProfile(GovernedModel):
    """What the engine found in the rows of a dataset version: asked once, worked on by one worker at a time, never changed.

    Its state is computed: waiting, working (a lease that has not run out), finished or failed.
    """

    mutable = ("owner_token", "lease_until", "attempt")
    once = ("finished_at", "digest", "size_bytes", "failure_code", "failure", "engine_version")

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="profiles")
    settings = models.JSONField()
    asked_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    digest = DigestField(null=True, blank=True)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    engine_version = LineField(max_length=40, null=True, blank=True)
    failure_code = LineField(max_length=60, null=True, blank=True)
    failure = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    # operational: who works on it now
    owner_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "provenance_profile"


class Upload(models.Model):
    """Operational: who brought which bytes, so that nobody registers bytes of others by knowing a digest."""

    actor = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        db_table = "provenance_upload"
        constraints = [models.UniqueConstraint(fields=["actor", "digest"], name="provenance_upload_once")]
