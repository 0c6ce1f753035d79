"""Names the model that a file was made from, among those in a folder, by the fingerprints of its weights.

Rules:
- a weight of the file matches the weight of a candidate that it is most alike, of the same two sizes, whatever both are called, if
  they agree by at least a half and chance gives that in less than one of 10^9 cases (`fingerprint`);
- the share of a candidate is that of the numbers in the file's comparable weights that stand in matching ones;
- the file is named after the candidate with the largest share, if that is at least a half; among equal shares after the one whose
  weights agree more (a fine-tuned model before what it was tuned from); else the answer is `unknown`;
- candidates that cannot be told apart from the first are told beside it; what could not be read is told with its reason;
- nothing is run, no weight is brought in: of each at most 4,096 numbers are read, and again for each other order that is tried.
Limits: a weight of other sizes has no match (pruned channels, several weights fused into one, one cut into several); what is shared
by construction (a basis of a Fourier transform, sinusoids) matches between strangers, and counts by its size.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import JSON, decimal_text
from compression_engine.errors import EngineError
from compression_engine.formats.safetensors_model import INDEX_SUFFIX
from compression_engine.identifying.fingerprint import (
    Key,
    Likeness,
    Print,
    Signs,
    alike,
    chance_text,
    key_of,
    print_of,
    views_of,
)
from compression_engine.identifying.weights import Weight, weights_of
from compression_engine.progress import Progress, silent

LEAST_AGREEMENT, LEAST_SHARE = 0.5, 0.5
_LOG_CHANCE_MOST = -20.7  # one of 10^9
_WORTH_A_LOOK = 0.25
_EQUAL = 0.005
_FILES_MAX = 10_000
_SUFFIXES = (".onnx", ".safetensors", INDEX_SUFFIX)
_DIGITS = 4


@dataclass(frozen=True)
class Match:
    """A weight of the file, the weight of a candidate that it matches, and how much."""

    name: str
    elements: int
    theirs: str
    likeness: Likeness


@dataclass(frozen=True)
class Candidate:
    """What one model of the folder has in common with the file."""

    path: Path
    share: float
    agreement: float
    matches: Sequence[Match]

    @property
    def rank(self) -> tuple[float, float]:
        """By which candidates are ordered."""
        return round(self.share, _DIGITS), self.agreement


@dataclass(frozen=True)
class Identity:
    """The answer: candidates, the nearest first; how many comparisons were made; what could not be read."""

    file: Path
    elements: int
    candidates: Sequence[Candidate]
    comparisons: int
    left_out: Sequence[tuple[Path, str]]

    @property
    def nearest(self) -> Candidate | None:
        """The model that the file was made from; None where none of them is."""
        first = self.candidates[0] if self.candidates else None
        return first if first is not None and first.share >= LEAST_SHARE else None

    @property
    def margin(self) -> float:
        """How much larger the first share is than that of the next candidate which is not its equal."""
        others = [one.share for one in self.candidates[1:] if one not in self.equals]
        return self.candidates[0].share - max(others, default=0.0) if self.candidates else 0.0

    @property
    def equals(self) -> list[Candidate]:
        """Candidates that share and agree as much as the nearest one does."""
        first = self.nearest
        if first is None:
            return []
        near = (one for one in self.candidates[1:] if first.share - one.share <= _EQUAL)
        return [one for one in near if first.agreement - one.agreement <= _EQUAL]

    def document(self, folder: Path) -> dict[str, JSON]:
        """The answer as JSON; paths are those within the folder."""
        first = self.nearest

        def path(one: Candidate) -> str:
            return one.path.relative_to(folder).as_posix()

        return {
            "candidates": [
                {"agreement": _text(one.agreement), "path": path(one), "share": _text(one.share)} for one in self.candidates
            ],
            "chance": None if first is None else self.chance(first),
            "comparisons": self.comparisons,
            "elements": self.elements,
            "equals": [path(one) for one in self.equals],
            "file": self.file.name,
            "left_out": [{"path": one.relative_to(folder).as_posix(), "reason": why} for one, why in self.left_out],
            "margin": _text(self.margin),
            "match": None if first is None else path(first),
            "weights": [] if first is None else [_entry(match) for match in first.matches],
        }  # fmt: skip

    def chance(self, candidate: Candidate) -> str:
        """How likely the best single match would be among strangers, as a power of ten that it is below."""
        return chance_text(min(match.likeness.log_chance for match in candidate.matches), self.comparisons)

    def plain(self, folder: Path) -> str:
        """The answer in words."""
        first = self.nearest
        if first is None:
            best = f": the nearest shares {self.candidates[0].share:.0%} of its numbers" if self.candidates else ""
            return f"unknown{best}."
        said = f"{first.path.relative_to(folder).as_posix()}: {first.share:.1%} of the numbers are in {len(first.matches)} weights "
        said += f"that match, whose signs agree by {first.agreement:.3f}; the next model shares {first.share - self.margin:.1%}; "
        said += f"chance gives such a match in less than {self.chance(first)} of cases."
        also = [one.path.relative_to(folder).as_posix() for one in self.equals]
        return said + (f" Not to be told apart from it: {', '.join(also)}." if also else "")


def identify(file: Path, folder: Path, progress: Progress = silent) -> Identity:
    """Compares a model with all models in a folder and below.

    Raises EngineError: not_found, nothing_to_compare (no weight, or no model), and what reading `file` raises.
    """
    if not folder.is_dir():
        raise EngineError(
            "not_found", f"There is no folder {folder}.", "Give the folder with the models to compare with."
        )
    paths = [path for path in _models(folder) if path.resolve() != file.resolve()]
    if not paths:
        raise EngineError("nothing_to_compare", f"{folder} holds no other model.", f"It takes {', '.join(_SUFFIXES)}.")
    with ExitStack() as stack:
        asked = [_Asked(one) for one in _prints(weights_of(file, stack))]
        if not asked:
            hint = "Weights are matrices of at least 256 numbers; is the file a model?"
            raise EngineError("nothing_to_compare", f"{file.name} has no weight to compare.", hint)
        found: list[Candidate] = []
        left_out: list[tuple[Path, str]] = []
        comparisons = 0
        for done, path in enumerate(paths):
            progress("identify", done, len(paths), path.name)
            try:
                with ExitStack() as inner:
                    held = _Held(weights_of(path, inner))
            except EngineError as error:
                left_out.append((path, error.code))
                continue
            found.append(_candidate(path, asked, held))
            comparisons += held.comparisons
        progress("identify", len(paths), len(paths), "all models compared")
    found.sort(key=lambda one: (-one.rank[0], -one.rank[1], one.path.as_posix()))
    return Identity(file, sum(one.weight.elements for one in asked), found, comparisons, left_out)


class _Asked:
    """A weight of the file with its signs in all orders; those that are seldom needed are read when they are."""

    def __init__(self, found: Print) -> None:
        self.weight, self.first = found.weight, found.signs
        self._others: list[Signs] | None = None

    def others(self) -> list[Signs]:
        if self._others is None:
            self._others = list(views_of(self.weight))
        return self._others


class _Held:
    """The fingerprints of a candidate by the sizes of the weights."""

    def __init__(self, weights: Sequence[Weight]) -> None:
        self.prints: dict[Key, list[Print]] = defaultdict(list)
        for one in _prints(weights):
            self.prints[key_of(one.weight)].append(one)
        self._tables: dict[Key, NDArray[np.float32]] = {
            key: np.stack([one.signs for one in prints]) for key, prints in self.prints.items()
        }
        self.comparisons = 0

    def nearest(self, key: Key, signs: Signs) -> tuple[Print, Likeness] | None:
        """The weight that is most alike; None where none is worth a look."""
        table = self._tables.get(key)
        if table is None:
            return None
        self.comparisons += len(table)
        products = table * signs
        counts = np.maximum(1.0, np.abs(products).sum(axis=(1, 2)))
        turned = np.maximum(np.abs(products.sum(axis=2)).sum(axis=1), np.abs(products.sum(axis=1)).sum(axis=1))
        raw = np.maximum(products.sum(axis=(1, 2)), turned) / counts
        best = int(raw.argmax())
        if raw[best] < _WORTH_A_LOOK:
            return None
        return self.prints[key][best], alike(signs, table[best])


def _prints(weights: Iterable[Weight]) -> Iterator[Print]:
    """The fingerprints of weights; one whose graph contradicts itself (sizes that are not those of the bytes) has none."""
    for weight in weights:
        try:
            yield print_of(weight)
        except (IndexError, ValueError, OverflowError):
            continue


def _candidate(path: Path, asked: Sequence[_Asked], held: _Held) -> Candidate:
    matches = [match for one in asked if (match := _match(one, held)) is not None]
    whole, matched = sum(one.weight.elements for one in asked), sum(match.elements for match in matches)
    agreement = sum(match.likeness.agreement * match.elements for match in matches) / matched if matched else 0.0
    return Candidate(path, matched / whole, agreement, matches)


def _match(one: _Asked, held: _Held) -> Match | None:
    key = key_of(one.weight)
    if key not in held.prints:
        return None
    found = held.nearest(key, one.first)
    if found is None or not _counts(found[1]):
        tried = (held.nearest(key, signs) for signs in one.others())
        found = max((other for other in tried if other is not None), key=lambda other: other[1].agreement, default=None)
    if found is None or not _counts(found[1]):
        return None
    return Match(one.weight.name, one.weight.elements, found[0].weight.name, found[1])


def _counts(likeness: Likeness) -> bool:
    return likeness.agreement >= LEAST_AGREEMENT and likeness.log_chance <= _LOG_CHANCE_MOST


def _models(folder: Path) -> list[Path]:
    """The models in a folder and below, in order; shards stand under their index alone, links are no models."""
    found = sorted(
        path for path in folder.rglob("*") if path.name.endswith(_SUFFIXES) and path.is_file() and not path.is_symlink()
    )
    if len(found) > _FILES_MAX:
        hint = "Compare with a smaller folder."
        raise EngineError("limit_exceeded", f"{folder} has more than {_FILES_MAX:,} models.", hint)
    shards = {path.parent / name for path in found if path.name.endswith(INDEX_SUFFIX) for name in _shards(path)}
    return [path for path in found if path not in shards]


def _shards(index: Path) -> Iterator[str]:
    """The files that an index names, as far as it can be read; what is wrong with it is told when it is opened."""
    try:
        named = json.loads(index.read_bytes())["weight_map"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    yield from {name for name in named if isinstance(name, str)}


def _entry(match: Match) -> dict[str, JSON]:
    return {
        "agreement": _text(match.likeness.agreement), "elements": match.elements, "name": match.name, "theirs": match.theirs,
    }  # fmt: skip


def _text(number: float) -> str | None:
    return decimal_text(round(number, _DIGITS))
