"""The exact bytes of what is sealed: digests, decimals, times, names, commitments and documents.

One reason: two parties who hold the same facts must get the same bytes; all that is hashed or signed is written here.
The rules are FORMATS sections 1, 2, 3 and 5:
- JSON is canonical: `registry.canonical`, whose names can be had from here;
- a number that is not an integer is decimal text, never an exponent, never `-0`; NaN and infinity are null;
- a digest is `sha256:` and 64 lower-case hex digits; a time is UTC with six digits; a date is `YYYY-MM-DD`;
- slugs and paths are plain ASCII, safe as names on every file system; paths are unique in lower case;
- free text is sealed as a salted commitment only.
Standard library only, so that the client and the witness run without Django.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from registry.canonical import JSON, CanonicalError, canonical, check_text, parse_canonical

__all__ = [
    "EVIDENCE_ROLES",
    "EVIDENCE_SOURCES",
    "FILE_ROLES",
    "JSON",
    "CanonicalError",
    "canonical",
    "check_paths",
    "commitment",
    "date_text",
    "decimal_text",
    "evidence_document",
    "evidence_set_document",
    "hex_of",
    "is_decimal",
    "is_digest",
    "is_path",
    "is_slug",
    "parse_canonical",
    "parse_time",
    "sha256",
    "time_text",
    "version_document",
]

FILE_ROLES = ("weights", "external_data", "tokenizer", "configuration", "labels", "thresholds", "probes", "other")
EVIDENCE_ROLES = ("version", "parent", "incumbent", "dataset", "recipe", "policy", "outputs")
EVIDENCE_SOURCES = ("measured", "declared")

_DECIMAL_LIMIT_DIGITS = 400  # a float64 needs at most 309 before and 324 after the point
_DECIMAL_LIMIT_CHARACTERS = 2 * _DECIMAL_LIMIT_DIGITS + 2  # so many before and behind the point, the point and a sign
_FILE_COUNT_LIMIT = 10_000
_SALT_BYTES = 32

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_SLUG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_PATH_SEGMENT = re.compile(r"[A-Za-z0-9._\-+@=,()\[\] ]+")
_WINDOWS_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))]
)


# --- digests, decimals, times -----------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    """Digest of plain bytes, as `sha256sum FILE` would give it, with the prefix `sha256:`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def hex_of(digest: str) -> str:
    """The 64 hex digits of a digest."""
    if not is_digest(digest):
        raise CanonicalError(f"{digest!r} is no digest; expected sha256: and 64 lower-case hex digits")
    return digest[7:]


def decimal_text(x: float | int | Decimal | None) -> str | None:
    """The one spelling of a number; a float64 gives its shortest round-trip digits; NaN and infinity give None."""
    if x is None:
        return None
    if isinstance(x, bool) or not isinstance(x, float | int | Decimal):
        raise CanonicalError(f"{x!r} is no number; convert it to float, int or Decimal first")
    # float(x) first: the repr of a numpy float64, which is a float, would carry its type name
    number = Decimal(repr(float(x))) if isinstance(x, float) else Decimal(x)
    if not number.is_finite():
        return None
    if number == 0:
        return "0"
    if abs(number.adjusted()) > _DECIMAL_LIMIT_DIGITS or len(number.as_tuple().digits) > _DECIMAL_LIMIT_DIGITS:
        raise CanonicalError(f"the number has more than {_DECIMAL_LIMIT_DIGITS} digits")
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_decimal(text: object) -> bool:
    return isinstance(text, str) and text != "-0" and _DECIMAL.fullmatch(text) is not None


def time_text(moment: datetime) -> str:
    """UTC as `YYYY-MM-DDTHH:MM:SS.ffffffZ`; a naive datetime is refused, because nobody knows its zone."""
    if moment.tzinfo is UTC:
        return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise CanonicalError(f"{moment!r} has no time zone; use an aware datetime")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The aware UTC datetime of a time text with exactly six digits."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise CanonicalError(f"{text!r} is no time; expected YYYY-MM-DDTHH:MM:SS.ffffffZ")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise CanonicalError(f"{text!r} is no time: {error}") from error


def date_text(day: date) -> str:
    """`YYYY-MM-DD`; a datetime is refused, because its day depends on a zone."""
    if isinstance(day, datetime):
        raise CanonicalError(f"{day!r} is a time, not a date; choose its zone and call .date()")
    return day.isoformat()


# --- names ------------------------------------------------------------------------------------------------------------


def is_slug(text: object) -> bool:
    return isinstance(text, str) and ".." not in text and _SLUG.fullmatch(text) is not None


def is_path(text: object) -> bool:
    """Whether a relative path is a safe file name on every system, Windows included."""
    if not isinstance(text, str) or not 1 <= len(text) <= 400:
        return False
    return all(_is_segment(segment) for segment in text.split("/"))


def _is_segment(segment: str) -> bool:
    if not _PATH_SEGMENT.fullmatch(segment) or segment[-1] in ". ":  # this refuses `.` and `..` too
        return False
    # Windows takes `nul.txt` and `NUL .txt` for the device as well
    return segment.split(".")[0].rstrip(" ").lower() not in _WINDOWS_DEVICES


def check_paths(paths: Sequence[str]) -> None:
    """Refuse a list of paths that could not lie side by side in one folder on every system."""
    if len(paths) > _FILE_COUNT_LIMIT:
        raise CanonicalError(f"{len(paths)} files; at most {_FILE_COUNT_LIMIT} are allowed")
    seen: set[str] = set()
    for path in paths:
        if not is_path(path):
            raise CanonicalError(
                f"{path!r} is no allowed path: use letters, digits and . _ - + @ = , ( ) [ ] space between /"
            )
        if path.lower() in seen:
            raise CanonicalError(f"{path!r} stands twice (upper and lower case count as the same)")
        seen.add(path.lower())
    for path in paths:
        parts = path.lower().split("/")
        for end in range(1, len(parts)):
            if "/".join(parts[:end]) in seen:
                raise CanonicalError(f"{path!r} lies in a folder that is also the name of a file")


# --- commitments and documents ----------------------------------------------------------------------------------------


def commitment(salt: bytes, value: str) -> str:
    """Digest that binds a text without showing it (FORMATS section 5)."""
    if len(salt) != _SALT_BYTES:
        raise CanonicalError(f"the salt has {len(salt)} bytes; {_SALT_BYTES} random bytes are needed")
    check_text(value, "text")
    return sha256(b"pressmark/commit/1\x00" + salt + value.encode("utf-8"))


def version_document(files: Iterable[Mapping[str, object]]) -> bytes:
    """Bytes of `pressmark/version/1`; its SHA-256 is the version digest. The order of `files` does not matter."""
    rows = [dict(row) for row in files]
    for row in rows:
        _check_members(row, ("digest", "path", "role", "size_bytes"), "file")
        _check_choice(row["role"], FILE_ROLES, f"role of {row['path']!r}")
        hex_of(str(row["digest"]))
        _check_count(row["size_bytes"], f"size_bytes of {row['path']!r}")
    if not rows:
        raise CanonicalError("a version needs at least one file")
    check_paths([row["path"] for row in rows])  # type: ignore[misc]
    rows.sort(key=lambda row: str(row["path"]))
    return canonical({"files": rows, "type": "pressmark/version/1"})


def evidence_document(
    *,
    kind: str,
    method: Mapping[str, object],
    source: str,
    subjects: Iterable[Mapping[str, object]],
    figures: Iterable[Mapping[str, object]],
    environment: Iterable[Mapping[str, object]] = (),
    seed: int | None = None,
) -> bytes:
    """Bytes of `pressmark/evidence/1`: no time and no id in it, so the same inputs give the same bytes."""
    document = {
        "environment": _named_values(environment, "environment"),
        "figures": [_figure(figure) for figure in figures],
        "kind": kind,
        "method": dict(method),
        "seed": seed,
        "source": source,
        "subjects": [dict(subject) for subject in subjects],
        "type": "pressmark/evidence/1",
    }
    _check_text_member(kind, "kind")
    _check_members(document["method"], ("name", "version"), "method")
    _check_text_member(method["name"], "method.name")
    _check_choice(source, EVIDENCE_SOURCES, "source")
    if seed is not None:
        _check_count(seed, "seed")
    for subject in document["subjects"]:  # type: ignore[union-attr]
        _check_members(subject, ("digest", "role"), "subject")
        _check_choice(subject["role"], EVIDENCE_ROLES, "role of a subject")  # type: ignore[index]
        hex_of(str(subject["digest"]))  # type: ignore[index]
    return canonical(document)


def evidence_set_document(digests: Iterable[str]) -> bytes:
    """Bytes of `pressmark/evidence_set/1`: what an approval binds. Order and doubles of `digests` do not matter."""
    members = sorted(set(digests))
    for digest in members:
        hex_of(digest)
    return canonical({"evidence": members, "type": "pressmark/evidence_set/1"})


_FIGURE_MEMBERS = ("high", "low", "metric", "n", "reason", "slice", "spread", "unit", "value")


def _figure(figure: Mapping[str, object]) -> dict[str, object]:
    _check_members(figure, _FIGURE_MEMBERS, "figure")
    name = figure["metric"]
    _check_text_member(name, "metric")
    for member in ("high", "low", "spread", "value"):
        if figure[member] is not None and not is_decimal(figure[member]):
            raise CanonicalError(f"figure {name!r}: {member} is {figure[member]!r}; use decimal_text()")
        if len(str(figure[member])) > _DECIMAL_LIMIT_CHARACTERS:
            raise CanonicalError(f"figure {name!r}: {member} has more than {_DECIMAL_LIMIT_DIGITS} digits")
    if figure["value"] is None and not figure["reason"]:
        raise CanonicalError(f"figure {name!r}: value is null, so reason must say why")
    if figure["n"] is not None:
        _check_count(figure["n"], f"n of figure {name!r}")
    slice_rows = figure["slice"]
    if not isinstance(slice_rows, list | tuple):
        raise CanonicalError(f"figure {name!r}: slice is a list of name and value, [] for the whole")
    return {**figure, "slice": _named_values(slice_rows, f"slice of figure {name!r}")}


def _named_values(rows: Iterable[Mapping[str, object]], what: str) -> list[dict[str, object]]:
    result = [dict(row) for row in rows]
    for row in result:
        _check_members(row, ("name", "value"), what)
        _check_text_member(row["name"], f"name in {what}")
    names = [row["name"] for row in result]
    if len(set(names)) != len(names):
        raise CanonicalError(f"{what}: a name stands twice")
    return result


def _check_members(row: object, members: tuple[str, ...], what: str) -> None:
    if not isinstance(row, Mapping) or set(row) != set(members):
        found = sorted(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        raise CanonicalError(f"{what} must have exactly the members {', '.join(members)}; found {found}")


def _check_choice(value: object, choices: tuple[str, ...], what: str) -> None:
    if value not in choices:
        raise CanonicalError(f"{what} is {value!r}; allowed: {', '.join(choices)}")


def _check_text_member(value: object, what: str) -> None:
    if not isinstance(value, str) or not value:
        raise CanonicalError(f"{what} must be a text that is not empty")


def _check_count(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CanonicalError(f"{what} is {value!r}; a whole number from 0 is needed")
