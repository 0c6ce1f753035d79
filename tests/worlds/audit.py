"""What tests of the audit house may need: a store that holds the keys note of entry 0, checkpoints, and a hand that tampers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.utils import timezone

from audit import checkpoints, keys, notes
from audit import services_interventions as interventions
from audit.models import Checkpoint, Entry, Intervention
from registry import storage
from registry.access import services as access
from registry.access.models import Actor, Role, Team
from registry.access.queries import system_actor
from registry.catalog.distributions import to_figures
from registry.catalog.models import ModelVersion
from registry.compression.models import Run
from registry.events import Caller, emit, unit
from registry.monitoring import services as monitoring
from registry.oversight import services as oversight
from tests.worlds.base import BaseWorld
from tests.worlds.catalog import figure
from tests.worlds.release import DAY, distribution

if TYPE_CHECKING:
    from tests.worlds.monitoring import MonitoringWorld as Below
else:
    Below = BaseWorld  # `World` joins the rooms side by side

Story = tuple[ModelVersion, ModelVersion]
"""The parent and the child of `AuditWorld.story`."""


def restore_keys_note() -> str:
    """Each test has a store of its own, entry 0 is of the session: write its keys note again (same keys, same bytes)."""
    log, issuer = keys.log_signer(0), keys.issuer_signer(0)
    note = notes.sign_keys(notes.KeysNote(log.name, 0, log.public, issuer.public), log, issuer)
    return storage.store_bytes(note).digest


def tamper(table: str, sql: str, parameters: Sequence[Any] = ()) -> int:
    """Change a table as somebody who owns the database could: its guards are taken away first, in the test's transaction."""
    on = f' ON "{table}"' if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for verb in ("insert", "update", "delete", "truncate"):
            cursor.execute(f'DROP TRIGGER IF EXISTS "pressmark_guard_{table}_{verb}"{on}')
        cursor.execute(sql, list(parameters))
        return int(cursor.rowcount)


def rewrite_entry(position: int, old: bytes, new: bytes, *, leaf: bool = False) -> None:
    """Replace bytes inside one entry; with `leaf` the stored leaf is made to fit."""
    from audit import merkle

    entry = bytes(Entry.objects.get(position=position).entry)
    assert old in entry
    changed = entry.replace(old, new, 1)
    tamper("audit_entry", "UPDATE audit_entry SET entry = %s WHERE position = %s", [changed, position])
    if leaf:
        value = merkle.leaf_hash(changed)
        tamper("audit_entry", "UPDATE audit_entry SET leaf = %s WHERE position = %s", [value, position])


class AuditWorld(Below):
    """One method per thing; each returns the row."""

    def teams(self, count: int) -> list[Team]:
        """Some more acts in the ledger, each a stream of its own."""
        return [access.create_team(actor=self.cast.root, slug=f"team-{number}") for number in range(count)]

    def story(self) -> tuple[ModelVersion, ModelVersion]:
        """The whole of it: a parent with a waiver, its child, a healthy and a drifted window, and the roll-back to the parent."""
        restore_keys_note()
        parent = self.parent_version(self.governed_model(slug="sentences"), training_data="incomplete")
        self.evidence(parent, "distribution", to_figures(distribution()))
        self.evidence(parent, "outputs", [figure("output_norm_mean", "1", "output_unit", n=320, low="1", high="1")])
        self.waiver(parent)
        self.promoted(parent)
        child = self.executed_child(parent)
        self.measure_fully(child, parent)
        self.waiver(child)
        self.promoted(child)
        monitor = self.monitor(child)
        self.window(monitor, "week-1")
        incident = self.window(monitor, "week-2", [10, 20, 60, 150, 210, 150]).incident
        monitoring.acknowledge_incident(actor=self.cast.otto, incident=incident)
        monitoring.resolve_by_rollback(
            actor=self.cast.omar, incident=incident, reason="Answers moved; back to the parent."
        )
        self.window(monitor, "week-3", version_digest=parent.digest)
        stream, team_id = f"model:{parent.model_id}", self.team.pk
        for requirement in ("MAP 1.1", "GOVERN 2.2"):
            oversight.sign_attestation(
                actor=self.cast.carla, stream=stream, team_id=team_id, framework="nist_ai_rmf_1_0",
                requirement=requirement, statement="Read and agreed.", expires_at=timezone.now() + DAY * 90,
            )  # fmt: skip
        oversight.open_finding(
            actor=self.cast.carla, stream=stream, team_id=team_id, subject="MEASURE 2.11",
            description="Measure by language.", owner=self.cast.people["ada"],
            due_on=timezone.now().date() + DAY * 30,
        )  # fmt: skip
        return parent, child

    def executed_child(self, parent: ModelVersion, **data: Any) -> ModelVersion:
        """A child with the rows of a run that made it, without the engine: for what is about records only."""
        child = self.derived_version(parent)
        run = self.run(parent, **data)
        now = timezone.now()
        with unit(Caller(actor_id=system_actor().pk, via="worker", on_behalf_of=run.requested_by_id), role="system"):
            Run.objects.filter(pk=run.pk).update(
                state="succeeded", attempt=1, started_at=now, finished_at=now, child=child, engine_version="0.1.0"
            )
            run.refresh_from_db()
            emit("run.succeeded", run, team=self.team.pk)
        return child

    def measure_fully(self, child: ModelVersion, parent: ModelVersion) -> None:
        """Evidence with the metrics that the engine measures on a real encoder."""
        ms = {"unit_name": "millisecond", "n": 25, "spread": "0.4"}
        self.evidence(child, "size", [
            figure("size_bytes", "23114210", "byte"), figure("parent_size_bytes", "90915840", "byte"),
            figure("size_ratio", "3.933331399515709"),
        ], parent=parent)  # fmt: skip
        self.evidence(child, "fidelity", [
            figure("cosine_mean", "0.999512", "cosine", n=320, low="0.99947", high="0.99955", spread="0.0004"),
            figure("cosine_p05", "0.99881", "cosine", n=320, low="0.9985", high="0.999", spread="0.0004"),
            figure("cosine_min", "0.9971", "cosine", n=320),
            figure("nearest_neighbour_kept", "0.971875", "share", n=320, low="0.947", high="0.985"),
            figure("batch_difference_max", "0", "output_unit", n=64),
        ], parent=parent)  # fmt: skip
        self.evidence(child, "timing", [
            figure("latency_p50_ms", "8.71", low="8.6", high="8.9", **ms),
            figure("parent_latency_p50_ms", "8.63", low="8.5", high="8.8", **ms),
            figure("latency_p95_ms", "9.9", low="9.6", high="10.4", **ms),
            figure("latency_ratio", "1.009", n=25, low="0.99", high="1.03", spread="0.02"),
        ], parent=parent)  # fmt: skip
        self.evidence(child, "memory", [
            figure("peak_memory_bytes", "212860928", "byte", n=5, low="212500000", high="213100000"),
            figure("parent_peak_memory_bytes", "254803968", "byte", n=5),
            figure("peak_memory_ratio", "0.8354", n=5),
        ], parent=parent)  # fmt: skip
        self.evidence(child, "distribution", to_figures(distribution()), parent=parent)

    def second_administrator(self) -> Actor:
        """Somebody who may agree to what needs two administrators."""
        person = Actor.objects.filter(username="rhea").first()
        if person is None:
            person = access.create_actor(actor=self.cast.root, username="rhea", password="a second pair of eyes")
            access.grant_membership(actor=self.cast.root, person=person, role=Role.ADMINISTRATOR, team=None)
        return person

    def rotate_keys(self) -> Intervention:
        """New keys, vouched for by the old."""
        return interventions.rotate_keys(actor=self.cast.root, reason="It is time.")

    def revoke_keys(self) -> Intervention:
        """New keys that nobody vouches for; the old ones were stolen."""
        second = self.second_administrator()
        return interventions.revoke_keys(actor=self.cast.root, agreed_by=second, reason="The keys were stolen.")

    def reopen_ledger(self, *, copied: bool = False, given: Sequence[bytes] = ()) -> Intervention:
        """The next epoch: of the same instance after an old backup, or of a copy."""
        why = "This is a copy." if copied else "An old backup was restored."
        return interventions.reopen_ledger(actor=self.cast.root, reason=why, copied=copied, given=given)

    def correct_clock(self) -> Intervention:
        """The ledger's time goes back to what the clock says."""
        second = self.second_administrator()
        return interventions.correct_clock(actor=self.cast.root, agreed_by=second, reason="The clock was a year ahead.")

    def checkpoint(self) -> Checkpoint:
        """The ledger as it stands, signed."""
        signed = checkpoints.sign_next()
        assert signed is not None
        return signed
