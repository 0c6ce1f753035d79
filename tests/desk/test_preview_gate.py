"""The page that says what a version lacks, for everybody who may read it."""

from __future__ import annotations

from collections.abc import Callable

from registry.access.models import Role
from registry.release.models import Verdict
from tests.desk.conftest import Visitor, words
from tests.world import World

Visit = Callable[[str], Visitor]


def test_a_viewer_reads_what_is_lacking_and_who_can_mend_it_and_nothing_is_written(visit: Visit, world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    child = world.child_version(parent, evidence=False)
    world.person("vera", Role.VIEWER)
    verdicts = Verdict.objects.count()
    page = f"/models/search/{child.model.slug}@{child.number}/"
    vera = visit("vera")
    assert "preview-gate/" in vera.get(page).content.decode()
    told = vera.reads(f"{page}preview-gate/")
    assert "7 rules of limited@1 block; it judges releases of tier limited to “production”." in told
    assert (
        "Have 'size' measured for exactly this version: request an evaluation engineer or service account of the team"
        in told
    )
    assert "to do Every rule passes or is waived" in told
    assert "1 approver of the team; not who asks for it" in told
    assert "canary" in vera.reads(f"{page}preview-gate/?alias=canary")
    assert vera.get(f"{page}preview-gate/?alias=7").status_code == 422
    assert visit("eve").get(f"{page}preview-gate/").status_code == 404
    assert "preview-gate/" in visit("ada").get(f"{page}request-approval/").content.decode()
    assert Verdict.objects.count() == verdicts


def test_the_page_says_that_nothing_judges_and_who_can_mend_that(visit: Visit, world: World) -> None:
    version = world.version(world.model("alone"))
    told = words(visit("ada").get(f"/models/search/alone@{version.number}/preview-gate/"))
    assert "serves no use case, so no policy can judge a release of it" in told
    assert "Assign it to the model" in told or "assign it to the model" in told
