"""The one business model that every contender keeps: a parent, and children of it with columns as a governed table has them."""

from __future__ import annotations

from django.db import models

from registry.fields import DigestField, LineField, SlugField
from registry.ids import uuid7


class LineColumns(models.Model):
    """What the children hang on."""

    slug = SlugField()
    created_at = models.DateTimeField()

    class Meta:
        abstract = True


class ItemColumns(models.Model):
    """A child; `state` and `note_digest` may change later."""

    class Kind(models.TextChoices):
        UPLOADED = "uploaded"
        DERIVED = "derived"

    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = LineField(max_length=120)
    digest = DigestField()
    size_bytes = models.BigIntegerField()
    state = LineField(max_length=20)
    note_digest = DigestField(null=True)
    created_by = models.UUIDField()
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class PlainKey(models.Model):
    """The key of a governed table, without what a governed table does."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True
