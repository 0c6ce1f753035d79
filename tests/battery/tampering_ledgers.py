"""Ledgers that grow by the product's own services: every act by chance, and what a careful outsider keeps of it.

One reason: attacks and clean checks are tried on ledgers of every size, with rotations, revocations, reopenings and erasures.
Import it only where Django is set up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import transaction

from audit import checkpoints, erasure, keys, receipts
from audit.models import Entry, Intervention
from audit.signing import Signer
from registry.access import services as access
from registry.access.models import Membership, Role, Team, Text
from registry.events import emit, unit
from tests.audit.acts import act
from tests.world import World


@dataclass(frozen=True)
class KeptReceipt:
    """A receipt, and the positions that it covers."""

    note: bytes
    first: int
    count: int

    def covers(self, position: int) -> bool:
        return self.first <= position < self.first + self.count


@dataclass
class Outside:
    """What was kept away from the installation: checkpoints, receipts, key lines. `log_keys`: what a thief may have taken."""

    checkpoints: list[bytes] = field(default_factory=list)
    receipts: list[KeptReceipt] = field(default_factory=list)
    lost_checkpoints: list[bytes] = field(default_factory=list)
    lost_receipts: list[bytes] = field(default_factory=list)
    """What was signed for acts that an old backup undid."""
    key_lines: list[str] = field(default_factory=list)
    log_keys: list[Signer] = field(default_factory=list)

    def receipt_of(self, position: int) -> KeptReceipt:
        """The one whose unit holds the position."""
        return next(kept for kept in self.receipts if kept.covers(position))


@contextmanager
def undone() -> Iterator[None]:
    """A transaction that is rolled back, in which units may open: Django lets those of a test case do that."""
    block = transaction.atomic()
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)


class Growing:
    """A ledger, what is kept outside of it, and the acts that make it grow."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world, self.chance, self.outside = world, chance, Outside()
        self._root = world.cast.root
        self._made = 0
        self._acts: list[tuple[int, Callable[[], object]]] = [
            (30, self._team), (12, self._teams), (14, self._member), (10, self._member_ends), (10, self._erasure),
            (4, world.rotate_keys), (2, world.revoke_keys), (3, self._restored), (1, self._copied), (1, self._story),
        ]  # fmt: skip
        self.loose: list[range] = []
        """Positions that a reopening does not vouch for as history of the old origin: receipts of them are told, not judged."""
        self._note_keys()
        world.second_administrator()
        self._kept_until = 0
        self.outside.receipts += self._keep_receipts()

    def grow(self, acts: int) -> None:
        """Some acts by chance, a checkpoint after one of them, and at least one act after it."""
        signed_after = self.chance.randrange(acts)
        for number in range(acts):
            weights, choices = zip(*self._acts, strict=True)
            self.chance.choices(choices, weights)[0]()
            self.outside.receipts += self._keep_receipts()
            self._note_keys()
            if number == signed_after:
                self._sign()
        self._team()
        self.outside.receipts += self._keep_receipts()

    def _keep_receipts(self) -> list[KeptReceipt]:
        """Those of the units that were committed since this was last asked for, as whoever acted got them."""
        units: dict[bytes, list[Entry]] = {}
        for row in Entry.objects.filter(position__gte=self._kept_until).order_by("position"):
            units.setdefault(bytes(row.entry).rpartition(b'"unit":"')[2][:36], []).append(row)
        found = []
        for rows in units.values():
            first, leaves = rows[0].position, [bytes(row.leaf) for row in rows]
            found.append(KeptReceipt(receipts.sign(first, leaves, rows[0].at).encode(), first, len(rows)))
            self._kept_until = first + len(rows)
        return found

    def _note_keys(self) -> None:
        log, issuer = keys.log_signer(), keys.issuer_signer()
        if log.key_line not in self.outside.key_lines:
            self.outside.key_lines += [log.key_line, issuer.key_line]
            self.outside.log_keys.append(log)

    def _sign(self) -> None:
        if checkpoints.sign_next() is not None:
            self.outside.checkpoints.append(checkpoints.outside_notes()[-1])

    # --- acts ---

    def _slug(self) -> str:
        self._made += 1
        return f"team-of-trial-{self._made}"

    def _team(self) -> None:
        access.create_team(actor=self._root, slug=self._slug(), title=f"Number {self._made}")

    def _teams(self) -> None:
        """One act of several entries."""
        with unit(self._root, role="administrator") as opened:
            for _ in range(self.chance.randrange(2, 6)):
                team = Team.objects.create(slug=self._slug(), created_at=opened.now)
                emit("team.created", team, team=team.pk)

    def _member(self) -> None:
        person = self.world.cast.people[self.chance.choice(["ada", "omar", "carla", "otto", "eve"])]
        teams = list(Team.objects.filter(slug__startswith="team-of-trial-").order_by("slug"))
        if teams:
            access.grant_membership(
                actor=self._root, person=person, role=Role.VIEWER, team=self.chance.choice(teams)
            )  # fmt: skip

    def _member_ends(self) -> None:
        row = Membership.objects.filter(role=Role.VIEWER, ended_at=None).order_by("pk").first()
        if row is not None:
            access.end_membership(actor=self._root, membership=row)

    def _erasure(self) -> None:
        texts = list(Text.objects.filter(erased_at=None, purpose="title").order_by("pk"))
        if texts:
            erasure.erase(actor=self._root, texts=[self.chance.choice(texts)], reason="Asked for by the person.")

    def _story(self) -> None:
        """The whole of it, once, while the first keys are here: models, versions, evidence, approvals, monitors."""
        self._acts = [(weight, do) for weight, do in self._acts if do != self._story]
        if (keys.folder() / keys.LOG_FILE).is_file():
            self.world.story()

    def _restored(self) -> None:
        """Acts, and maybe a checkpoint, that an old backup then undid: the ledger goes on under the next epoch."""
        before = self._kept_until
        with undone():
            for _ in range(self.chance.randrange(1, 4)):
                act(self.world, self._slug())
            checkpoints.sign_next()
            self.outside.lost_receipts += [kept.note for kept in self._keep_receipts()]
        self._kept_until = before
        self.outside.lost_checkpoints.append(checkpoints.outside_notes()[-1])
        self._reopened(self.world.reopen_ledger())

    def _copied(self) -> None:
        self._reopened(self.world.reopen_ledger(copied=True))

    def _reopened(self, done: Intervention) -> None:
        self.loose.append(range(done.agreed_size or 0, Entry.objects.count() - 1))
