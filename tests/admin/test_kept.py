"""Holds and purges in the admin site: the same services, the same two people."""

from __future__ import annotations

from registry import storage
from registry.access import services as access
from registry.access.models import Role
from registry.oversight.models import Hold
from registry.oversight.services_proofs import place_hold
from registry.oversight.subjects import of_dataset_version
from registry.release.services import request_purge
from tests.admin.test_inbox import client_of
from tests.world import World


def test_a_hold_is_ended_and_a_purge_confirmed_by_somebody_else(world: World) -> None:
    rows = world.dataset_version(slug="talk")
    subject = of_dataset_version(rows)
    officer = world.officer()
    access.grant_membership(
        actor=world.cast.root, person=world.person("clara"), role=Role.COMPLIANCE_OFFICER, team=None
    )
    purge = request_purge(actor=officer, subject=subject, reason="Consent withdrawn.")
    hold = place_hold(actor=officer, subject=subject, reason="A dispute.")
    carla, clara = client_of("carla"), client_of("clara")
    confirm = f"/admin/registry/purge/{purge.pk}/confirm/"
    assert carla.get(confirm).status_code == 404
    assert carla.post(confirm).status_code == 404
    assert "will not come back" in clara.get(confirm).content.decode()
    held = clara.post(confirm, follow=True).content.decode()
    assert "A legal hold stands on search/talk@1" in held
    assert storage.is_stored(str(rows.digest))
    clara.post(f"/admin/registry/hold/{hold.pk}/end/", {"reason": "Settled."})
    assert Hold.objects.get().ended_at is not None
    done = clara.post(confirm, follow=True).content.decode()
    assert "are gone; digest and facts stay." in done
    assert not storage.is_stored(str(rows.digest))
    assert clara.get(confirm).status_code == 404


def test_a_purge_is_withdrawn(world: World) -> None:
    rows = world.dataset_version(slug="talk")
    purge = request_purge(actor=world.officer(), subject=of_dataset_version(rows), reason="Consent withdrawn.")
    answer = client_of("carla").post(f"/admin/registry/purge/{purge.pk}/withdraw/", follow=True).content.decode()
    assert "The bytes of search/talk@1 stay." in answer
    assert storage.is_stored(str(rows.digest))
