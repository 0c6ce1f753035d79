"""Evidence that is measured again to the byte is the newest word on the version: with the real engine, up to the gate's inputs."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from registry import storage
from registry.catalog.evidence_reading import evidence_body
from registry.catalog.models import Evidence
from registry.compression import services
from registry.compression.measured_again import evidence_documents, figure, measured_again, tries_of
from registry.compression.models import Run
from registry.release.evidence_choice import chosen
from registry.release.inputs import gather
from tests.compression.test_execute_evaluation import PLAN, labelled
from tests.world import World

pytestmark = pytest.mark.usefixtures("committed_db")
STRICT: dict[str, Any] = {**PLAN, "measures": ["quality"]}
KINDER: dict[str, Any] = {**STRICT, "slices": []}


def test_the_same_questions_asked_again_have_the_last_word_over_kinder_ones_asked_in_between(world: World) -> None:
    version, rows = world.version(), labelled(world)

    def asked(plan: dict[str, Any]) -> Run:
        return world.executed(
            services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, plan=plan)
        )

    def goes_by() -> Any:
        return chosen({"kind": "quality"}, gather(version, timezone.now()), measured=True)

    asked(STRICT)
    strict = goes_by().digest
    assert measured_again(version, timezone.now()) == {}
    between = asked(KINDER)
    assert goes_by().digest != strict
    again = asked(STRICT)
    assert Evidence.objects.filter(version=version, kind="quality").count() == 2  # the same bytes are one row
    assert (goes_by().digest, goes_by().created_at) == (strict, again.finished_at)
    shown = [row for row, _ in evidence_documents(version) if row.kind == "quality"]
    assert [row.digest == strict for row in shown] == [True, False]  # lists go by the same order as gates
    assert figure(version, "quality", "accuracy") in evidence_body(shown[0])["figures"]
    queued = services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, plan=KINDER)
    services.cancel_run(actor=world.cast.ada, run=queued)
    tries = tries_of(version, timezone.now())
    assert (tries.alike["quality"], tries.failed, tries.cancelled) == (1, 0, 1)
    assert between.finished_at is not None
    assert measured_again(version, between.finished_at) == {}  # as it was known then
    storage.path_of(str(again.result_digest)).unlink()  # the same file as the first one's: nothing is known of either
    assert measured_again(version, timezone.now()) == {}
