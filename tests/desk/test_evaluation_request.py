"""Asking for an evaluation by the form: a plan from plain fields or as a document, and what to compare with."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.urls import reverse

from compression_engine.plan import TASKS as ENGINE_TASKS
from compression_engine.plan import Plan
from registry import storage
from registry.catalog.models import ModelVersion
from registry.compression.models import Run
from registry.desk import queries
from registry.desk.plans import TASKS, PlanError, draft_of
from tests.desk.conftest import Visitor, words
from tests.desk.scene import Scene
from tests.world import World

Visit = Callable[[str], Visitor]


def ask(visitor: Visitor, version: ModelVersion, evaluation: object, **fields: object) -> HttpResponse:
    path = reverse("desk:request-run", args=["search", version.model.slug, version.number])
    body = {"recipe": "measure", "evaluation": str(evaluation.pk), "seed": "0", **fields}
    return visitor.client.post(path, body, follow=True)


def planned(run: Run) -> Plan:
    return Plan.parse(json.loads(storage.read_bytes(run.plan_digest)))


def test_the_fields_of_the_form_become_a_plan(visit: Visit, world: World) -> None:
    fields = {"task": "classification", "label": "approved", "slices": "income, region", "protected": "race"}
    answer = ask(visit("ada"), world.version(), world.arrays_dataset(), **fields)
    assert "The run is requested." in words(answer)
    plan = planned(Run.objects.get())
    assert (plan.task, plan.label) == ("classification", "approved")
    assert (plan.slices, plan.protected) == (("income", "region", "race"), ("race",))


@pytest.mark.parametrize("as_file", [True, False])
def test_a_whole_plan_is_pasted_or_given_as_a_file(visit: Visit, world: World, as_file: bool) -> None:
    text = json.dumps({"task": "regression", "label": "price", "batch_sizes": [1, 8]})
    given = {"plan_file": SimpleUploadedFile("plan.json", text.encode())} if as_file else {"plan": text}
    ask(visit("ada"), world.version(), world.arrays_dataset(), **given)
    assert planned(Run.objects.get()).batch_sizes == (1, 8)


def test_of_data_of_several_files_one_is_chosen_from_a_list_and_shown_with_the_run(visit: Visit, world: World) -> None:
    files = {"a/test.npz": world.tiny_inputs(8, 5), "b.npz": world.tiny_inputs(9, 6)}
    data, version = world.files_version(files, uses=["evaluation"], slug="shards"), world.version()
    alone = world.arrays_dataset()
    form = visit("ada").reads(reverse("desk:request-run", args=["search", version.model.slug, version.number]))
    assert "a/test.npz, 8 rows b.npz, 9 rows" in form
    assert "has several files: choose the one" in words(ask(visit("ada"), version, data))
    chosen = {"evaluation_file": f"{data.pk}/a/test.npz"}
    assert "is of other data" in words(ask(visit("ada"), version, alone, **chosen))
    assert not Run.objects.exists()
    answer = words(ask(visit("ada"), version, data, **chosen))
    assert Run.objects.get().evaluation_file == "a/test.npz"
    assert "file a/test.npz, 8 rows" in answer


def test_data_are_offered_by_their_use_however_many_others_there_are(
    visit: Visit, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LIST_ROWS", 2)
    version, wanted = world.version(), world.dataset_version([{"x": 0}], slug="zz", uses=("evaluation",))
    for number in range(3):
        world.dataset_version([{"x": number}], slug=f"aa{number}", uses=("training",))
    path = reverse("desk:request-run", args=["search", version.model.slug, version.number])
    offered = visit("ada").client.get(path).content.decode().split('name="evaluation"')[1].split("</select>")[0]
    assert f"search/{wanted}" in offered
    assert "search/aa" not in offered


def test_without_a_task_or_a_document_there_is_no_plan(visit: Visit, world: World) -> None:
    ask(visit("ada"), world.version(), world.arrays_dataset())
    assert Run.objects.get().plan_digest is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"task": "regression", "plan": "{}"}, "not both: clear one of them"),
        ({"plan": '{"task": '}, "The plan is no JSON: Expecting value in line 1, column 9."),
        ({"plan": "[1]"}, "The plan is no JSON object"),
        ({"plan": '{"task": "guess"}'}, "guess"),
        ({"label": "approved"}, "Say what the model does"),
        ({"plan_file": SimpleUploadedFile("plan.json", b"\xff\xfe")}, "no text in UTF-8"),
        ({"plan": "[" * 100_000}, "The plan is no JSON"),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused_with_the_reason_and_nothing_is_queued(
    visit: Visit, world: World, fields: dict[str, object], said: str
) -> None:
    answer = ask(visit("ada"), world.version(), world.arrays_dataset(), **fields)
    assert said in words(answer)
    assert "The run is requested." not in words(answer)
    assert not Run.objects.exists()


@pytest.mark.parametrize("text", ["denied\napproved\r\n  over 50 %\n", '["denied", "approved", "over 50 %"]'])
def test_names_of_classes_are_given_one_a_line_or_as_a_list_and_keep_their_order(
    visit: Visit, world: World, text: str
) -> None:
    fields = {"task": "classification", "label": "decision", "classes": text}
    assert "The run is requested." in words(ask(visit("ada"), world.version(), world.arrays_dataset(), **fields))
    assert planned(Run.objects.get()).classes == ("denied", "approved", "over 50 %")


def test_the_symbols_of_an_alphabet_are_taken_from_a_list_as_they_stand_there() -> None:
    assert draft_of({"task": "sequence", "classes": '[" ", "a", "A"]'}, "")["classes"] == [" ", "a", "A"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("denied", "One class is no choice"),
        ("denied\n\napproved", "The class 1 (counted from 0) has no name that can be read"),
        ("a\nb\na", "The classes 0 and 2 (counted from 0) are both called 'a'"),
        ("a\n" + "b" * 201, "The name of class 1 (counted from 0) has more than 200 characters"),
        ('["a", 2]', "The class 1 (counted from 0) is 2 and no name"),
        ('["a", "b"', "begin as a JSON list and are none in line 1, column 10"),
        ("[" * 100_000, "begin as a JSON list and are none"),
        ('["a", "\\u0000"]', "The class 1 (counted from 0) has no name that can be read"),
        ("\n".join(map(str, range(10_001))), "There are 10,001 names of classes; the form takes 10,000"),
    ],
)
def test_names_of_classes_that_cannot_be_used_are_refused_at_their_field_and_stay_typed(
    visit: Visit, world: World, text: str, said: str
) -> None:
    fields = {"task": "classification", "label": "decision", "classes": text}
    answer = ask(visit("ada"), world.version(), world.arrays_dataset(), **fields)
    assert said in words(answer)
    assert 'id="id_classes_error"' in answer.content.decode()
    assert text.strip()[:30].split("\n")[0][:10].replace('"', "&quot;") in answer.content.decode()
    assert not Run.objects.exists()


def test_only_what_answers_with_classes_has_names_of_them(visit: Visit, world: World) -> None:
    fields = {"task": "regression", "label": "price", "classes": "a\nb"}
    assert "Only a model that classifies" in words(ask(visit("ada"), world.version(), world.arrays_dataset(), **fields))
    alone = {"classes": "a\nb"}
    assert "Say what the model does" in words(ask(visit("ada"), world.version(), world.arrays_dataset(), **alone))


PRICES = {
    "amortisation_months": 12, "currency": "EUR", "grams_co2_per_kwh": "400", "per_cpu_hour": "0.04",
    "per_gib_hour_memory": "0.005", "per_gib_month_storage": "0.02", "per_kwh": "0.3", "predictions_per_month": 1_000_000,
    "replicas": 2, "type": "pressmark/price_sheet/1", "watts_per_core": None,
}  # fmt: skip


@pytest.mark.parametrize("as_file", [True, False])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_price_sheet_is_pasted_or_given_as_a_file(
    visit: Visit, world: World, as_file: bool, compressed: bool
) -> None:
    text = json.dumps(PRICES)
    given = {"price_sheet_file": SimpleUploadedFile("prices.json", text.encode())} if as_file else {"price_sheet": text}
    recipe = {"recipe": str(world.recipe().pk)} if compressed else {}
    ask(visit("ada"), world.version(), world.arrays_dataset(), **given, **recipe)
    run = Run.objects.get()
    assert (run.recipe is not None) == compressed
    assert json.loads(storage.read_bytes(run.price_sheet_digest)) == PRICES


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"price_sheet": "0.04 EUR an hour"}, "The price sheet is no JSON"),
        ({"price_sheet": "[]"}, "The price sheet is no JSON object"),
        ({"price_sheet": json.dumps(PRICES | {"currency": "euro"})}, "Write the three letters of ISO 4217"),
        ({"price_sheet_file": SimpleUploadedFile("prices.json", b"\xff\xfe")}, "give the price sheet as JSON"),
        ({"price_sheet": "{}", "price_sheet_file": SimpleUploadedFile("p.json", b"{}")}, "not both: clear one"),
    ],
)
def test_a_price_sheet_that_cannot_be_used_is_refused_with_the_reason_and_nothing_is_queued(
    visit: Visit, world: World, fields: dict[str, object], said: str
) -> None:
    answer = ask(visit("ada"), world.version(), world.arrays_dataset(), **fields)
    assert said in words(answer)
    assert not Run.objects.exists()


def test_data_of_another_kind_and_an_incumbent_are_chosen_by_the_form(visit: Visit, released: Scene) -> None:
    world, strange = released.world, released.world.arrays_dataset(80, seed=9)
    fields = {"task": "embedding", "out_of_distribution": str(strange.pk), "incumbent": "production"}
    answer = ask(visit("ada"), released.parent, world.arrays_dataset(), **fields)
    assert "The run is requested." in words(answer)
    run = Run.objects.latest("requested_at")
    assert (run.out_of_distribution, run.incumbent) == (strange, released.child)


def test_data_that_calibration_saw_is_refused_unless_it_is_allowed(visit: Visit, story: Scene) -> None:
    seen = story.world.arrays_dataset(90, seed=31, uses=("evaluation", "calibration"))
    child = story.world.derived_version(story.parent, seed=77, data=[seen])
    answer = ask(visit("ada"), child, seen)
    assert answer.status_code == 422
    assert "stands in the lineage" in words(answer)
    ask(visit("ada"), child, seen, allow_seen="on")
    assert Run.objects.get(parent=child).allow_seen


def test_every_task_of_the_engine_is_offered_in_words() -> None:
    assert set(TASKS) == set(ENGINE_TASKS)


def test_columns_are_named_once_and_protected_ones_are_slices_too() -> None:
    draft = draft_of({"task": "none", "slices": "a, b,\n a", "protected": "b, c"}, "")
    assert draft is not None
    assert (draft["slices"], draft["protected"]) == (["a", "b", "c"], ["b", "c"])


def test_a_document_of_unreasonable_length_is_refused() -> None:
    with pytest.raises(PlanError, match="short document"):
        draft_of({}, " " + "x" * 300_000)
