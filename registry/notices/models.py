"""Who is told what: webhooks that somebody set up, and the outbox of what waits to be sent."""

from __future__ import annotations

from django.db import models

from registry.access.models import Actor, Team
from registry.fields import DigestField, LineField
from registry.governed import GovernedModel


class Webhook(GovernedModel):
    """An address that is told of events of a team, or of the whole instance, under a secret of its own."""

    mutable = ("secret",)
    once = ("ended_at",)

    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="webhooks")
    url_digest = DigestField()
    url = models.URLField(max_length=500)
    kinds = models.JSONField()
    secret = models.CharField(max_length=64)
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notices_webhook"


class Channel(models.TextChoices):
    MAIL = "mail"
    WEBHOOK = "webhook"


class Outgoing(models.Model):
    """Operational: one notice for one receiver, written in the transaction of what it tells, sent afterwards, again and again."""

    id = LineField(max_length=80, primary_key=True)
    event_id = models.UUIDField(null=True, db_index=True)
    kind = LineField(max_length=60)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    actor = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, null=True, related_name="+")
    body = models.JSONField()
    created_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_index=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        db_table = "notices_outgoing"
