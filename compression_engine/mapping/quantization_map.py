"""The quantisation map: of every tensor that is stored as something else, and of every activation that is rounded, what it is now.

Rules:
- a list in RESULT.json (`quantization_map`) and the same in the file (`pressmark/quantization_map/1`, see `facts`), by name;
- in the file each way of storing is written once, and tensors point to it by number; digests are bare hexadecimals;
- two entries are the same quantisation when type, scheme, granularity, scales and values are: how the integers were found
  (`rounding`) and what the tensors are called in the file (`parts`) are told, and make no difference;
- what a file says is read with suspicion: another shape of document is refused (map_invalid) and never half read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from compression_engine.canonical import JSON, CanonicalError, canonical, parse_canonical, shown
from compression_engine.errors import EngineError
from compression_engine.methods.report import Parts, Stored

MAP_TYPE = "pressmark/quantization_map/1"
_ALGORITHM = "sha256:"
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_HINT = "The file was changed after it was made, or another program wrote it; take it from where it was made."
_NOT_OF_ONE_MAKING = "The map and the tensors are not of one making: take the file from where it was made."
_COLUMNS = 7
_DIGESTS = ("scale_digest", "values_digest")
_SAME = ("dtype", "scheme", "granularity")


@dataclass(frozen=True)
class QuantizationMap:
    """The entries of a file or a result, and where they are from: `map`, `graph` (read from the operators) or `result`.

    `unmapped`: tensors of the file that hold integers or short floats and that no entry names: name, type, digest.
    """

    entries: Sequence[Stored]
    source: str
    unmapped: Sequence[tuple[str, str, str]] = field(default=())


def in_order(marks: Iterable[Stored]) -> list[Stored]:
    """Entries as a map lists them."""
    return sorted(marks, key=lambda one: (one.tensor, one.parts.values or "", one.dtype, one.granularity))


def entry(mark: Stored) -> dict[str, JSON]:
    """An entry as RESULT.json has it."""
    parts = {"scale": mark.parts.scale, "values": mark.parts.values, "zero": mark.parts.zero}
    return {
        "dtype": mark.dtype,
        "granularity": mark.granularity,
        "parts": parts,
        "rounding": mark.rounding,
        "scale_digest": mark.scale_digest,
        "scheme": mark.scheme,
        "tensor": mark.tensor,
        "values_digest": mark.values_digest,
    }


def from_entries(entries: JSON) -> list[Stored]:
    """The list of a RESULT.json read again; EngineError (map_invalid)."""
    try:
        return [_from_entry(one) for one in entries]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _invalid(error) from error


def in_file(marks: Sequence[Stored]) -> bytes:
    """The canonical document that the file carries; empty where there is nothing to say."""
    if not marks:
        return b""
    ways = sorted({_way(mark) for mark in marks})
    numbers = {way: number for number, way in enumerate(ways)}
    rows = [
        [
            numbers[_way(mark)], mark.tensor, mark.parts.values, mark.parts.scale, mark.parts.zero,
            _bare(mark.values_digest), _bare(mark.scale_digest),
        ]
        for mark in marks
    ]  # fmt: skip
    return canonical({"tensors": rows, "type": MAP_TYPE, "ways": [list(way) for way in ways]})


def from_file(text: str) -> list[Stored]:
    """The map that a file carries, not yet held against its tensors; EngineError (map_invalid)."""
    try:
        document = parse_canonical(text.encode())
        if (
            not isinstance(document, dict)
            or document["type"] != MAP_TYPE
            or set(document) != {"tensors", "type", "ways"}
        ):
            raise ValueError("it is no map of a type that is known here")
        ways = [[_text(word) for word in way] for way in document["ways"]]
        return [_from_row(row, ways) for row in document["tensors"]]
    except (AttributeError, CanonicalError, IndexError, KeyError, TypeError, UnicodeEncodeError, ValueError) as error:
        raise _invalid(error) from error


def differences(first: QuantizationMap, second: QuantizationMap) -> list[dict[str, JSON]]:
    """Tensors that are quantised otherwise in the two, by name.

    `in`: what differs, of dtype, scheme, granularity, scales and values; `only`: in which of the two alone the tensor stands.
    """
    found: list[dict[str, JSON]] = []
    ours, theirs = (_by_name(one.entries) for one in (first, second))
    for name in sorted({*ours, *theirs}):
        if name not in ours or name not in theirs:
            found.append({"in": [], "only": "first" if name in ours else "second", "tensor": name[0]})
        elif what := _apart(ours[name], theirs[name]):
            found.append({"in": what, "only": None, "tensor": name[0]})
    if "result" in (first.source, second.source):
        return found
    rest = [{name: (kind, digest) for name, kind, digest in one.unmapped} for one in (first, second)]
    for bare in sorted({*rest[0], *rest[1]}):
        if bare not in rest[0] or bare not in rest[1]:
            found.append({"in": [], "only": "first" if bare in rest[0] else "second", "tensor": bare})
        elif rest[0][bare] != rest[1][bare]:
            found.append({"in": ["values"], "only": None, "tensor": bare})
    return found


def wrong_scheme(mark: Stored) -> str | None:
    """Why the parts that a mark names are not those of its scheme; None where they are."""
    has_scales = mark.parts.scale is not None or mark.parts.zero is not None
    if (mark.scheme == "float") == has_scales or (mark.scheme == "asymmetric") != (mark.parts.zero is not None):
        return f"scales and zero points are not those of the scheme {mark.scheme}"
    return None


def wrong_count(mark: Stored, numbers: int, values: Sequence[int], scales: Sequence[int]) -> str | None:
    """Why scales of the shape `scales` are not those of a mark's granularity; None where they may be.

    `numbers` is how many numbers the values, of the shape `values`, hold at most; packed ones may be filled up.
    """
    count, words = math.prod(scales), mark.granularity.split("-")
    if mark.granularity == "tensor":
        fits = count == 1
    elif words[0] == "block":
        # packed rows may be filled up; a last block may be shorter, so there is no least number
        fits = numbers < count * (int(words[1]) + 1)
    elif len(scales) == len(values) and (len(values) > 1 or numbers == values[0]):
        # of packed numbers that lie in one row nothing says how many belong to a channel
        fits = all(size in (1, whole) for size, whole in zip(scales, values, strict=True))
    else:
        fits = count <= numbers
    return None if fits else f"the number of scales is not that of the granularity {mark.granularity}"


def wrong_digest(mark: Stored, values: str | None, scales: str | None) -> str | None:
    """Which digest of a mark is not that of the tensors in the file; None where both are."""
    if values != mark.values_digest:
        return "the stored numbers have another digest"
    return "the scales have another digest" if scales != mark.scale_digest else None


def untrue(name: str, mark: Stored, why: str) -> EngineError:
    """The error (map_differs) for a mark in the map of the file `name` that is not so."""
    message = f"The quantisation map of {name} says of {shown(mark.tensor)} what is not so: {why}."
    return EngineError("map_differs", message, _NOT_OF_ONE_MAKING)


def _by_name(entries: Sequence[Stored]) -> dict[tuple[str, int], Stored]:
    """Entries by tensor; of one that is stored more than once, or is weight and activation, by the order in the map."""
    found: dict[tuple[str, int], Stored] = {}
    for one in in_order(entries):
        number = 0
        while (one.tensor, number) in found:
            number += 1
        found[one.tensor, number] = one
    return found


def _apart(ours: Stored, theirs: Stored) -> list[str]:
    what = [name for name in _SAME if getattr(ours, name) != getattr(theirs, name)]
    what += ["scales"] * (ours.scale_digest != theirs.scale_digest)
    return what + ["values"] * (ours.values_digest != theirs.values_digest)


def _way(mark: Stored) -> tuple[str, str, str, str]:
    return mark.dtype, mark.scheme, mark.granularity, mark.rounding


def _bare(digest: str | None) -> str | None:
    return None if digest is None else digest.removeprefix(_ALGORITHM)


def _from_row(row: JSON, ways: list[list[str]]) -> Stored:
    if len(row) != _COLUMNS or type(row[0]) is not int or not 0 <= row[0] < len(ways):
        raise ValueError("a row has not the seven columns")
    dtype, scheme, granularity, rounding = ways[row[0]]
    values, scale, zero = (None if name is None else _text(name) for name in row[2:5])
    digests = [_digest(digest) for digest in row[5:7]]
    parts = Parts(values, scale, zero)
    return Stored(_text(row[1]), dtype, scheme, granularity, rounding, digests[1], digests[0], parts)


def _from_entry(one: Mapping[str, JSON]) -> Stored:
    values, scale, zero = (
        None if (name := one["parts"][part]) is None else _text(name) for part in ("values", "scale", "zero")
    )
    tensor, dtype, scheme, granularity, rounding = (
        _text(one[name]) for name in ("tensor", "dtype", "scheme", "granularity", "rounding")
    )
    if any(one[name] is not None and not one[name].startswith(_ALGORITHM) for name in _DIGESTS):
        raise ValueError("a digest is none")
    scale_digest, values_digest = (_digest(_bare(one[name])) for name in _DIGESTS)
    return Stored(tensor, dtype, scheme, granularity, rounding, scale_digest, values_digest, Parts(values, scale, zero))


def _digest(bare: JSON) -> str | None:
    if bare is None:
        return None
    if not _HEX.match(_text(bare)):
        raise ValueError("a digest is none")
    return f"{_ALGORITHM}{bare}"


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} stands where a text is expected")
    return value


def _invalid(error: Exception) -> EngineError:
    why = f"{error} is missing" if isinstance(error, KeyError) else str(error)[:200]
    return EngineError("map_invalid", f"The quantisation map cannot be read: {why}.", _HINT)
