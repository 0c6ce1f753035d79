"""Drift counts: frozen bins stay, no row leaves, other traffic shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compression_engine.canonical import canonical
from compression_engine.data import read_rows
from compression_engine.errors import DataError
from compression_engine.measure.distribution import choose_edges, measure_distribution, parse_bins
from compression_engine.pipeline import open_pair
from compression_engine.progress import silent
from tests.engine import nets


def observed(folder: Path, rows: dict[str, Any], bins: Any = None, parent: bool = True) -> dict[str, Any]:
    path = folder / "model.onnx"
    data = read_rows(nets.save_rows(rows, folder / "window.npz"))
    model, original, encoder = open_pair(path, path if parent else None, data, 1)
    return measure_distribution(model, original, encoder, None if bins is None else parse_bins(bins), silent)


def test_the_baseline_has_ten_bins_that_hold_every_row_once(mlp_folder: Path) -> None:
    found = observed(mlp_folder, nets.rows_for("x", 200))
    names = [feature["name"] for feature in found["features"]]
    assert names == ["input_mean_x", "cosine_to_parent", *(f"output_projection_{i}" for i in range(8))]
    assert found["n"] == 200
    for feature in found["features"]:
        assert sum(feature["counts"]) == 200
        assert len(feature["counts"]) == len(feature["edges"]) + 1
        if feature["name"].startswith("output"):
            assert len(feature["counts"]) == 10
            assert max(feature["counts"]) - min(feature["counts"]) <= 2
    assert canonical(found)


def test_frozen_bins_are_kept_and_the_same_rows_give_the_same_counts(mlp_folder: Path) -> None:
    rows = nets.rows_for("x", 200)
    baseline = observed(mlp_folder, rows)
    assert observed(mlp_folder, rows, bins=baseline) == baseline


def test_other_traffic_moves_the_counts_and_like_traffic_hardly(mlp_folder: Path) -> None:
    baseline = observed(mlp_folder, nets.rows_for("x", 400))
    like = observed(mlp_folder, nets.rows_for("x", 400, seed=1), bins=baseline)
    shifted = nets.rows_for("x", 400, seed=2)
    shifted["x"] += 0.5
    other = observed(mlp_folder, shifted, bins=baseline)

    def moved(window: dict[str, Any]) -> int:
        return sum(
            abs(a - b) for a, b in zip(window["features"][0]["counts"], baseline["features"][0]["counts"], strict=True)
        )

    assert moved(like) < 200
    assert moved(other) > 600


def test_edges_are_left_closed_and_open_at_both_ends(mlp_folder: Path) -> None:
    bins = {"features": [{"name": "input_mean_x", "edges": ["0", "1"]}]}
    rows = {"x": np.repeat(np.array([[-5.0], [0.0], [0.5], [1.0], [9.0]], dtype=np.float32), 64, axis=1)}
    assert observed(mlp_folder, rows, bins=bins)["features"][0]["counts"] == [1, 2, 2]


def test_deciles_of_few_different_values_are_given_once() -> None:
    assert choose_edges(np.array([3.0] * 50)) == (3.0,)
    assert choose_edges(np.array([np.nan])) == ()
    assert len(choose_edges(np.arange(100.0))) == 9


def test_a_value_that_is_no_number_counts_as_missing(tmp_path: Path) -> None:
    net = nets.mlp()
    bias = next(tensor for tensor in net.graph.initializer if tensor.name == "second_bias")
    bias.raw_data = np.full(48, np.nan, dtype=np.float32).tobytes()
    nets.save(net, tmp_path)
    found = observed(tmp_path, nets.rows_for("x", 10), parent=False)
    by_name = {feature["name"]: feature for feature in found["features"]}
    assert by_name["output_projection_0"]["missing"] == 10
    assert by_name["input_mean_x"]["missing"] == 0
    assert "cosine_to_parent" not in by_name


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        ({}, "no features"),
        ({"features": [{"name": "a"}]}, "no edges"),
        ({"features": [{"name": "a", "edges": [1]}]}, "decimals"),
        ({"features": [{"name": "a", "edges": ["1e3"]}]}, "decimals"),
        ({"features": [{"name": "a", "edges": ["2", "1"]}]}, "ascend"),
        ({"features": [{"name": "nowhere", "edges": ["1"]}]}, "not here"),
    ],
)
def test_bins_that_do_not_fit_are_refused(mlp_folder: Path, bins: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        observed(mlp_folder, nets.rows_for("x", 10), bins=bins)
