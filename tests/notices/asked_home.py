"""Run as a script inside an installation of its own: sets it up, and asks for an approval that two people are told of by mail.

python -m tests.notices.asked_home        prints {"waiting": 2}
"""

from __future__ import annotations

import json

import django
from django.core.management import call_command


def main() -> None:
    django.setup()
    from audit import keys
    from audit import services as audit
    from registry.access import services as access
    from registry.access.models import Actor, Role
    from registry.ids import uuid7
    from registry.notices.models import Outgoing
    from tests.world import Cast, World

    call_command("migrate", verbosity=0, interactive=False)
    log, issuer = audit.make_keys(audit.origin_of(instance := uuid7(), 1), keys.folder())
    audit.create_ledger(instance=instance, log=log, issuer=issuer)
    world = World(Cast.assemble())
    version = world.parent_version()
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["carla"], role=Role.APPROVER, team=world.team
    )
    for name in ("omar", "carla"):
        Actor.objects.filter(username=name).update(email=f"{name}@example.org")
    world.approval(version)
    print(json.dumps({"waiting": Outgoing.objects.filter(next_attempt_at__isnull=False).count()}))


if __name__ == "__main__":
    main()
