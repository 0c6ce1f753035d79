"""A data profile as tables: every figure with its share and its n, other data beside it, its files, its classes. Pure.

Rules:
- a share stands as per cent beside the sentence that counts it; what was not measured says why and is no zero;
- other data stand under the names that the reader may read, files under their paths; what has none stands by its digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Document = Mapping[str, Any]
_PERCENT = Decimal(100)


@dataclass(frozen=True)
class Line:
    """One figure: what, how much, of how many, in a sentence."""

    name: str
    shown: str
    n: int
    sentence: str


@dataclass(frozen=True)
class Beside:
    """Other data, or one file of the data beside it: how many rows stand there too."""

    name: str
    rows: int
    same: str
    near: str
    without_identifiers: str


def whole(document: Document) -> list[Line]:
    """The figures over all rows."""
    return [_line(figure, plain) for figure, plain in _figures(document) if not figure["slice"]]


def classes(document: Document) -> list[Line]:
    """The share of each class of labels, the rarest first."""
    return [
        Line(str(figure["slice"][0]["value"]), shown_value(figure), figure["n"], plain)
        for figure, plain in _figures(document)
        if [part["name"] for part in figure["slice"]] == ["class"]
    ]


def beside(document: Document, names: Mapping[str, str]) -> list[Beside]:
    """How many rows stand in each of the other data. `names`: what the digests are called for this reader."""
    rows = document["data"]["rows"]
    return [
        _beside(names.get(other["digest"], other["digest"][:19]), other, other["rows"], rows)
        for other in document["against"]
    ]


def files(document: Document, names: Mapping[str, str]) -> list[Beside]:
    """The files of the data, and how many rows of each stand in the other data taken together. `names`: paths by digest."""
    found = []
    for file in document["data"].get("files", []):
        there = [
            one for other in document["against"] for one in other.get("files", []) if one["digest"] == file["digest"]
        ]
        bare = [one["same_rows_without_identifiers"] for one in there]
        counted = {
            "same_rows": sum(one["same_rows"] for one in there),
            "near_rows": sum(one["near_rows"] for one in there),
            "same_rows_without_identifiers": None if None in bare else sum(bare),
        }
        found.append(_beside(names.get(file["digest"], file["digest"][:19]), counted, file["rows"], file["rows"]))
    return found


def shown_value(figure: Mapping[str, Any]) -> str:
    """A share as per cent, anything else as it stands; why it is not there where it is not."""
    if figure["value"] is None:
        return f"not measured: {figure['reason']}" if figure["reason"] else "not measured"
    if figure["unit"] == "share":
        return _share(Decimal(figure["value"]))
    return _rounded(Decimal(figure["value"]))


def _figures(document: Document) -> Sequence[tuple[Mapping[str, Any], str]]:
    return list(zip(document["figures"], document["plain"], strict=True))


def _line(figure: Mapping[str, Any], plain: str) -> Line:
    words = [word for word in str(figure["metric"]).split("_") if word != "share"]
    return Line(" ".join(words).capitalize(), shown_value(figure), figure["n"], plain)


def _beside(name: str, counted: Mapping[str, Any], rows: int, of: int) -> Beside:
    bare = counted.get("same_rows_without_identifiers")
    told = "–" if bare is None else _part(bare, of)
    return Beside(name, rows, _part(counted["same_rows"], of), _part(counted["near_rows"], of), told)


def _part(count: int, of: int) -> str:
    return f"{count:,} ({_share(Decimal(count) / Decimal(of))})" if of else f"{count:,}"


def _share(share: Decimal) -> str:
    text = _rounded(share * _PERCENT)
    return f"{'under 0.01' if text == '0' and share else text} %"


def _rounded(value: Decimal) -> str:
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
