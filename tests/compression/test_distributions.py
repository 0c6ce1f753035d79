"""A distribution becomes figures of evidence and comes back without loss; what is no distribution is refused."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog import distributions
from registry.catalog.distributions import DistributionError
from registry.digests import decimal_text, evidence_document, parse_canonical

SMALL: dict[str, Any] = {
    "features": [
        {"counts": [2, 3, 4], "edges": ["-0.5", "1"], "missing": 1, "name": "token_count"},
        {"counts": [10], "edges": [], "missing": 0, "name": "constant"},
    ],
    "n": 10,
    "type": "pressmark/distribution/1",
}


def as_evidence(distribution: dict[str, Any]) -> dict[str, Any]:
    written = evidence_document(
        kind="distribution", method={"name": "observe", "version": "1"}, source="measured", subjects=[],
        figures=distributions.to_figures(distribution),
    )  # fmt: skip
    found = parse_canonical(written)
    assert isinstance(found, dict)
    return found


@st.composite
def any_distribution(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(1, 10**9))
    names = draw(st.lists(st.text(min_size=1, max_size=30).filter(lambda t: t.isprintable()), min_size=1, unique=True))
    features = []
    for name in names[:5]:
        numbers = draw(st.sets(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=9))
        edges = [decimal_text(number) for number in sorted({0.0 if x == 0 else x for x in numbers})]
        cuts = sorted(draw(st.lists(st.integers(0, n), min_size=len(edges) + 1, max_size=len(edges) + 1)))
        bounds = [0, *cuts, n]
        parts = [b - a for a, b in itertools.pairwise(bounds)]
        features.append({"counts": parts[:-1], "edges": edges, "missing": parts[-1], "name": name})
    return {"features": features, "n": n, "type": "pressmark/distribution/1"}


@given(any_distribution())
def test_nothing_is_lost_on_the_way_through_evidence(distribution: dict[str, Any]) -> None:
    assert distributions.from_document(as_evidence(distribution)) == distribution


def test_a_bin_names_its_feature_and_its_upper_edge_and_the_last_one_is_open() -> None:
    figures = distributions.to_figures(SMALL)
    assert [figure["value"] for figure in figures] == ["2", "3", "4", "1", "10", "0"]
    assert {figure["n"] for figure in figures} == {10}
    assert figures[0]["slice"] == [{"name": "feature", "value": "token_count"}, {"name": "upper_edge", "value": "-0.5"}]
    assert figures[2]["slice"][1] == {"name": "upper_edge", "value": ""}
    assert (figures[3]["metric"], figures[3]["slice"]) == (
        "missing_count", [{"name": "feature", "value": "token_count"}],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(n=11), "add up to 10, not to the 11 rows"),
        (lambda d: d.update(n=0), "at least one row"),
        (lambda d: d.update(features=[]), "one feature"),
        (lambda d: d.update(type="pressmark/baseline/1"), "has the members"),
        (lambda d: d.update(rows=[1]), "has the members"),
        (lambda d: d["features"][0].update(edges=["1", "-0.5"]), "do not ascend"),
        (lambda d: d["features"][0].update(edges=["1", "1"]), "do not ascend"),
        (lambda d: d["features"][0].update(edges=[1, 2]), "decimals written as text"),
        (lambda d: d["features"][0].update(counts=[5, 4]), "2 edges make 3 bins"),
        (lambda d: d["features"][0].update(counts=[-1, 6, 4]), "each with a count"),
        (lambda d: d["features"][0].update(missing=None), "each with a count"),
        (lambda d: d["features"][0].update(name="constant"), "stands twice"),
        (lambda d: d["features"][0].update(name=""), "no name"),
        (lambda d: d["features"][0].pop("missing"), "exactly the members"),
    ],
)
def test_what_is_no_distribution_is_refused_by_rule(change: Any, said: str) -> None:
    broken = deepcopy(SMALL)
    change(broken)
    with pytest.raises(DistributionError, match=said):
        distributions.to_figures(broken)


def test_evidence_of_another_kind_holds_no_distribution() -> None:
    with pytest.raises(DistributionError, match="'size'"):
        distributions.from_document({**as_evidence(SMALL), "kind": "size"})


def test_a_figure_taken_out_is_noticed() -> None:
    document = as_evidence(SMALL)
    del document["figures"][1]
    with pytest.raises(DistributionError):
        distributions.from_document(document)
