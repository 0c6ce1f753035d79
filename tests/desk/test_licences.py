"""Pages about licences: the queue of unknowns is decided there, a version is corrected there, and the newcomer is answered."""

from __future__ import annotations

from collections.abc import Callable

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from registry.access.models import Team
from registry.catalog.edges import EdgeSpec
from registry.catalog.queries import effective_terms, stated
from registry.desk.origins import origins_of
from registry.provenance.models import Licence, LicenceRuling
from tests.desk.conftest import Visitor, words
from tests.provenance.http import make_eve_engineer_of
from tests.provenance.test_author_ruling import author, own_licence
from tests.world import World

Visit = Callable[[str], Visitor]


def address(version: object) -> str:
    return reverse("desk:version", args=[version.model.team.slug, version.model.slug, version.number])


def test_a_newcomer_is_told_no_with_the_source_its_licence_the_path_and_what_can_be_done(
    world: World, visit: Visit
) -> None:
    data = world.dataset_version(slug="scraped", uses=["calibration"], licence="CC-BY-NC-4.0")
    child = world.derived_version(world.version(world.model("clean")), data=[data])
    page = visit("ada").reads(address(child))
    assert "May I use this commercially? no" in page
    assert "search/scraped@1 is under CC-BY-NC-4.0: Use that is primarily for commercial advantage" in page
    assert "Reached by data: search/scraped@1." in page
    assert "Train or calibrate again without search/scraped@1" in page
    assert "May I change it? yes, if" in page


def test_where_the_gate_asks_less_than_the_page_answers_the_page_says_so(world: World, visit: Visit) -> None:
    model = world.governed_model()
    page = visit("ada").reads(address(world.version(model, licence="CC-BY-NC-4.0")))
    told = "Of this, the gate of limited@1 looks only at commercial use; the answer here rests on limits on use and place as well."
    assert told in page
    assert "Of this, the gate of" not in visit("ada").reads(address(world.version(model, licence="CC0-1.0", seed=9)))


def test_a_yes_is_not_said_of_data_that_nobody_recorded(world: World, visit: Visit) -> None:
    whole = world.version(licence="CC0-1.0", training_data="complete")
    part = world.version(licence="CC0-1.0", training_data="incomplete", seed=9)
    caveat = "What is known about the training data is incomplete: a “yes” above is about what was recorded"
    assert "May I use this commercially? yes" in visit("ada").reads(address(part))
    assert caveat in visit("ada").reads(address(part))
    assert caveat not in visit("ada").reads(address(whole))


def test_what_nobody_knows_is_said_with_who_can_find_out(world: World, visit: Visit) -> None:
    own_licence(world)
    version = world.version(licence="LicenseRef-acme-eula")
    page = visit("ada").reads(address(version))
    assert "May I use this commercially? not known" in page
    assert "Ask a compliance officer for a ruling on LicenseRef-acme-eula" in page


def test_one_of_many_children_and_one_of_many_parents_are_said_in_few_words(world: World) -> None:
    model = world.model("many")
    root = world.version(model)
    children = [world.version(model, seed=n, edges=[EdgeSpec("base", parent=root)]) for n in range(2, 14)]
    merged = world.version(model, seed=20, edges=[EdgeSpec("merge-input", parent=row) for row in children])
    assert [len(view.edges) for view in origins_of(world.cast.ada, root).nodes if view.node.distance == 0] == [1]
    assert origins_of(world.cast.ada, merged).finding.endswith(" and 4 more.")


def test_a_document_is_attached_from_the_page_of_the_newest_number_by_who_may(world: World, visit: Visit) -> None:
    first = own_licence(world)
    page = reverse("desk:licence", args=[first.pk])
    link = "documents/attach/?about=licence%3ALicenseRef-acme-eula"
    assert link in visit("carla").client.get(page).content.decode()
    assert link not in visit("otto").client.get(page).content.decode()
    second = own_licence(world, b"Another text.")
    assert link not in visit("carla").client.get(page).content.decode()
    assert link in visit("carla").client.get(reverse("desk:licence", args=[second.pk])).content.decode()


def test_the_queue_leads_to_a_ruling_that_is_submitted_with_a_file_and_approved_by_somebody_else(
    world: World, visit: Visit
) -> None:
    licence = own_licence(world)
    version = world.version(world.model("net"), licence=licence.expression)
    carla = visit("carla")
    assert "LicenseRef-acme-eula Commercial use" in carla.reads(reverse("desk:licences"))
    assert "not ruled on" in carla.reads(reverse("desk:licence", args=[licence.pk]))
    form = reverse("desk:author-ruling", args=[licence.pk])
    assert "leave as it is (unknown)" in carla.reads(form)
    fields = {
        "commercial_use_answer": "allowed",
        "commercial_use_sentence": "Section 2 grants use for any purpose.",
        "reason": "Read with counsel.",
    }
    refused = carla.client.post(form, fields)
    assert "a ruling rests on one" in words(refused)
    fields["file"] = SimpleUploadedFile("opinion.txt", b"Counsel agrees.")
    answer = carla.client.post(form, fields, follow=True)
    assert "waits for somebody else's approval" in words(answer)
    ruling = LicenceRuling.objects.get()
    page = carla.reads(reverse("desk:ruling", args=[ruling.pk]))
    assert "You wrote this ruling: somebody else has to approve it." in page
    assert "The terms of 1 version of 1 team change, 0 of them live : commercial use of 1" in page
    assert "search/net@1" in page
    approve = reverse("desk:approve-ruling", args=[ruling.pk])
    assert carla.client.post(approve).status_code == 403
    assert effective_terms(version).answers["commercial_use"] == "unknown"
    assert "in force, for every team" in words(visit("root").post(approve))
    assert effective_terms(version).answers["commercial_use"] == "allowed"
    ended = visit("root").post(reverse("desk:end-ruling", args=[ruling.pk]), reason="The opinion was withdrawn.")
    assert "counts no longer" in words(ended)


def test_a_ruling_names_versions_to_readers_of_their_teams_only(
    world: World, visit: Visit, outsider_team: Team
) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    licence = own_licence(world)
    world.version(world.model("hidden-net"), licence=licence.expression)
    ruling = author(world, licence)
    page = visit("eve").reads(reverse("desk:ruling", args=[ruling.pk]))
    assert "No version that you may see today is affected" in page
    assert "Counted are the teams that you may see." in page
    assert "hidden-net" not in page


def test_who_may_not_rule_sees_no_form(world: World, visit: Visit) -> None:
    licence = own_licence(world)
    assert "Rule on it" not in visit("ada").reads(reverse("desk:licence", args=[licence.pk]))
    assert visit("ada").get(reverse("desk:author-ruling", args=[licence.pk])).status_code == 403


def test_a_category_cannot_be_ruled_on_and_says_what_to_do(world: World, visit: Visit) -> None:
    world.version(licence="LicenseRef-pressmark-unknown")
    row = Licence.objects.get(expression="LicenseRef-pressmark-unknown")
    page = visit("carla").reads(reverse("desk:licence", args=[row.pk]))
    assert "Nobody can rule on it" in page
    assert "Rule on it" not in page.replace("Nobody can rule on it", "")


def test_a_version_is_corrected_on_its_page_and_both_readings_stand_there(world: World, visit: Visit) -> None:
    version = world.version(
        world.model("net"), edges=[EdgeSpec("base", parent=world.version(world.model("base"), seed=3))]
    )
    form = reverse("desk:correct-version", args=["search", "net", 1])
    said = visit("ada").post(form, licence="CC-BY-NC-4.0", training_data="incomplete", reason="The card says so.")
    assert "Correction 1 counts from now on" in words(said)
    page = visit("ada").reads(address(version))
    assert (
        "Corrected: licence CC-BY-NC-4.0, training data incomplete. It was registered as Apache-2.0, complete" in page
    )
    assert "Training data of this version: incomplete" in page
    assert stated([version.pk])[version.pk].correction == 1
    assert "There is nothing to correct" in words(visit("ada").post(form, licence="CC-BY-NC-4.0", reason="Again."))
    assert visit("otto").post(form, licence="MIT", reason="I say so.").status_code == 403


def test_a_licence_that_is_none_is_refused_on_the_form_with_what_was_typed(world: World, visit: Visit) -> None:
    world.version(world.model("net"))
    form = reverse("desk:correct-version", args=["search", "net", 1])
    answer = words(visit("ada").post(form, licence="Apach-2.0", reason="A slip."))
    assert "Did you mean Apache-2.0" in answer
