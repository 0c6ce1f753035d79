"""Notices before real servers: settings that lead to them, and a notice that waits."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from registry.access import services as access
from registry.access.models import Actor, Role
from registry.notices import services
from registry.notices.models import Outgoing, Webhook
from registry.release.models import Approval
from tests.notices.servers import Mailbox, Receiver, mail_server, receiver
from tests.world import World


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    """A mail server that the settings name."""
    with mail_server() as box:
        settings.PRESSMARK_MAIL_HOST = "127.0.0.1"
        settings.PRESSMARK_MAIL_PORT = box.port
        settings.PRESSMARK_MAIL_SECURITY = "none"
        settings.PRESSMARK_MAIL_FROM = "registry@pressmark.example"
        settings.PRESSMARK_PUBLIC_URL = "https://pressmark.example"
        yield box


@pytest.fixture
def hook(settings: Any) -> Iterator[Receiver]:
    """A receiver of webhooks, and leave to call this machine."""
    settings.PRESSMARK_WEBHOOK_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    with receiver() as kept:
        yield kept


@pytest.fixture
def asking(world: World) -> Callable[[], Approval]:
    """Ask for an approval, of which omar and carla are told, who have addresses of mail; nothing else waits to be sent."""
    version = world.parent_version()
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["carla"], role=Role.APPROVER, team=world.team
    )
    Outgoing.objects.all().delete()
    for name in ("omar", "carla"):
        Actor.objects.filter(username=name).update(email=f"{name}@example.org")
    return lambda: world.approval(version)


Register = Callable[..., tuple[Webhook, str]]


@pytest.fixture
def register(world: World, hook: Receiver) -> Register:
    """A webhook of the whole instance to the receiver, and its secret."""

    def registered(*kinds: str, url: str = "", team: Any = None) -> tuple[Webhook, str]:
        return services.register_webhook(
            actor=world.cast.root, url=url or hook.url, kinds=kinds or ["approval.requested"], team=team
        )

    return registered
