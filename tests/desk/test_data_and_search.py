"""Datasets on the pages, and finding things by name or digest."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.urls import reverse

from registry.access import services as access
from registry.access.models import Role
from registry.provenance.services_corrections import SaidAnew, correct_dataset_version
from tests.desk.conftest import Visitor
from tests.desk.scene import Scene
from tests.world import World

Visit = Callable[[str], Visitor]


def test_a_dataset_says_what_is_declared_and_what_is_unknown(visit: Visit, story: Scene) -> None:
    page = visit("carla").reads(reverse("desk:dataset", args=["search", "sentence-pairs"]))
    assert "Version 1 declared" in page
    assert "Named on the model card of the publisher; the rows are not here." in page
    assert "Personal data unknown" in page


def test_datasets_of_other_teams_are_not_there(visit: Visit, story: Scene) -> None:
    eve = visit("eve")
    assert eve.get(reverse("desk:dataset", args=["search", "sentence-pairs"])).status_code == 404
    assert "sentence-pairs" not in eve.reads("/datasets/")
    assert "search/sentence-pairs" in visit("carla").reads("/datasets/")


def test_lists_of_data_say_what_is_stated_now_and_of_the_newest_version(visit: Visit, world: World) -> None:
    first = world.dataset_version([{"n": 1}], slug="talk", licence="MIT", uses=("training",))
    world.dataset_version([{"n": 2}], slug="other", licence="MIT")
    correct_dataset_version(
        actor=world.cast.carla, version=first, reason="The supplier says so.",
        said=SaidAnew(licence=world.licence("CC-BY-NC-4.0"), uses=["evaluation"]), widen_uses=True,
    )  # fmt: skip
    carla = visit("carla")
    listed = carla.reads("/datasets/")
    assert re.search(r"search/talk .{0,80}measured CC-BY-NC-4\.0 1 ", listed), listed
    assert re.search(r"search/other .{0,80}measured MIT 1 ", listed), listed
    page = carla.reads(reverse("desk:dataset", args=["search", "talk"]))
    assert "measured evaluation CC-BY-NC-4.0 corrected 1" in page
    world.dataset_version([{"n": 3}, {"n": 4}], slug="talk", licence="Apache-2.0")
    assert re.search(r"search/talk .{0,80}measured Apache-2\.0 2 ", carla.reads("/datasets/"))


def found_by(visitor: Visitor, words: str) -> str:
    return visitor.reads(f"/search/?q={words}")


def test_a_version_is_found_by_its_digest_and_by_that_of_a_file(visit: Visit, story: Scene) -> None:
    carla = visit("carla")
    weights = story.child.artifacts.get(role="weights")
    for digest in (story.child.digest, story.child.digest[:19], story.child.digest[7:19], weights.digest[7:]):
        assert "search/minilm@2" in found_by(carla, digest)
        assert "search/minilm@1" not in found_by(carla, digest)


@pytest.mark.parametrize("words", ["minilm", "MINI", "search/minilm", "search/minilm@2"])
def test_a_model_is_found_by_its_name_or_a_part(visit: Visit, story: Scene, words: str) -> None:
    assert "Models search/minilm" in found_by(visit("carla"), words)


def test_datasets_and_recipes_are_found(visit: Visit, story: Scene) -> None:
    recipe = story.world.recipe()
    carla = visit("carla")
    assert "search/smaller-same-speed@1" in found_by(carla, recipe.digest[:20])
    assert "search/sentence-pairs@1" in found_by(carla, "sentence")


def test_what_may_not_be_seen_is_not_found(visit: Visit, story: Scene) -> None:
    eve = visit("eve")
    for words in ("minilm", story.child.digest, "sentence", "search"):
        assert "Nothing that you may see has such a name or digest." in found_by(eve, words)


@pytest.mark.parametrize("words", ["", "%27%3B--", "%25%25", "a%00b", "%F0%9F%90%8D", "zzzz"])
def test_odd_words_find_nothing_and_break_nothing(visit: Visit, world: World, words: str) -> None:
    assert "Search" in found_by(visit("ada"), words)


def test_files_of_data_are_downloaded_from_their_page_by_whoever_may_take_bytes_away(
    visit: Visit, world: World
) -> None:
    several = world.files_version({"a/x y.jsonl": b'{"n":1}\n', "z.jsonl": b'{"n":2}\n'}, slug="several")
    alone = world.dataset_version([{"n": 3}], slug="alone")
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["eve"], role=Role.VIEWER, team=several.dataset.team
    )
    ada, eve = visit("ada"), visit("eve")
    for version, path, name in ((several, "a/x%20y.jsonl", "x y.jsonl"), (alone, "data", "alone-1.jsonl")):
        page = reverse("desk:dataset-version", args=["search", version.dataset.slug, 1])
        link = f"{page}files/{path}"
        assert f'href="{link}"' in ada.get(page).content.decode()
        answer = ada.get(link)
        assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
        assert b"".join(answer.streaming_content) in (b'{"n":1}\n', b'{"n": 3}\n', b'{"n":3}\n')
        assert f"{page}files/" not in eve.get(page).content.decode()
        assert eve.get(link).status_code == 403
