"""JSON doors to replays: asked for at a version, and what those of a version found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.catalog.api import version_of
from registry.compression import queries, replays, services_replays
from registry.compression.api import dataset_of, requested_body, run_body
from registry.compression.models import Run
from registry.events import Caller


def replay_body(row: Run, caller: Caller) -> dict[str, Any]:
    """A replay as listings show it: the run, and once it has succeeded its outcome in a word and in a sentence."""
    return run_body(row, caller) | {"outcome": replays.outcome_of(row), "said": replays.said_of(row)}


class RequestReplayInput(serializers.Serializer[Any]):
    recipe = serializers.CharField(
        required=False, default=None, allow_null=True,
        help_text="For a version that was made elsewhere: the recipe that made it, team/recipe@2.",
    )  # fmt: skip
    calibration = serializers.CharField(
        required=False, default=None, allow_null=True,
        help_text="For the same, where a step looks at rows: team/dataset@3; they stand in its lineage.",
    )  # fmt: skip
    plan = serializers.DictField(
        required=False, default=None, allow_null=True,
        help_text="For the same: pressmark/evaluation_plan/1 that says how the rows are read.",
    )  # fmt: skip


@extend_schema_view(
    get=extend_schema(operation_id="list_replays", responses={200: dict}),
    post=extend_schema(operation_id="request_replay", request=RequestReplayInput, responses={201: dict}),
)
class RequestReplay(Command, Query):
    """The replays of a version; have it made again from its parent, by its recipe, and compared tensor by tensor."""

    input = RequestReplayInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = replays.replays_of(caller, version_of(caller, kwargs))
        return keyset_page(rows, query, partial(replay_body, caller=caller), newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        run = services_replays.request_replay(
            actor=caller,
            version=version_of(caller, kwargs),
            recipe=queries.get_recipe(caller, data["recipe"]) if data["recipe"] else None,
            calibration=dataset_of(caller, data["calibration"]),
            plan=data["plan"],
        )
        row = queries.get_run(caller, run.pk)
        return replay_body(row, caller) | requested_body(row, caller)
