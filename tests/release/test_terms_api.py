"""Terms over HTTP: rulings, the queue of unknowns, corrections, and how far a change goes."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.access.models import Team
from registry.release.terms_queue import waiting_licences
from tests.provenance.http import client_for, make_eve_engineer_of
from tests.provenance.test_author_ruling import author, opinion, own_licence
from tests.world import World

API = "/api/v1"


def test_a_ruling_over_http_waits_reaches_and_comes_into_force(world: World, outsider_team: Team) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    licence = own_licence(world)
    document = opinion(world, licence)
    world.version(world.model("net"), licence=licence.expression)
    carla, root, eve = (client_for(world.cast, name) for name in ("carla", "root", "eve"))
    body = {
        "licence": licence.expression,
        "answers": [
            {"term": "commercial_use", "answer": "allowed", "sentence": "Section 2 grants use for any purpose."}
        ],
        "reason": "Read with counsel.",
        "document": str(document.pk),
    }
    made = carla.post(f"{API}/rulings", body, format="json")
    assert (made.status_code, made.json()["state"]) == (201, "waiting")
    url = f"{API}/rulings/{made.json()['id']}"
    assert carla.post(f"{url}/approve").status_code == 403
    seen = root.get(url).json()["reaches"]
    assert (seen["versions"], seen["teams"], seen["live"], seen["terms"]) == (1, 1, 0, {"commercial_use": 1})
    assert seen["shown"][0]["changes"] == [{"term": "commercial_use", "before": "unknown", "after": "allowed"}]
    hidden = eve.get(url).json()["reaches"]
    assert (hidden["whole"], hidden["versions"], hidden["teams"], hidden["live"], hidden["terms"], hidden["shown"]) == (
        False, 0, 0, 0, {}, [],
    )  # fmt: skip
    assert root.post(f"{url}/approve").json()["state"] == "in-force"
    listed = carla.get(f"{API}/rulings", {"licence": licence.expression.lower()}).json()["items"]
    assert [row["state"] for row in listed] == ["in-force"]
    assert root.post(f"{url}/end", {"reason": "Withdrawn."}, format="json").json()["state"] == "ended"


def test_what_waits_for_a_ruling_is_listed_by_how_much_depends_on_it(world: World, outsider_team: Team) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    own, zlib = own_licence(world), world.licence("Zlib")
    parent = world.version(world.model("net"), licence="Zlib")
    world.derived_version(parent)
    world.version(seed=5, licence=own.expression)
    world.version(seed=6, licence="LicenseRef-pressmark-proprietary")
    world.licence("Artistic-2.0")  # registered, and nothing depends on it
    items = client_for(world.cast, "ada").get(f"{API}/licences/waiting").json()["items"]
    assert [(row["licence"], row["versions"], row["is_category"]) for row in items] == [
        (zlib.expression, 2, False),
        (own.expression, 1, False),
        ("LicenseRef-pressmark-proprietary", 1, True),
    ]
    author(world, zlib)
    assert client_for(world.cast, "ada").get(f"{API}/licences/waiting").json()["items"][0]["drafts"] == 1
    # what another team made is theirs to tell, its number too
    assert client_for(world.cast, "eve").get(f"{API}/licences/waiting").json()["items"] == []


def test_a_correction_over_http_shows_in_the_version_and_its_reach_is_asked_before(world: World) -> None:
    base = world.version(world.model("base"))
    world.derived_version(base, model=world.model("child"))
    world.licence("CC-BY-NC-4.0")
    ada = client_for(world.cast, "ada")
    url = f"{API}/teams/search/models/base/versions/1"
    reach = ada.get(f"{url}/affected", {"licence": "cc-by-nc-4.0"}).json()
    assert [(row["version"], row["distance"]) for row in reach["shown"]] == [
        ("search/base@1", 0),
        ("search/child@1", 1),
    ]
    body = {"licence": "CC-BY-NC-4.0", "reason": "The card says so."}
    assert ada.post(f"{url}/corrections", body, format="json").status_code == 201
    shown = ada.get(url).json()
    assert (shown["licence"], shown["corrected"], shown["registered"]["licence"]) == ("CC-BY-NC-4.0", 1, "Apache-2.0")
    assert ada.get(f"{url}/corrections").json()["items"][0]["licence"] == "CC-BY-NC-4.0"
    assert ada.post(f"{url}/corrections", {"reason": "x"}, format="json").status_code == 422


def test_data_names_everything_that_was_made_with_it(world: World) -> None:
    data = world.dataset_version(slug="rows", uses=["training"])
    world.derived_version(world.version(world.model("net")), data=[data])
    found = client_for(world.cast, "ada").get(f"{API}/teams/search/datasets/rows/versions/1/affected").json()
    assert [row["version"] for row in found["shown"]] == ["search/net@2"]


def test_the_lineage_is_walked_once_however_many_licences_wait(world: World) -> None:
    """Of each the numbers are its own all the same: a version that two of them reach counts for both."""

    def asked() -> tuple[int, dict[str, tuple[int, int, int]]]:
        with CaptureQueriesContext(connection) as queries:
            rows = waiting_licences(world.cast.root)
        return len(queries), {row.licence.expression: (row.versions, row.data, row.live) for row in rows}

    parent = world.version(world.model("net"), licence="Zlib")
    world.derived_version(parent)
    rows = world.dataset_version(licence="Artistic-2.0")
    world.derived_version(parent, seed=9, data=[rows])
    few, found = asked()
    assert found == {"Zlib": (3, 0, 0), "Artistic-2.0": (1, 1, 0)}
    for number, name in enumerate(("Vim", "Ruby", "PHP-3.01", "Python-2.0")):
        world.version(seed=20 + number, licence=name)
    many, found = asked()
    assert (found["Zlib"], found["Artistic-2.0"], found["Vim"]) == ((3, 0, 0), (1, 1, 0), (1, 0, 0))
    assert (len(found), many) == (6, few)
