"""Who may: actors, teams, memberships, tokens, and the free texts that people write."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from registry.fields import DigestField, LineField, SlugField
from registry.governed import GovernedModel


class Role(models.TextChoices):
    """What a member may be. `system` belongs to the keeper and the worker alone."""

    VIEWER = "viewer"
    ENGINEER = "engineer"
    OPERATOR = "operator"
    APPROVER = "approver"
    COMPLIANCE_OFFICER = "compliance_officer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"
    SERVICE_ACCOUNT = "service_account"


SYSTEM_ROLE = "system"


class ActorKind(models.TextChoices):
    PERSON = "person"
    SERVICE = "service"
    SYSTEM = "system"


class ActorManager(BaseUserManager["Actor"]):
    def get_by_natural_key(self, username: str | None) -> Actor:
        return self.get(username=username)


class Actor(AbstractBaseUser, GovernedModel):
    """Whoever acts: a person, a service account, or the one system actor born with the ledger. Profile columns are never sealed."""

    mutable = ("username", "email", "display_name", "password", "last_login")
    once = ("ended_at",)

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["email"]

    kind = models.CharField(max_length=16, choices=ActorKind.choices)
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField(blank=True)
    display_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = ActorManager()

    class Meta:
        db_table = "access_actor"

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return self.ended_at is None and self.kind != ActorKind.SYSTEM

    @property
    def is_superuser(self) -> bool:
        """Nobody is: the permission table alone decides."""
        return False

    @property
    def is_staff(self) -> bool:
        """May open the admin site: whoever holds a role that decides or oversees."""
        deciding = {Role.APPROVER, Role.COMPLIANCE_OFFICER, Role.AUDITOR, Role.ADMINISTRATOR}
        return bool(deciding & {m.role for m in self.memberships_now()})

    def memberships_now(self, at: datetime.datetime | None = None) -> list[Membership]:
        """Memberships in force."""
        return [m for m in self.memberships.all() if m.in_force(at)]

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """The admin site reads; it never adds, changes or deletes."""
        return self.is_active and self.is_staff and ".view_" in perm

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_staff


class Text(GovernedModel):
    """What somebody typed. The ledger holds a salted commitment; erasing clears salt and value, and every proof still verifies."""

    once = ("erased_at",)
    clearable = ("salt", "value")

    stream = LineField(max_length=80)
    purpose = LineField(max_length=40)
    commitment = DigestField()
    created_at = models.DateTimeField()
    erased_at = models.DateTimeField(null=True, blank=True)
    salt = models.BinaryField(max_length=32, null=True, blank=True)
    value = models.TextField(null=True, blank=True)

    class Meta:
        db_table = "access_text"

    def __str__(self) -> str:
        return "(erased)" if self.erased_at else (self.value or "")


class Team(GovernedModel):
    """A group of people who own models, datasets, recipes and use cases together."""

    mutable = ("title",)
    once = ("ended_at",)

    slug = SlugField(unique=True)
    title = models.ForeignKey(Text, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "access_team"

    def __str__(self) -> str:
        return str(self.slug)


class Membership(GovernedModel):
    """One actor, one role, in one team or (no team) in the whole instance."""

    once = ("ended_at",)

    actor = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="memberships")
    role = models.CharField(max_length=32, choices=Role.choices)
    granted_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "access_membership"

    def __str__(self) -> str:
        return f"{self.actor}, {self.role} {f'in {self.team}' if self.team else 'of the whole instance'}"

    def in_force(self, at: datetime.datetime | None = None) -> bool:
        at = at or timezone.now()
        return self.ended_at is None and (self.expires_at is None or self.expires_at > at)


class Deputyship(GovernedModel):
    """One person may decide in the place of another, under that one's role, from a day to a day. It is not handed on."""

    once = ("ended_at",)

    principal = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="deputies")
    deputy = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="deputyships")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    role = models.CharField(max_length=32, choices=Role.choices)
    reason = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "access_deputyship"
        constraints = [
            models.CheckConstraint(condition=~Q(principal=F("deputy")), name="access_deputyship_of_another"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("begins_at")), name="access_deputyship_ends"),
        ]

    def in_force(self, at: datetime.datetime | None = None) -> bool:
        at = at or timezone.now()
        return self.ended_at is None and self.begins_at <= at < self.ends_at


class Responsibility(GovernedModel):
    """A person answers for a service account, from a moment until somebody else is named. What it does is that person's work too.

    The newest row of an account says who answers now. Whoever ever did keeps a part in what it did: a change washes nobody's hands.
    """

    account = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="responsibilities")
    person = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="answers_for")
    given_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "access_responsibility"

    def __str__(self) -> str:
        return f"{self.person} answers for {self.account}"


class Token(GovernedModel):
    """The record of an API token. The secret's hash lives in knox's own table; here stands only whose, by whom, until when."""

    once = ("ended_at",)

    actor = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="tokens")
    issued_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="tokens_issued")
    token_key = models.CharField(max_length=25)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "access_token"

    def __str__(self) -> str:
        return f"{self.actor}, made {self.created_at:%Y-%m-%d %H:%M}"


class IdempotencyKey(models.Model):
    """Operational: the stored answer to a creating call, so that a repeat gets it again and another body is refused."""

    actor = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=200)
    request_digest = models.CharField(max_length=71)
    status = models.PositiveSmallIntegerField()
    body = models.JSONField()
    receipt = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "access_idempotency_key"
        constraints = [models.UniqueConstraint(fields=["actor", "key"], name="access_idempotency_key_once")]
