"""Judging a bundle in a test: key and checkpoint of the builder's story are known from outside, unless told otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit import offline_verify
from audit.offline_verify import Verdict, verify_bundle
from registry.digests import canonical, parse_canonical
from tests.audit import bundle_builder as builder
from tests.audit.bundle_builder import DATASET, MODEL, Story

KNOWN = builder.tell()


def judge(bundle: bytes | dict[str, bytes], **outside: Any) -> Verdict:
    outside.setdefault("keys", [KNOWN.ledger.issuer.key_line])
    outside.setdefault("checkpoint", KNOWN.ledger.checkpoint(KNOWN.size))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.zip"
        path.write_bytes(bundle if isinstance(bundle, bytes) else builder.pack(bundle))
        return verify_bundle(path, **outside)


def judge_story(story: Story, files: dict[str, bytes] | None = None, **outside: Any) -> Verdict:
    """A bundle of the story, sealed; its last issuer key and its own checkpoint are known from outside, unless told otherwise."""
    outside.setdefault("keys", [story.ledger.issuer.key_line])
    outside.setdefault("checkpoint", story.ledger.checkpoint(story.size))
    return judge(builder.sealed(story, files), **outside)


def results(verdict: Verdict) -> list[str]:
    return [answer.result for answer in verdict.answers.values()]


def assert_no(verdict: Verdict, answer: str, *hints: str) -> None:
    """The answer is no, each hint stands among its reasons, and the exit code says so."""
    assert verdict.answers[answer].result == "no", offline_verify.show(verdict)
    reasons = " | ".join(verdict.answers[answer].reasons)
    for hint in hints:
        assert hint in reasons
    assert verdict.exit_code == 1


def assert_open(verdict: Verdict, answer: str, *hints: str) -> None:
    """The answer is "not checked", for these reasons, and nothing is wrong."""
    assert (verdict.answers[answer].result, verdict.exit_code) == ("not checked", 3), offline_verify.show(verdict)
    reasons = " | ".join(verdict.answers[answer].reasons)
    for hint in hints:
        assert hint in reasons


def edit(data: bytes, change: Callable[[Any], None]) -> bytes:
    value = parse_canonical(data)
    change(value)
    return canonical(value)


def edit_entry(story: Story, position: int, change: Callable[[Any], None]) -> None:
    """Change what the log says there; proofs and checkpoints made afterwards agree with the change."""
    story.ledger.entries[position] = edit(story.ledger.entries[position], change)


def positions_of(story: Story, stream: str) -> list[int]:
    return [at for at in story.positions if builder.in_stream(story.ledger, at, stream)]


def unit_of(story: Story) -> int:
    """The position of the second event of a unit of two."""
    return positions_of(story, DATASET)[2] + 1


def rewritten() -> Story:
    """The same keys, but one old entry of the bundle's model was changed and everything was signed again."""
    story = builder.tell()
    edit_entry(story, positions_of(story, MODEL)[0], lambda entry: entry["event"].update(kind="version.renamed"))
    return story
