"""A distribution as figures of evidence, and back: counts over frozen bins of every feature. Pure.

Rules:
- one figure for each bin, in order: metric `bin_count`, unit `row`, its feature and its upper edge in the slice; the last bin is
  open, its upper edge is "";
- one figure for each feature with the rows that have no number there: metric `missing_count`;
- `n` of every figure is the number of rows looked at; the bins of a feature and its missing rows add up to it;
- nothing is lost: `from_document(document of to_figures(d))` is `d`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any

from registry.digests import CanonicalError, is_decimal

KIND = "distribution"
DISTRIBUTION_TYPE = "pressmark/distribution/1"
_OPEN = ""
Figure = dict[str, Any]


class DistributionError(CanonicalError):
    """This is no distribution; the message says which rule is broken."""


def to_figures(distribution: Mapping[str, Any]) -> list[Figure]:
    """The figures of a `pressmark/distribution/1`; DistributionError when it is none."""
    check(distribution)
    n = distribution["n"]
    figures = []
    for feature in distribution["features"]:
        name = feature["name"]
        for count, edge in zip(feature["counts"], [*feature["edges"], _OPEN], strict=True):
            figures.append(_figure("bin_count", count, n, [("feature", name), ("upper_edge", edge)]))
        figures.append(_figure("missing_count", feature["missing"], n, [("feature", name)]))
    return figures


def from_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The distribution in an evidence document of kind `distribution`; DistributionError when it holds none."""
    if document.get("kind") != KIND:
        raise DistributionError(f"the evidence is of kind {document.get('kind')!r}, not {KIND!r}")
    features: dict[str, dict[str, Any]] = {}
    n = 0
    for figure in document["figures"]:
        where = {row["name"]: row["value"] for row in figure["slice"]}
        if "feature" not in where or not str(figure["value"]).isdigit():
            raise DistributionError("a figure has no feature or no count")
        name, count, n = where["feature"], int(figure["value"]), figure["n"]
        feature = features.setdefault(name, {"counts": [], "edges": [], "missing": 0, "name": name})
        if figure["metric"] == "missing_count":
            feature["missing"] = count
            continue
        feature["counts"].append(count)
        if where.get("upper_edge", _OPEN) != _OPEN:
            feature["edges"].append(where["upper_edge"])
    found = {"features": list(features.values()), "n": n, "type": DISTRIBUTION_TYPE}
    check(found)
    return found


def check(distribution: Mapping[str, Any]) -> None:
    """Refuse what is no distribution: DistributionError names the feature and the rule."""
    if set(distribution) != {"features", "n", "type"} or distribution["type"] != DISTRIBUTION_TYPE:
        raise DistributionError(f"a distribution has the members features, n and type, which is {DISTRIBUTION_TYPE!r}")
    n, features = distribution["n"], distribution["features"]
    if not _is_count(n) or n == 0 or not isinstance(features, list) or not features:
        raise DistributionError("a distribution has at least one row and one feature")
    names = [_checked_feature(feature, n) for feature in features]
    if len(set(names)) != len(names):
        raise DistributionError("a feature stands twice")


def _checked_feature(feature: Any, n: int) -> str:
    if not isinstance(feature, Mapping) or set(feature) != {"counts", "edges", "missing", "name"}:
        raise DistributionError("a feature has exactly the members counts, edges, missing and name")
    name, counts, edges, missing = feature["name"], feature["counts"], feature["edges"], feature["missing"]
    if not isinstance(name, str) or not name:
        raise DistributionError("a feature has no name")
    if not isinstance(edges, list) or not all(is_decimal(edge) for edge in edges):
        raise DistributionError(f"{name}: edges are decimals written as text")
    if any(Decimal(low) >= Decimal(high) for low, high in pairwise(edges)):
        raise DistributionError(f"{name}: the edges do not ascend")
    if not isinstance(counts, list) or len(counts) != len(edges) + 1 or not all(map(_is_count, [*counts, missing])):
        raise DistributionError(f"{name}: {len(edges)} edges make {len(edges) + 1} bins, each with a count")
    if sum(counts) + missing != n:
        raise DistributionError(f"{name}: the counts add up to {sum(counts) + missing}, not to the {n} rows")
    return name


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _figure(metric: str, count: int, n: int, where: list[tuple[str, str]]) -> Figure:
    return {
        "high": None, "low": None, "metric": metric, "n": n, "reason": None,
        "slice": [{"name": name, "value": value} for name, value in where],
        "spread": None, "unit": "row", "value": str(count),
    }  # fmt: skip
