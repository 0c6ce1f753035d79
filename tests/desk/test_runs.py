"""Runs on the pages: asking, following, cancelling."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse
from django.utils import timezone

from registry.compression.models import Run
from tests.desk.conftest import Visitor, words
from tests.world import World

Visit = Callable[[str], Visitor]


def request_path(version: object) -> str:
    return reverse("desk:request-run", args=["search", version.model.slug, version.number])


def test_a_run_is_requested_by_the_form(visit: Visit, world: World) -> None:
    version, recipe, data = world.version(), world.recipe(), world.arrays_dataset()
    answer = visit("ada").post(request_path(version), recipe=str(recipe.pk), evaluation=str(data.pk), seed="7")
    run = Run.objects.get()
    assert (run.parent, run.recipe, run.evaluation, run.seed) == (version, recipe, data, 7)
    assert "The run is requested." in words(answer)
    assert "Waiting for a worker" in words(answer)


def test_a_version_can_be_only_measured(visit: Visit, world: World) -> None:
    version, data = world.version(), world.arrays_dataset()
    visit("ada").post(request_path(version), recipe="measure", evaluation=str(data.pk), seed="0")
    assert Run.objects.get().kind == "evaluation"


def test_baseline_data_is_chosen_by_the_form(visit: Visit, world: World) -> None:
    version, recipe, data = world.version(), world.recipe(), world.arrays_dataset()
    live = world.arrays_dataset(seed=8, uses=("baseline",))
    visit("ada").post(
        request_path(version), recipe=str(recipe.pk), evaluation=str(data.pk), baseline=str(live.pk), seed="0"
    )
    assert Run.objects.get().baseline == live


def test_a_refusal_shows_why_what_to_do_and_what_was_typed(visit: Visit, world: World) -> None:
    version, recipe = world.version(), world.recipe()
    data = world.arrays_dataset(uses=("evaluation", "calibration"))
    answer = visit("ada").post(
        request_path(version), recipe=str(recipe.pk), evaluation=str(data.pk), calibration=str(data.pk), seed="11"
    )
    assert answer.status_code == 422
    assert "Calibration and evaluation are the same data." in words(answer)
    assert "give another dataset" in words(answer)
    assert 'value="11"' in answer.content.decode()
    assert not Run.objects.exists()


def test_data_of_others_is_no_choice(visit: Visit, world: World) -> None:
    version, recipe = world.version(), world.recipe()
    answer = visit("ada").post(request_path(version), recipe=str(recipe.pk), evaluation=str(version.pk), seed="0")
    assert "Select a valid choice" in words(answer)
    assert not Run.objects.exists()


def test_who_may_not_request_a_run_is_told_so(visit: Visit, world: World) -> None:
    version, recipe, data = world.version(), world.recipe(), world.arrays_dataset()
    answer = visit("carla").post(request_path(version), recipe=str(recipe.pk), evaluation=str(data.pk), seed="0")
    assert answer.status_code == 403
    assert "needs one of these roles" in words(answer)
    assert not Run.objects.exists()


def test_the_progress_of_a_run_is_asked_for_by_the_page(visit: Visit, world: World) -> None:
    run = world.run()
    Run.objects.filter(pk=run.pk).update(
        state="running", attempt=1, heartbeat_at=timezone.now(),
        progress={"stage": "compress", "done": 3, "total": 40, "message": "encoder.layer.0"},
    )  # fmt: skip
    path = reverse("desk:run-progress", args=[run.pk])
    answer = visit("ada").get(path)
    body = answer.json()
    assert (body["state"], body["stage"], body["done"], body["total"]) == ("running", "Compressing", 3, 40)
    assert body["finished"] is False
    assert answer["Cache-Control"] == "no-store"
    assert visit("eve").get(path).status_code == 404
    page = visit("ada").get(reverse("desk:run", args=[run.pk])).content.decode()
    assert f'data-follow="{path}"' in page
    assert 'max="40" value="3"' in page
    assert "encoder.layer.0" in page


def test_a_queued_run_is_cancelled_from_its_page(visit: Visit, world: World) -> None:
    run = world.run()
    answer = visit("otto").post(reverse("desk:cancel-run", args=[run.pk]))
    assert "The run is being cancelled." in words(answer)
    assert Run.objects.get().state == "cancelled"
    again = visit("otto").post(reverse("desk:cancel-run", args=[run.pk]))
    assert again.status_code == 409
    assert "Nothing is left to cancel." in words(again)


def test_cancelling_by_a_link_is_refused(visit: Visit, world: World) -> None:
    run = world.run()
    assert visit("otto").get(reverse("desk:cancel-run", args=[run.pk])).status_code == 405
    assert Run.objects.get().state == "queued"


def test_the_log_is_not_there_before_the_run_ended(visit: Visit, world: World) -> None:
    assert visit("ada").get(reverse("desk:run-log", args=[world.run().pk])).status_code == 404


def test_runs_of_other_teams_are_not_found(visit: Visit, world: World) -> None:
    run = world.run()
    eve = visit("eve")
    assert eve.get(reverse("desk:run", args=[run.pk])).status_code == 404
    assert eve.post(reverse("desk:cancel-run", args=[run.pk])).status_code == 404
    assert str(run.pk) not in eve.get("/runs/").content.decode()
