"""Reviews: a named person, not the one who brought it, says what one state is worth, and when the next look is due."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role
from registry.catalog.edges import EdgeSpec
from registry.catalog.services_corrections import correct_version
from registry.compression.models import Run
from registry.digests import parse_canonical
from registry.errors import Forbidden, Invalid
from registry.events import Caller
from registry.ids import uuid7
from registry.oversight.models import Review
from registry.oversight.queries_proofs import review_in_force
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_dataset, of_dataset_version, of_version
from registry.provenance.services_corrections import SaidAnew, correct_dataset_version
from registry.provenance.subjects import Subject
from registry.release import inputs
from tests.failing import keeps_nothing_without_ledger
from tests.provenance.http import client_for, problem
from tests.world import Cast, World

DAY = datetime.timedelta(days=1)
TODAY = datetime.datetime.now(datetime.UTC).date()


@pytest.fixture
def rows(world: World) -> Subject:
    return of_dataset_version(world.dataset_version(slug="vetted"))


def sign(cast: Cast, subject: Subject, name: str = "carla", **given: Any) -> Review:
    stated: dict[str, Any] = {"kind": "vetting", "accepted": True, "statement": "Read 200 rows; fine."}
    return sign_review(actor=getattr(cast, name), subject=subject, **(stated | given))


def test_a_review_names_the_person_the_role_the_state_and_the_next_day(cast: Cast, rows: Subject) -> None:
    row = sign(cast, rows, next_on=TODAY + 90 * DAY)
    assert (row.about, row.digest, row.role) == (rows.about, rows.digest, "compliance_officer")
    entry: Any = parse_canonical(bytes(Entry.objects.order_by("-position")[0].entry))
    assert (entry["event"]["kind"], entry["stream"]) == ("review.signed", rows.stream)
    sealed = next(r["row"] for r in entry["event"]["records"] if r["type"] == "oversight.review/1")
    assert (sealed["accepted"], sealed["next_on"]) == (True, (TODAY + 90 * DAY).isoformat())
    assert b"200 rows" not in bytes(Entry.objects.order_by("-position")[0].entry)


def test_the_newest_review_of_a_kind_counts_while_it_accepts_and_is_not_overdue(cast: Cast, rows: Subject) -> None:
    assert review_in_force(rows, "vetting") is None
    row = sign(cast, rows, next_on=TODAY + 30 * DAY)
    assert review_in_force(rows, "vetting") == row
    assert review_in_force(rows, "privacy") is None
    later = row.reviewed_at + 31 * DAY
    assert review_in_force(rows, "vetting", later) is None
    assert review_in_force(rows, "vetting", row.reviewed_at - DAY) is None
    sign(cast, rows, "omar", accepted=False, statement="Labels are wrong.")
    assert review_in_force(rows, "vetting") is None


def test_a_correction_of_what_it_spoke_of_ends_a_review_until_somebody_looks_again(world: World) -> None:
    data = world.dataset_version(slug="vetted")
    subject = of_dataset_version(data)
    first = sign(world.cast, subject)
    said = correct_dataset_version(
        actor=world.cast.carla, version=data, said=SaidAnew(personal_data="yes"), reason="There are names."
    )
    assert review_in_force(subject, "vetting") is None
    assert review_in_force(subject, "vetting", said.corrected_at - datetime.timedelta(microseconds=1)) == first
    door = f"/api/v1/reviews?about=dataset_version:{world.reference(data)}"
    listed = client_for(world.cast, "omar").get(door).json()["items"]
    assert [entry["in_force"] for entry in listed] == [False]
    again = sign(world.cast, subject, "omar")
    assert review_in_force(subject, "vetting") == again


def test_gates_are_told_when_what_was_reviewed_was_corrected(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    version = world.version(world.governed_model(), edges=[EdgeSpec("data", (), dataset_version=data)])
    for subject in (of_dataset_version(data), of_version(version)):
        sign(world.cast, subject)

    def told() -> list[datetime.datetime | None]:
        found = inputs.gather(version, datetime.datetime.now(datetime.UTC))
        return [review.corrected_at for review in (*found.reviews, *found.datasets[0].reviews)]

    assert told() == [None, None]
    said = correct_dataset_version(
        actor=world.cast.carla, version=data, said=SaidAnew(consent="no"), reason="Nobody was asked."
    )
    assert told() == [None, said.corrected_at]
    half = correct_version(actor=world.cast.carla, version=version, training_data="unknown", reason="Nobody kept it.")
    assert told() == [half.corrected_at, said.corrected_at]


@pytest.mark.parametrize(
    ("name", "may"), [("carla", True), ("omar", True), ("ada", False), ("otto", False), ("eve", False)]
)
def test_only_officers_and_approvers_review(cast: Cast, rows: Subject, name: str, may: bool) -> None:
    if may:
        assert sign(cast, rows, name).reviewed_by == cast.people[name]
    else:
        with pytest.raises(Forbidden, match=r"review\.sign"):
            sign(cast, rows, name)


def approver_too(world: World, name: str) -> None:
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people[name], role=Role.APPROVER, team=world.cast.team
    )


@pytest.mark.db_guarantee
def test_who_brought_it_does_not_review_it_through_any_door(world: World, rows: Subject) -> None:
    approver_too(world, "ada")
    version = of_version(world.version())
    for subject in (rows, version):
        with pytest.raises(Forbidden, match="somebody else") as refused:
            sign(world.cast, subject, "ada")
        assert refused.value.code == "own-work"
    text = sign(world.cast, rows).statement
    row = Review(
        id=uuid7(), stream=rows.stream, kind="vetting", subject=rows.name, about=rows.about, digest=rows.digest,
        accepted=True, statement=text, reviewed_by=world.cast.people["ada"], role="approver",
        reviewed_at=text.created_at,
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="cannot review"):
        Review.objects.bulk_create([row])


@pytest.mark.db_guarantee
def test_the_same_weights_or_rows_under_another_name_are_the_same_work(world: World) -> None:
    bea = world.person("bea", Role.ENGINEER, Role.COMPLIANCE_OFFICER)
    caller, rows = Caller(actor_id=bea.pk, via="cli"), b"id,label\n1,cat\n2,dog\n"
    weights = {("model.onnx", "weights"): world.tiny_onnx(5)}
    world.version(world.model(), files=weights, actor=caller)
    world.dataset_version(slug="hers", data=rows, actor=caller)
    again = world.version(world.model(), files=weights | {("note.txt", "other"): b"hello"})
    other = b"id,label\n3,cow\n"
    lists = [world.files_version({"x.csv": rows, "y.csv": b"id,label\n4,hen\n"}, slug="washed-list")]
    world.files_version({"m.csv": other, "n.csv": b"id,label\n5,dog\n"}, slug="hers-list", actor=caller)
    lists.append(world.files_version({"o.csv": other, "p.csv": b"id,label\n6,ape\n"}, slug="half-of-hers"))
    lists.append(world.dataset_version(slug="one-of-hers", data=other))
    single = world.dataset_version(slug="washed", data=rows)
    for subject in (of_version(again), *map(of_dataset_version, (single, *lists))):
        with pytest.raises(Forbidden, match="another name"):
            sign_review(actor=caller, subject=subject, kind="vetting", accepted=True, statement="Fine.")
        good = sign(world.cast, subject)
        with pytest.raises(IntegrityError, match="cannot review"), transaction.atomic():
            fields = {f.attname: getattr(good, f.attname) for f in Review._meta.concrete_fields}
            Review.objects.bulk_create([Review(**{**fields, "id": uuid7(), "reviewed_by_id": bea.pk})])


def test_who_asked_for_the_run_does_not_review_what_it_made(world: World) -> None:
    """Also where the version stands under another name."""
    engineer = world.person("olga", Role.ENGINEER)
    made = world.version(actor=Caller(actor_id=engineer.pk, via="cli"))
    run = world.run(world.version())
    Run.objects.filter(pk=run.pk).update(child=made)
    approver_too(world, "ada")
    with pytest.raises(Forbidden, match="requested the run"):
        sign(world.cast, of_version(made), "ada")
    assert sign(world.cast, of_version(made)).reviewed_by == world.cast.people["carla"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "novel"}, "no kind"),
        ({"statement": " "}, "statement is empty"),
        ({"next_on": TODAY}, "due within"),
        ({"next_on": TODAY + 5000 * DAY}, "due within"),
    ],
)
def test_what_makes_no_review_is_refused(cast: Cast, rows: Subject, change: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        sign(cast, rows, **change)
    assert not Review.objects.exists()


def test_a_dataset_as_a_whole_is_no_state_that_could_be_reviewed(world: World) -> None:
    with pytest.raises(Invalid, match="about no dataset"):
        sign(world.cast, of_dataset(world.dataset("whole")))


def test_without_a_ledger_nothing_is_signed(cast: Cast, rows: Subject) -> None:
    keeps_nothing_without_ledger(lambda: sign(cast, rows), Review)


def test_a_review_never_changes(cast: Cast, rows: Subject) -> None:
    row = sign(cast, rows, accepted=False)
    with pytest.raises(IntegrityError, match="append-only"), connection.cursor() as cursor:
        cursor.execute("UPDATE oversight_review SET accepted = NOT accepted")
    assert row.accepted is False


def test_over_http(cast: Cast, rows: Subject) -> None:
    carla = client_for(cast, "carla")
    body = {"about": rows.reference, "kind": "vetting", "accepted": True, "statement": "Fine.", "next_on": "2999-01-01"}
    problem(carla.post("/api/v1/reviews", body, format="json"), 422, "invalid")
    made = carla.post("/api/v1/reviews", body | {"next_on": None}, format="json")
    assert made.status_code == 201, made.content
    assert carla.get("/api/v1/reviews", {"about": rows.reference}).json()["items"] == [made.json()]
    assert made.json()["in_force"] is True
    no = client_for(cast, "omar").post("/api/v1/reviews", body | {"next_on": None, "accepted": False}, format="json")
    assert no.json()["in_force"] is False
    listed = carla.get("/api/v1/reviews", {"about": rows.reference}).json()["items"]
    assert [row["in_force"] for row in listed] == [False, False]
    problem(client_for(cast, "ada").post("/api/v1/reviews", body | {"next_on": None}, format="json"), 403, "forbidden")
