"""Two verifiers that share no code give the same four answers, over clean bundles and receipts of every kind and over mutants."""

from __future__ import annotations

import ast
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import offline_verify
from tests.audit import bundle_builder as builder
from tests.audit import second_verifier, stories
from tests.audit.both import Opinion, agreed, opinions, opinions_on, opinions_on_folder
from tests.audit.bundle_builder import Ledger, Story
from tests.battery import mutants
from tests.battery.bundle_mutants import Mutant, flip

MUTANTS = 300
STRANGER = builder.log_signer(77).key_line
Known = dict[str, Any]


def told(kind: str) -> tuple[Story, list[Ledger]]:
    """A story of a kind, and the ledgers that were ever signed: of a reopened one also that which was lost."""
    if kind in ("restored", "copied"):
        story, lost = stories.reopened(stories.RESTORED if kind == "restored" else stories.COPIED)
        return story, [story.ledger, lost]
    story = stories.KINDS[kind]()
    return story, [story.ledger]


def known_keys(story: Story) -> Iterator[Known]:
    """No key, each key of each era, and one that nobody here knows."""
    lines = [key.key_line for era in story.ledger.eras for key in (era.log, era.issuer)]
    for given in [[], *([line] for line in [*lines, STRANGER])]:
        yield {"keys": given, "checkpoint": story.ledger.checkpoint(story.size)}


def known_checkpoints(story: Story, ledger: Ledger, chance: random.Random) -> Iterator[Known]:
    """Older, equal and newer ones, with a proof that fits, with one that does not, and without."""
    newest = len(ledger.entries)
    for size in sorted({1, story.early_size, min(story.size, newest), newest, *chance.sample(range(1, newest), 3)}):
        ends = min(size, story.size), max(size, story.size)
        can_prove = ends[0] < ends[1] <= newest
        for proof in (None, ledger.consistency(ends[0], size=ends[1]) if can_prove else ledger.consistency(1)):
            keys = [ledger.log.key_line, story.ledger.issuer.key_line]
            yield {"keys": chance.choice([keys, keys[1:]]), "checkpoint": ledger.checkpoint(size), "proof": proof}


def known_receipts(story: Story, ledger: Ledger, folder: Path, chance: random.Random) -> Iterator[Known]:
    """As a note, as a proof of its own and as the folder of a completed one, at older and newer checkpoints."""
    newest = len(ledger.entries)
    for first in chance.sample(sorted(ledger.receipts), 4):
        size = chance.randint(min(first + 2, newest), newest)
        files = builder.completed(ledger, first, size)
        place = folder / f"{id(ledger)}-{first}"
        write(place, files)
        proof = ledger.consistency(story.size, size=size) if size > story.size else None
        for receipt in (files["receipt.note"], files[f"proofs/{first}.tlog-proof"], place):
            keys = [story.ledger.log.key_line, ledger.issuer.key_line]
            known = {"keys": keys, "checkpoint": story.ledger.checkpoint(story.size)}
            yield known | {"receipts": [receipt], "proof": proof}


def write(place: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)


@pytest.mark.parametrize("kind", stories.KINDS)
def test_both_say_the_same_of_a_clean_bundle_whatever_is_known_from_outside(kind: str, tmp_path: Path) -> None:
    story, ledgers = told(kind)
    chance = random.Random(kind)
    path = tmp_path / "bundle.zip"
    path.write_bytes(builder.pack(builder.sealed(story)))
    everything = [*known_keys(story)]
    for ledger in ledgers:
        everything += known_checkpoints(story, ledger, chance)
        everything += known_receipts(story, ledger, tmp_path, chance)
    everything += [everything[0] | {"witnesses": [builder.Witness().key_line]}]
    everything += [everything[0] | {"not_before": day} for day in ("2026-01-02", "2026-01-03")]
    said = Counter(agreed(*opinions(path, **known)).exit_code for known in everything)
    assert said.keys() == {0, 1, 3}  # all three are asked for


@pytest.mark.parametrize("kind", ["rotated", "revoked", "restored", "copied"])
def test_both_say_the_same_of_completed_receipts_clean_and_changed(kind: str) -> None:
    chance = random.Random(kind)
    said: Counter[int] = Counter()
    for ledger in told(kind)[1]:
        newest = len(ledger.entries)
        for first in chance.sample(sorted(ledger.receipts), 3):
            size, outside = (chance.randint(min(first + 2, newest), newest) for _ in range(2))
            files = builder.completed(ledger, first, size)
            proof = ledger.consistency(min(size, outside), size=max(size, outside)) if size != outside else None
            known = {"keys": [ledger.log.key_line], "checkpoint": ledger.checkpoint(outside), "proof": proof}
            name = chance.choice(sorted(files))
            changed = flip(files[name], chance.randrange(len(files[name])), chance.randrange(8))
            rest = {path: data for path, data in files.items() if path != name}
            for folder in (files, files | {name: changed}, rest, files | {"keys/keys-1.note": files["receipt.note"]}):
                said[agreed(*opinions_on_folder(folder, **known)).exit_code] += 1
    assert said[0]
    assert said[1]


def everyday_share(folder: Path) -> list[tuple[str, Mutant]]:
    """As many of each class, by a fixed seed."""
    chance = random.Random(62)
    by_class: dict[str, list[tuple[str, Mutant]]] = {}
    for kind, mutant in mutants.mutants(False, folder):
        by_class.setdefault(mutant.attack, []).append((kind, mutant))
    each = -(-MUTANTS // len(by_class))
    return [one for found in by_class.values() for one in chance.sample(found, min(each, len(found)))]


@pytest.mark.slow
def test_both_say_the_same_of_mutants_of_every_class(tmp_path: Path) -> None:
    share = everyday_share(tmp_path)
    assert len(share) >= MUTANTS
    apart = []
    for kind, mutant in share:
        first, second = opinions_on(mutant.make(), **mutant.outside)
        if not first.agrees_with(second) or first.exit_code != mutant.expected:
            apart.append((kind, mutant.attack, mutant.label, first, second))
    assert apart == []


def test_a_verifier_that_looks_away_is_seen_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    story = builder.tell()
    files = builder.sealed(story)
    files["manifest.sig"] = flip(files["manifest.sig"], 5)
    known = {"keys": [story.ledger.log.key_line], "checkpoint": story.ledger.checkpoint(story.size)}
    for blinded in (offline_verify.Verdict, second_verifier.Findings):
        with monkeypatch.context() as patch:
            patch.setattr(blinded, "no", lambda *_: None)
            first, second = opinions_on(files, **known)
            assert not first.agrees_with(second)
    assert agreed(*opinions_on(files, **known)).exit_code == 1


def test_agreement_looks_at_the_four_answers_unless_something_is_wrong() -> None:
    one, other = ("yes", "not checked", "yes", "yes"), ("yes", "yes", "yes", "not checked")
    assert not Opinion(3, one).agrees_with(Opinion(3, other))
    assert Opinion(1, one).agrees_with(Opinion(1, other))
    assert not Opinion(1, one).agrees_with(Opinion(3, one))


def test_the_second_verifier_takes_nothing_from_the_first() -> None:
    """Only its own modules, the standard library and `cryptography`."""
    folder = Path(second_verifier.__file__).parent
    outside = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                outside |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                outside.add((node.module or "").split(".")[0])
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, f"{path.name} reaches out of its folder"
    assert outside.isdisjoint({"audit", "registry", "tests", "compression_engine"})
    assert "cryptography" in outside


def test_both_refuse_the_same_wrong_calls() -> None:
    story = builder.tell()
    data = builder.pack(builder.sealed(story))
    line, witness = story.ledger.log.key_line, builder.Witness().key_line
    receipt = story.receipts[0]
    calls: list[Known] = [
        {"keys": [witness]},
        {"witnesses": [line]},
        {"keys": [line[:-1]]},
        {"keys": [line.replace("+", "\x01+", 1)]},
        {"checkpoint": b"nothing"},
        {"checkpoint": receipt},
        {"proof": b"{}"},
        {"proof": story.ledger.consistency(3, size=9)[:-1]},
        {"receipts": [story.ledger.checkpoint(9)]},
        {"receipts": [Path(tempfile.gettempdir()) / "no-such-folder"]},
        {"not_before": "yesterday"},
    ]
    for call in calls:
        assert agreed(*opinions_on(data, **call)).exit_code == 2, call
