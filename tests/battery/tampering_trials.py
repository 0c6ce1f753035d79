"""Trials on a ledger that grows: clean ones must not be complained of, attacked ones must be caught and the place named.
Import it only where Django is set up.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

from audit import keys
from audit.services import create_ledger, make_keys, origin_of
from audit.verification import replay, verify_ledger
from audit.verification.ledger_report import LedgerReport
from registry.ids import uuid7
from tests.battery.tampering_attacks import ATTACKS, Scene, open_the_guards
from tests.battery.tampering_ledgers import Growing, KeptReceipt, undone
from tests.world import Cast, World

_OUTSIDE_AT_MOST = 5
_RECEIPTS_SHARE = 0.3


@dataclass
class Tally:
    """What came of the trials; `faults` says what went wrong, with all that is needed to see it again."""

    clean: int = 0
    false_alarms: int = 0
    attacked: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class Trials:
    """Every step the ledger grows twice and is verified twice as it is; then each of the ten attacks is tried on it."""

    def __init__(self, world: World, seed: int) -> None:
        self.chance = random.Random(seed)
        self.growing = Growing(world, self.chance)
        self.tally = Tally()
        self._where = f"seed {seed}"

    def run(self, steps: int) -> Tally:
        """So many steps."""

        begun = time.monotonic()
        for step in range(steps):
            for _ in range(2):
                self.growing.grow(self.chance.randrange(1, 4))
                self._clean(step)
            for name in ATTACKS:
                self._attacked(name, step)
        self.tally.seconds = time.monotonic() - begun
        return self.tally

    # --- clean ---

    def _clean(self, step: int) -> None:

        outside = self.growing.outside
        report = self._verify(outside.checkpoints, [kept.note for kept in outside.receipts])
        differences = replay.compare()
        self.tally.clean += 1
        self.tally.sizes.append(report.size)
        if not report.ok or differences or report.receipts_checked < len(outside.receipts):
            self.tally.false_alarms += 1
            complaints = [*map(str, report.flaws[:3]), *map(str, differences[:3])]
            self.tally.faults.append(f"{self._where} step {step}: a clean ledger is complained of: {complaints}")

    # --- attacked ---

    def _attacked(self, name: str, step: int) -> None:

        outside = self.growing.outside
        scene = Scene(outside, self.chance, signed_size(outside.checkpoints[-1]))
        kept = list(outside.receipts)
        with TemporaryDirectory(prefix="pressmark-tampering-") as folder, undone():
            place = shutil.copytree(settings.PRESSMARK_CHECKPOINTS, Path(folder) / "checkpoints")
            with override_settings(PRESSMARK_CHECKPOINTS=place):
                open_the_guards()
                position = ATTACKS[name](scene)
                unit = outside.receipt_of(position)
                report = self._verify(self._some_checkpoints(), self._some_receipts(kept, unit))
        self._judge(name, step, position, unit, report)

    def _some_checkpoints(self) -> list[bytes]:
        """The newest, and some of the others."""
        others = self.growing.outside.checkpoints[:-1]
        count = min(len(others), self.chance.randrange(_OUTSIDE_AT_MOST))
        return [*self.chance.sample(others, count), self.growing.outside.checkpoints[-1]]

    def _some_receipts(self, kept: list[KeptReceipt], unit: KeptReceipt) -> list[bytes]:
        """All of them, or some; that of the first entry that was touched is among them."""
        if self.chance.random() < 0.5:
            kept = [item for item in kept if item is unit or self.chance.random() < _RECEIPTS_SHARE]
        return [item.note for item in kept]

    def _verify(self, checkpoints: list[bytes], receipts: list[bytes]) -> LedgerReport:

        outside = self.growing.outside
        return verify_ledger.verify(
            outside=[*checkpoints, *outside.lost_checkpoints], receipts=[*receipts, *outside.lost_receipts],
            key_lines=outside.key_lines,
        )  # fmt: skip

    def _judge(self, name: str, step: int, position: int, unit: KeptReceipt, report: LedgerReport) -> None:
        """A receipt is over a unit: among its entries it cannot tell which one; so the unit's first may be named, or the entry."""
        self.tally.attacked[name] += 1
        first = report.first_bad_position
        loose = any(position in places for places in self.growing.loose)
        caught = not report.ok
        named = first is not None and (loose or unit.first <= first <= position)
        self.tally.caught[name] += caught
        self.tally.named[name] += named
        if not caught or not named:
            flaws = [str(flaw) for flaw in report.flaws[:4]]
            self.tally.faults.append(
                f"{self._where} step {step}: {name} at {position} of {self.tally.sizes[-1]} (unit from {unit.first}, "
                f"loose {self.growing.loose}): caught {caught}, named {first}: {flaws}"
            )


def signed_size(note: bytes) -> int:
    """What a checkpoint covers."""
    return int(note.split(b"\n")[1])


def in_an_installation(seed: int, steps: int) -> dict[str, Any]:
    """The trials in a home of their own; the tally."""
    call_command("migrate", verbosity=0, interactive=False)
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA synchronous=OFF")  # what is tried here does not depend on the disk
    instance = uuid7()
    log, issuer = make_keys(origin_of(instance, 1), keys.folder())
    create_ledger(instance=instance, log=log, issuer=issuer)
    return vars(Trials(World(Cast.assemble()), seed).run(steps))
