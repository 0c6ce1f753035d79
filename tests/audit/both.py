"""Two verifiers over the same bundle or folder: whether they agree, in the words of docs/bundle-format.md.

They agree when the exit status is the same and, where it is not 1, the four answers are; a wrong call is the same refusal of both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import offline_verify
from tests.audit import bundle_builder as builder
from tests.audit import second_verifier

WRONG_CALL = 2
Answers = tuple[str, ...]


@dataclass(frozen=True)
class Opinion:
    """What one verifier says: its exit status, the four answers in the order of the page, and why."""

    exit_code: int
    answers: Answers = ()
    told: str = ""

    def agrees_with(self, other: Opinion) -> bool:
        return self.exit_code == other.exit_code and (self.exit_code == 1 or self.answers == other.answers)


def opinion_of_the_first(path: Path, **outside: Any) -> Opinion:
    """The product's verifier."""
    judge = offline_verify.verify_receipt if path.is_dir() else offline_verify.verify_bundle
    try:
        verdict = judge(path, **outside)
    except offline_verify.WrongCall as error:
        return Opinion(WRONG_CALL, told=str(error))
    answers = tuple(answer.result for answer in verdict.answers.values())
    return Opinion(verdict.exit_code, answers, offline_verify.show(verdict))


def opinion_of_the_second(path: Path, **outside: Any) -> Opinion:
    """The one that was written from the page."""
    try:
        findings = second_verifier.verify(path, **outside)
    except second_verifier.WrongCall as error:
        return Opinion(WRONG_CALL, told=str(error))
    told = "; ".join(f"{answer}: {reason}" for answer, reason in [*findings.against, *findings.unchecked])
    return Opinion(findings.exit_code, tuple(findings.results.values()), told)


def opinions(path: Path, **outside: Any) -> tuple[Opinion, Opinion]:
    return opinion_of_the_first(path, **outside), opinion_of_the_second(path, **outside)


def opinions_on(bundle: bytes | Mapping[str, bytes], **outside: Any) -> tuple[Opinion, Opinion]:
    """Of a bundle that is still in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.zip"
        path.write_bytes(bundle if isinstance(bundle, bytes) else builder.pack(dict(bundle)))
        return opinions(path, **outside)


def opinions_on_folder(files: Mapping[str, bytes], **outside: Any) -> tuple[Opinion, Opinion]:
    """Of a completed receipt that is still in memory."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return opinions(Path(folder), **outside)


def agreed(first: Opinion, second: Opinion) -> Opinion:
    """The one opinion of both; AssertionError with both where they differ."""
    assert first.agrees_with(second), f"first: {first.exit_code}\n{first.told}\nsecond: {second}"
    return first
