"""The mutant battery of bundles: no mutant of any class gets four yes, and no clean bundle gets a no.

Classes: each file flipped at several offsets, dropped, added, truncated, reordered, swapped; the zip and the manifest flipped; each
entry left out; each stream's end lowered; keys, texts and statements swapped; checkpoints from outside older, equal, newer, from a
fork; witnesses; an old bundle passed off as new. Each by a stranger, by a forger who signs with keys of his own, and by the issuer
with the real keys.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from audit import offline_verify
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.both import opinions_on
from tests.audit.verdicts import judge
from tests.battery import bundle_mutants, history_mutants
from tests.battery.bundle_mutants import Case, Mutant
from tests.bench.harness import Row, at_least, at_most

CLASSES = (
    bundle_mutants.flipped,
    bundle_mutants.flipped_manifest_signed_again,
    bundle_mutants.flipped_zip,
    bundle_mutants.dropped,
    bundle_mutants.added,
    bundle_mutants.truncated,
    bundle_mutants.reordered,
    bundle_mutants.swapped_files,
    bundle_mutants.swapped_texts,
    bundle_mutants.swapped_statements,
    bundle_mutants.swapped_keys,
    history_mutants.left_out,
    history_mutants.lowered,
    history_mutants.outside_checkpoints,
    history_mutants.forked,
    history_mutants.witnesses,
)
PLACES = 8
SMALL_KINDS = ("version", "rotated", "witnessed")
SMALL_PER_CLASS = 1
BIG, BIG_SMALL = 2_500, 250  # rounds of four entries


def cases(small: bool) -> Iterator[Case]:
    """A clean bundle of each kind, with its last log key known, and its checkpoint (or its witness) from outside."""
    for number, (kind, make) in enumerate(stories.KINDS.items()):
        if small and kind not in SMALL_KINDS:
            continue
        story = make()
        known: dict[str, Any] = {"keys": [story.ledger.era_of(story.size - 1).log.key_line]}
        checkpoint = None if story.witnesses else story.ledger.checkpoint(story.size)
        asked = {"witnesses": [witness.key_line for witness in story.witnesses]}
        yield Case(
            kind, story, known | asked | {"checkpoint": checkpoint}, random.Random(number), 1 if small else PLACES
        )


def mutants(small: bool, folder: Path) -> Iterator[tuple[str, Mutant]]:
    """Every mutant with its kind; in the small share some of each class and kind. `folder`: for what must lie in files."""
    chance = random.Random(5)
    for case in cases(small):
        for make in CLASSES:
            yield from ((case.kind, mutant) for mutant in share(make(case), small, chance))
        yield from ((case.kind, mutant) for mutant in share(history_mutants.old_as_new(case.kind), small, chance))
    yield from (("model", mutant) for mutant in history_mutants.sealed_lies(folder))


def share(found: Iterator[Mutant], small: bool, chance: random.Random) -> Iterable[Mutant]:
    if not small:
        return found
    every = list(found)
    return chance.sample(every, min(SMALL_PER_CLASS, len(every)))


def run(small: bool) -> list[Row]:
    """The rows of the battery."""
    totals: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong: list[str] = []
    apart: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, mutant in mutants(small, Path(folder)):
            first, second = opinions_on(mutant.make(), **mutant.outside)
            code, others = first.exit_code, second.exit_code
            what = f"{kind}: {mutant.attack}: {mutant.label}: exit {code}, not {mutant.expected}, the second {others}"
            totals[mutant.attack] += 1
            right[mutant.attack] += code == mutant.expected
            wrong += [what] if code != mutant.expected else []
            apart += [] if first.agrees_with(second) else [what]
    rows = [
        at_least(
            f"mutants_{name.replace(' ', '_')}", f"mutants answered rightly: {name}", right[name], total, "", total
        )
        for name, total in sorted(totals.items())
    ]
    count, (alarms, clean) = totals.total(), false_alarms(small)
    rows += [
        at_most("mutants_wrong", f"mutants of {count} answered wrongly{told(wrong)}", len(wrong), 0, "", count),
        at_most(
            "mutants_apart",
            f"mutants of {count} the second verifier answers otherwise{told(apart)}",
            len(apart),
            0,
            "",
            count,
        ),
        at_most(
            "mutants_alarms", f"clean bundles of {clean} without four yes from both verifiers", alarms, 0, "", clean
        ),
    ]
    return [*rows, speed(small)]


def told(wrong: list[str]) -> str:
    return "" if not wrong else ": " + "; ".join(wrong[:20])


def false_alarms(small: bool) -> tuple[int, int]:
    """Clean bundles of every kind with everything that may be known about them from outside: how many were not four times yes."""
    alarms = clean = 0
    for case in cases(small):
        story, ledger = case.story, case.story.ledger
        sizes = range(1, len(ledger.entries) + 1)
        for size in random.Random(2).sample(sizes, 3) if small else sizes:
            if stories.is_never_signed(ledger, size):
                continue
            proof = None
            if size != story.size:
                proof = ledger.consistency(min(size, story.size), size=max(size, story.size))
            known = case.outside | {"checkpoint": ledger.checkpoint(size), "proof": proof}
            clean += 1
            alarms += any(one.exit_code for one in opinions_on(case.sealed, **known))
        asked = case.outside | {"receipts": [ledger.receipts[at] for at in story.positions if at in ledger.receipts]}
        clean += 1
        alarms += any(one.exit_code for one in opinions_on(case.sealed, **asked))
    return alarms, clean


def speed(small: bool) -> Row:
    """How long a bundle of 10,000 entries takes (1,000 in the small share)."""
    story = builder.tell(subject="instance", rounds=BIG_SMALL if small else BIG)
    data = builder.pack(builder.sealed(story))
    known = {"keys": [story.ledger.log.key_line], "checkpoint": story.ledger.checkpoint(story.size)}
    started = time.perf_counter()
    verdict = judge(data, **known)
    took = time.perf_counter() - started
    assert verdict.exit_code == 0, offline_verify.show(verdict)
    count = len(story.positions)
    return at_most("mutants_verify_s", f"seconds to verify a bundle of {count} entries", took, 5, "s", 1)
