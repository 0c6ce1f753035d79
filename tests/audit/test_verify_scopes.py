"""What a sealed scope says is compared with the ledger: it hides no end of a stream, and names nothing that was not there yet."""

from __future__ import annotations

import uuid

import pytest
from django.db.models import Max

from audit import checkpoints
from audit.models import Bundle, Entry
from audit.verification import verify_ledger
from registry import storage
from registry.digests import canonical
from registry.events import Ref, emit, unit
from tests.audit.test_verify_ledger import codes, last
from tests.worlds.audit import AuditWorld

pytestmark = pytest.mark.db_guarantee


def seal_scope(house: AuditWorld, scope: dict, subject: str = "") -> None:
    stored = storage.store_bytes(canonical(scope))
    with unit(house.cast.root, role="administrator") as opened:
        bundle = Bundle.objects.create(
            scope_digest=stored.digest, scope_size_bytes=stored.size_bytes, subject=subject or f"model:{uuid.uuid4()}",
            issued_by_id=house.cast.root.actor_id, issued_at=opened.now,
        )  # fmt: skip
        emit("bundle.issued", bundle, team=None, refs=[Ref("scope", stored.digest, stored.size_bytes)])


def test_a_scope_that_hides_the_end_of_a_stream_is_found(house: AuditWorld) -> None:
    house.teams(1)
    stream = Entry.objects.get(position=last()).stream
    size = checkpoints.ledger_size()
    good = {"ends": [{"last_seq": 1, "stream": stream}], "size": size, "type": "pressmark/scope/1"}
    seal_scope(house, good)
    assert verify_ledger.verify().ok
    instance = Entry.objects.filter(stream="instance", position__lt=size).count()
    hidden = {"ends": [{"last_seq": instance - 1, "stream": "instance"}], "size": size, "type": "pressmark/scope/1"}
    seal_scope(house, hidden)
    assert codes() == {"scope"}


@pytest.mark.parametrize(
    "scope",
    [
        {}, [], {"ends": [], "size": 1, "type": "pressmark/scope/2"}, {"ends": {}, "size": 1, "type": "pressmark/scope/1"},
        {"ends": [], "size": "1", "type": "pressmark/scope/1"}, {"ends": [7], "size": 1, "type": "pressmark/scope/1"},
        {"ends": [{"last_seq": "1", "stream": "instance"}], "size": 1, "type": "pressmark/scope/1"},
        {"ends": [{"last_seq": 1, "stream": "instance"}] * 2, "size": 1, "type": "pressmark/scope/1"},
    ],
)  # fmt: skip
def test_a_scope_that_is_none_is_found(house: AuditWorld, scope: object) -> None:
    seal_scope(house, scope)  # type: ignore[arg-type]
    assert codes() == {"scope"}


def test_a_scope_over_entries_that_were_not_there_yet_is_found(house: AuditWorld) -> None:
    seal_scope(house, {"ends": [], "size": checkpoints.ledger_size() + 1, "type": "pressmark/scope/1"})
    assert codes() == {"scope"}


def test_a_scope_of_the_instance_that_leaves_out_a_stream_is_found(house: AuditWorld) -> None:
    house.teams(2)
    size = checkpoints.ledger_size()
    numbers = Entry.objects.values_list("stream").annotate(last=Max("stream_seq")).order_by("stream")
    ends = [{"last_seq": last, "stream": stream} for stream, last in numbers]
    scope = {"ends": ends, "size": size, "type": "pressmark/scope/1"}
    seal_scope(house, scope, subject="instance")
    assert verify_ledger.verify().ok
    seal_scope(house, {**scope, "ends": ends[1:]}, subject="instance")
    assert codes() == {"scope"}
