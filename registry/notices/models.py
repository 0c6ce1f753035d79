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
    url = LineField(max_length=500)
    kinds = models.JSONField()
    secret = models.CharField(max_length=64)
    created_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notices_webhook"


class Preference(models.Model):
    """Operational: what one person chose about being told."""

    actor = models.OneToOneField(Actor, on_delete=models.PROTECT, primary_key=True, related_name="+")
    mail = models.BooleanField(default=True)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "notices_preference"


class Channel(models.TextChoices):
    """How a notice leaves. `page` leaves not at all: it waits on the page of what somebody was told."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    PAGE = "page"


class Outgoing(models.Model):
    """Operational: one notice for one receiver, written in the transaction of what it tells, sent afterwards, again and again.

    `next_attempt_at` is null once nothing is left to try: it was sent, given up, or is for the page alone.
    """

    id = LineField(max_length=80, primary_key=True)
    event_id = models.UUIDField(null=True, db_index=True)
    kind = LineField(max_length=60)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    actor = models.ForeignKey(Actor, on_delete=models.PROTECT, null=True, related_name="+")
    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, null=True, related_name="+")
    body = models.JSONField()
    created_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_index=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        db_table = "notices_outgoing"
