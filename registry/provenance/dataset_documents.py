"""What somebody states about one state of a dataset, checked, and its canonical document `pressmark/dataset/1`. No tables here.

Rules:
- at least one use is stated; what is not said about people and works of others is `unknown`, never guessed;
- exactly one thing says which state is meant: uploaded bytes, uploaded files by path, the digest of bytes elsewhere, the list of
  files elsewhere, or that nobody knows;
- a list of files has a document of its own, whose SHA-256 is the digest of the state; one uploaded file alone is named by its own;
- format and columns of several uploaded files are told where all of them agree;
- days follow each other: collection ends after it began and not in the future, and data is kept until a day that is still to come.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from registry.digests import JSON, CanonicalError, canonical, check_paths, date_text, is_digest, sha256
from registry.errors import Invalid
from registry.provenance.measured_files import MeasuredState

USES = ("training", "calibration", "evaluation", "baseline")
KNOWN = ("yes", "no", "unknown")
QUESTIONS = ("personal_data", "consent", "third_party_works", "opt_out_honoured")
MAX_FILES = 10_000
_SCHEMA = Path(__file__).with_name("schemas") / "dataset-1.json"


@dataclass(frozen=True)
class Stated:
    """What a person says about a dataset version in answers and days; sentences stand in texts of their own."""

    uses: Sequence[str]
    answers: Mapping[str, str]
    collected_from: datetime.date | None = None
    collected_until: datetime.date | None = None
    retain_until: datetime.date | None = None


@dataclass(frozen=True)
class State:
    """Which state is meant: its digest (None: nobody knows), and the files where it is a list of them."""

    digest: str | None
    files: Sequence[Mapping[str, Any]] | None = None


def check_stated(stated: Stated, *, basis: str, today: datetime.date) -> None:
    """Invalid names what is missing, unknown to us, or contradicts itself."""
    if not stated.uses or not set(stated.uses) <= set(USES):
        raise Invalid(
            f"The uses {list(stated.uses)} are not known.", hint=f"Give one or more of: {', '.join(USES)}.", code="uses"
        )
    for name, value in stated.answers.items():
        if value not in KNOWN:
            raise Invalid(f"{name} is {value!r}.", hint="Answer yes, no or unknown.")
    if basis.strip() and stated.answers["third_party_works"] == "no":
        raise Invalid(
            "A basis for works of others is given, though there are said to be none.",
            hint="Answer third_party_works with yes or unknown, or leave third_party_basis out.",
            code="third-party-basis",
        )
    _check_days(stated, today)


def _check_days(stated: Stated, today: datetime.date) -> None:
    begin, end, keep = stated.collected_from, stated.collected_until, stated.retain_until
    if begin is not None and end is not None and end < begin:
        raise Invalid("The collection ends before it begins.", hint="Correct collected_from or collected_until.")
    if any(day is not None and day > today for day in (begin, end)):
        raise Invalid("The data is collected on a day that is still to come.", hint="Register it once it is there.")
    if keep is not None and keep < today:
        raise Invalid(
            f"The data was to be kept until {date_text(keep)}, which has passed.",
            hint="Do not register what should be gone; or correct retain_until.",
            code="retention",
        )


def require_one_way(
    digest: str | None,
    files: Sequence[Mapping[str, Any]] | None,
    declared_digest: str | None,
    declared_files: Sequence[Mapping[str, Any]] | None,
    state_unknown: bool,
) -> None:
    """Invalid when not exactly one thing says which state is meant."""
    given = [digest is not None, bool(files), declared_digest is not None, bool(declared_files), state_unknown]
    if given.count(True) != 1:
        raise Invalid(
            "Give either 'digest' (bytes that you uploaded), 'files' (several of them), 'declared_digest' (bytes that are "
            "elsewhere), 'declared_files' (several files that are elsewhere) or 'state_unknown'.",
            hint="Upload the file to have it measured; declare it if the bytes must stay where they are.",
            code="one-digest",
        )


def one_state(
    digest: str | None,
    declared_digest: str | None,
    declared_files: Sequence[Mapping[str, Any]] | None,
    state_unknown: bool,
    files: Sequence[Mapping[str, Any]] | None = None,
) -> State:
    """Which state is meant, of the five ways to say it; exactly one is used."""
    require_one_way(digest, files, declared_digest, declared_files, state_unknown)
    if state_unknown:
        return State(None)
    if files:
        uploaded = checked_files(files)
        return State(uploaded[0]["digest"] if len(uploaded) == 1 else sha256(files_document(uploaded)), uploaded)
    if declared_files:
        listed = checked_files(declared_files)
        return State(sha256(files_document(listed)), listed)
    bound = digest if digest is not None else declared_digest
    if not is_digest(bound):
        raise Invalid(f"{bound!r} is no digest.", hint="Give 'sha256:' and 64 lower-case hexadecimal digits.")
    return State(bound)


def checked_files(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A list of files with path, digest and size_bytes, sorted by path; Invalid names the one that cannot be."""
    if len(files) > MAX_FILES:
        raise Invalid(
            f"{len(files)} files are named.", hint=f"A version lists at most {MAX_FILES}; put more in archives."
        )
    for number, file in enumerate(files, 1):
        size = file.get("size_bytes")
        if not is_digest(file.get("digest")) or type(size) is not int or not 0 <= size < 2**53:
            raise Invalid(
                f"File {number} has no digest or no size.",
                hint="Give path and digest of each file, and size_bytes where it is elsewhere.",
                code="files",
            )
    try:
        check_paths([str(file.get("path")) for file in files])
    except (ValueError, CanonicalError) as error:
        raise Invalid(f"The list of files is unusable: {error}.", hint="Correct the path.", code="files") from None
    named = [{"digest": f["digest"], "path": f["path"], "size_bytes": f["size_bytes"]} for f in files]
    return sorted(named, key=lambda file: str(file["path"]))


def files_document(files: Sequence[Mapping[str, Any]]) -> bytes:
    """Canonical bytes of `pressmark/dataset_files/1`, files by path: what the digest of a version of several files is made of."""
    return canonical({"files": [dict(file) for file in files], "type": "pressmark/dataset_files/1"})


def dataset_facts(
    state: State, measured: MeasuredState | None, size_bytes: int | None, expression: str, stated: Stated
) -> dict[str, Any]:
    """The members of `pressmark/dataset/1`; `size_bytes` of measured bytes, else it follows from the list of files."""
    columns = None
    if measured is not None and measured.columns is not None:
        columns = [{"dtype": c.dtype, "name": c.name, "shape": c.shape} for c in measured.columns]
    if state.files is not None:
        size_bytes = sum(int(file["size_bytes"]) for file in state.files)
    return {
        "collected_from": _day(stated.collected_from),
        "collected_until": _day(stated.collected_until),
        "columns": columns,
        "digest": state.digest,
        "files": None if state.files is None else [dict(file) for file in state.files],
        "format": measured.format if measured else None,
        "licence": expression,
        "retain_until": _day(stated.retain_until),
        "row_count": measured.row_count if measured else None,
        "size_bytes": size_bytes,
        "source": "measured" if measured else "declared",
        "type": "pressmark/dataset/1",
        "uses": sorted(set(stated.uses)),
        **stated.answers,
    }


def _day(day: datetime.date | None) -> str | None:
    return None if day is None else date_text(day)


@functools.lru_cache(maxsize=1)
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text()))


def dataset_document(facts: dict[str, JSON]) -> bytes:
    """Canonical bytes of `pressmark/dataset/1`; its JSON Schema is checked, so a wrong member is a fault of ours."""
    _validator().validate(facts)
    return canonical(facts)
