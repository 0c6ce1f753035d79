"""What a made file says about itself, under names that begin with `pressmark.`: what follows from what went in, nothing else.

Rules:
- `parent_digest`, `recipe_digest`, `engine_version`; `calibration_digest` where a step looked at rows; `training_digest`,
  `teacher_digest` and `student_digest` where a step trained, by a teacher and from a student that were named; `licence` where the
  caller stated one; `quantization_map` (see `quantization_map`); no time, no run, no place, no person;
- they describe the last compression alone: every `pressmark.` name that the parent's file holds is taken out first;
- of a parent that was made by a compression itself the facts are kept in `history`, oldest first: as its file said them, the
  last eight; `dropped` says how many more there were. They are claims: the digest of the parent is what can be checked;
- a reader of the engine takes at most 64 KiB for one text, so that a long map is cut into `quantization_map.1`, `.2` and so on;
- engines up to 0.3.0 wrote the first three names alone, beside those of the parent. What they made can be made again to the
  byte: `written_by` says whose facts are written.
Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from compression_engine.canonical import JSON, CanonicalError, canonical, parse_canonical
from compression_engine.environment import ENGINE_VERSION
from compression_engine.errors import EngineError

PREFIX = "pressmark."
MAP = f"{PREFIX}quantization_map"
LICENCE, WRITTEN_BY = f"{PREFIX}licence", f"{PREFIX}engine_version"
_HISTORY = f"{PREFIX}history"
_OF_TRAINING = ("student_digest", "teacher_digest", "training_digest")
_KEPT = ("calibration_digest", "engine_version", "licence", "parent_digest", "recipe_digest", *_OF_TRAINING)
_HISTORY_MAX = 8
_PIECE_BYTES = 60_000
_FEW_FACTS = frozenset({"0.1.0", "0.2.0", "0.3.0"})
_LICENCE_FORM = re.compile(r"[A-Za-z0-9(](?:[A-Za-z0-9.+:() -]{0,398}[A-Za-z0-9.+)])?\Z")
_LICENCE_WORD = re.compile(r"[()]|[A-Za-z0-9.:+-]+")
_LICENCE_NAME = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9][A-Za-z0-9.-]*\+?\Z")
_LICENCE_OPERATORS = frozenset({"AND", "OR", "WITH"})
_SHAPES = {
    "digest": re.compile(r"sha256:[0-9a-f]{64}\Z"),
    "version": re.compile(r"[0-9A-Za-z.+-]{1,40}\Z"),
    "licence": _LICENCE_FORM,
}


@dataclass(frozen=True)
class Facts:
    """What one compression says of itself. `quantization_map` is its canonical document, empty where there is none."""

    parent_digest: str
    recipe_digest: str
    calibration_digest: str | None = None
    licence: str | None = None
    quantization_map: bytes = b""
    written_by: str = ENGINE_VERSION
    training_digest: str | None = None
    teacher_digest: str | None = None
    student_digest: str | None = None

    def beside(self, before: Mapping[str, str]) -> dict[str, str]:
        """All metadata of the output, `before` being those of the parent: names in order, texts of at most 64 KiB of ours."""
        found = {
            f"{PREFIX}parent_digest": self.parent_digest,
            f"{PREFIX}recipe_digest": self.recipe_digest,
            WRITTEN_BY: self.written_by,
        }
        if self.written_by in _FEW_FACTS:
            return dict(sorted((dict(before) | found).items()))
        if self.calibration_digest is not None:
            found[f"{PREFIX}calibration_digest"] = self.calibration_digest
        for name in _OF_TRAINING:
            if (digest := getattr(self, name)) is not None:
                found[PREFIX + name] = digest
        if self.licence is not None:
            found[LICENCE] = self.licence
        history = _history(before)
        if history is not None:
            found[_HISTORY] = history
        found |= _pieces(self.quantization_map.decode())
        kept = {name: value for name, value in before.items() if not name.startswith(PREFIX)}
        return dict(sorted((kept | found).items()))


def check_licence(expression: JSON) -> str:
    """The licence expression that a caller states; EngineError (licence_invalid). Which licences there are the registry knows."""
    if not isinstance(expression, str) or not _LICENCE_FORM.match(expression) or not _is_expression(expression):
        hint = "Write an SPDX expression, such as Apache-2.0 or MIT AND LicenseRef-ours; at most 400 characters."
        raise EngineError("licence_invalid", f"{expression!r:.80} has not the form of a licence expression.", hint)
    return expression


def _is_expression(text: str) -> bool:
    """Whether names, operators and brackets stand in an order that SPDX 2.3 (annex D) knows."""
    depth, name_may_come, after_with, with_may_come = 0, True, False, False
    for word in _LICENCE_WORD.findall(text):
        operator = word.upper() if word.upper() in _LICENCE_OPERATORS else None
        if word == "(":
            if not name_may_come or after_with:
                return False
            depth += 1
        elif name_may_come:
            if operator is not None or not _LICENCE_NAME.match(word):
                return False
            name_may_come, with_may_come, after_with = False, not after_with, False
        elif word == ")":
            depth, with_may_come = depth - 1, False
            if depth < 0:
                return False
        elif operator is None or (operator == "WITH" and not with_may_come):
            return False
        else:
            name_may_come, after_with = True, operator == "WITH"
    return depth == 0 and not name_may_come


def check_version(version: JSON) -> str:
    """A version of the engine as a result names it; EngineError (result_invalid)."""
    if not isinstance(version, str) or not _SHAPES["version"].match(version):
        hint = "Give the RESULT.json that compress wrote, unchanged."
        raise EngineError("result_invalid", f"{version!r:.80} is no version of the engine.", hint)
    return version


def map_text(metadata: Mapping[str, str]) -> str | None:
    """The text of the quantisation map in a file's metadata, put together again; None where there is none."""
    if MAP in metadata:
        return metadata[MAP]
    pieces: list[str] = []
    while (piece := metadata.get(f"{MAP}.{len(pieces) + 1}")) is not None:
        pieces.append(piece)
    return "".join(pieces) if pieces else None


def _pieces(text: str) -> dict[str, str]:
    """A text under one name, or under several where it is too long for one; none for an empty text."""
    if len(text.encode()) <= _PIECE_BYTES:
        return {MAP: text} if text else {}
    # a character of Unicode takes at most four bytes
    step = _PIECE_BYTES // 4 if not text.isascii() else _PIECE_BYTES
    cut = [text[start : start + step] for start in range(0, len(text), step)]
    return {f"{MAP}.{number}": piece for number, piece in enumerate(cut, start=1)}


def _history(before: Mapping[str, str]) -> str | None:
    """The facts of the compressions that made the parent, its own last; None where none did."""
    latest = {name: value for name in _KEPT if (value := before.get(PREFIX + name)) is not None and _fits(name, value)}
    earlier, dropped = _earlier(before.get(_HISTORY))
    if not latest and not earlier and not dropped:
        return None
    entries = [*earlier, *([latest] if latest else [])]
    dropped += max(0, len(entries) - _HISTORY_MAX)
    return canonical({"dropped": dropped, "entries": entries[-_HISTORY_MAX:]}).decode()


def _earlier(text: str | None) -> tuple[list[dict[str, str]], int]:
    """What the parent's own history holds, as far as it has the form that we write, and how much more there was."""
    if text is None:
        return [], 0
    try:
        found: JSON = parse_canonical(text.encode())
        entries, dropped = found["entries"], found["dropped"]
        sound = isinstance(entries, list) and type(dropped) is int and 0 <= dropped < 2**31
        if not sound or not all(_is_entry(entry) for entry in entries):
            return [], 1
    except (CanonicalError, KeyError, TypeError):
        return [], 1
    return entries, dropped


def _is_entry(entry: JSON) -> bool:
    if not isinstance(entry, dict) or not entry:
        return False
    return all(name in _KEPT and isinstance(value, str) and _fits(name, value) for name, value in entry.items())


def _fits(name: str, value: str) -> bool:
    kind = "licence" if name == "licence" else "version" if name == "engine_version" else "digest"
    return _SHAPES[kind].match(value) is not None
