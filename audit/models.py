"""The ledger and what it issues: entries, keys, checkpoints, tiles; assessments, reports, bundles."""

from __future__ import annotations

from django.db import models

from registry.access.models import Actor, Text
from registry.catalog.models import ModelVersion
from registry.fields import DigestField, LineField
from registry.governed import GovernedModel


class Entry(models.Model):
    """One leaf of the tree: the exact bytes, where they stand, and the leaf hash."""

    position = models.BigIntegerField(primary_key=True)
    stream = models.CharField(max_length=80)
    stream_seq = models.BigIntegerField()
    at = models.CharField(max_length=27)
    entry = models.BinaryField()
    leaf = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audit_entry"
        constraints = [models.UniqueConstraint(fields=["stream", "stream_seq"], name="audit_entry_stream_seq")]


class Tile(models.Model):
    """256 hashes of one level of the tree (C2SP tlog-tiles); a full tile never changes."""

    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        db_table = "audit_tile"
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="audit_tile_place")]


class Checkpoint(models.Model):
    """A signed checkpoint as it was written to the file outside the database."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField(max_length=32)
    note = models.TextField()
    signed_at = models.DateTimeField()

    class Meta:
        db_table = "audit_checkpoint"


class Ledger(GovernedModel):
    """The ledger itself: its origin and epoch."""

    once = ("ended_at",)

    instance = models.UUIDField()
    epoch = models.PositiveIntegerField()
    origin = LineField(max_length=120, unique=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "audit_ledger"


class Key(GovernedModel):
    """A public key of the ledger: which role, under which name, from which position on."""

    once = ("last_position", "revoked_at")

    class Use(models.TextChoices):
        LOG = "log"
        ISSUER = "issuer"

    use = models.CharField(max_length=8, choices=Use.choices)
    key_line = LineField(max_length=300)
    first_position = models.BigIntegerField()
    last_position = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "audit_key"


class Intervention(GovernedModel):
    """An act on the ledger itself, by administrators: who, why, who agreed, and what it went on from.

    `old_*` are of a reopening: the last checkpoint that was signed under the old origin, and the largest of its checkpoints that
    this ledger still continues; what was sealed between was lost or replaced. `old_at` and `new_at` are of a corrected clock.
    """

    class Kind(models.TextChoices):
        KEYS_ROTATED = "keys_rotated"
        KEYS_REVOKED = "keys_revoked"
        LEDGER_RESTORED = "ledger_restored"
        LEDGER_COPIED = "ledger_copied"
        CLOCK_CORRECTED = "clock_corrected"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    done_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    agreed_by = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    done_at = models.DateTimeField()
    old_origin = LineField(max_length=120, null=True)
    old_size = models.BigIntegerField(null=True)
    old_root = DigestField(null=True)
    agreed_size = models.BigIntegerField(null=True)
    old_at = models.DateTimeField(null=True)
    new_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_intervention"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(agreed_by=None) | ~models.Q(agreed_by=models.F("done_by")),
                name="audit_intervention_two_people",
            ),
            models.CheckConstraint(
                condition=~models.Q(kind__in=["keys_revoked", "clock_corrected"]) | models.Q(agreed_by__isnull=False),
                name="audit_intervention_agreed",
            ),
        ]


class Assessment(GovernedModel):
    """An issued assessment of one model against one framework, as of one ledger position."""

    stream = LineField(max_length=80)
    framework = LineField(max_length=60)
    framework_digest = DigestField()
    as_of_position = models.BigIntegerField()
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    note = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    issued_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    issued_at = models.DateTimeField()

    class Meta:
        db_table = "audit_assessment"


class Report(GovernedModel):
    """A report as it left the building: the same data as PDF and JSON."""

    assessment = models.ForeignKey(Assessment, on_delete=models.PROTECT, related_name="reports")
    json_digest = DigestField()
    json_size_bytes = models.BigIntegerField()
    pdf_digest = DigestField()
    pdf_size_bytes = models.BigIntegerField()
    template = LineField(max_length=60)
    issued_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    issued_at = models.DateTimeField()

    class Meta:
        db_table = "audit_report"


class Bundle(GovernedModel):
    """A bundle as it left the building, named by the scope that it seals.

    `subject` is the stream that it is about, `instance` for the whole; `version` narrows a model's bundle to one version of it.
    """

    scope_digest = DigestField()
    scope_size_bytes = models.BigIntegerField()
    subject = LineField(max_length=80)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    issued_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    issued_at = models.DateTimeField()

    class Meta:
        db_table = "audit_bundle"


class Tick(models.Model):
    """Operational: the lock row of one of the keeper's loops, and how its last turn went."""

    name = models.CharField(max_length=40, primary_key=True)
    owner = models.UUIDField(null=True)
    locked_until = models.DateTimeField(null=True)
    last_run_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)

    class Meta:
        db_table = "audit_tick"


class Witness(models.Model):
    """Operational: a witness on another host, and the newest checkpoint that it cosigned. The cosignature proves itself."""

    name = models.CharField(max_length=200, primary_key=True)
    size = models.BigIntegerField(default=0)
    line = models.TextField(blank=True)
    cosigned_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        db_table = "audit_witness"
