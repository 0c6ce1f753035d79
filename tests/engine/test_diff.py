"""Whether two files are the same quantisation: yes, or which tensors differ in what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compression_engine.canonical import canonical, parse_canonical
from compression_engine.command_line import main
from compression_engine.mapping.map_reading import read_map
from compression_engine.mapping.quantization_map import differences
from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import Recipe, Step
from tests.engine import made, nets
from tests.engine.test_quantization_map import rows_of


def of_step(**parameters: Any) -> Recipe:
    return Recipe("one", (Step("quantize_weights", parameters),))


def asked(first: Path, second: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["diff", str(first), str(second), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_two_files_of_one_recipe_are_the_same_quantisation_whoever_made_them(
    mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = made.child(mlp_folder, made.WEIGHTS, tmp_path / "one", licence="MIT")
    second = made.child(mlp_folder, of_step(min_elements=2000), tmp_path / "two")
    assert first.read_bytes() != second.read_bytes()
    code, answer = asked(first, second, capsys)
    assert (code, answer["same"], answer["differences"], answer["tensors"]) == (0, True, [], [2, 2])


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ({}, {"bits": 4}, ["dtype", "scales", "values"]),
        ({"bits": 4}, {"bits": 4, "rounding": "mse"}, ["scales", "values"]),
        ({"bits": 4}, {"bits": 4, "symmetric": False}, ["dtype", "scheme", "scales", "values"]),
        (
            {"granularity": "block"},
            {"granularity": "block", "block_size": 64},
            ["granularity", "scales", "values"],
        ),
    ],
)
def test_each_tensor_that_differs_is_named_with_what_differs(
    one: dict[str, Any],
    other: dict[str, Any],
    what: list[str],
    mlp_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = (made.child(mlp_folder, of_step(**way), tmp_path / str(i)) for i, way in enumerate((one, other)))
    code, answer = asked(first, second, capsys)
    assert (code, answer["same"]) == (1, False)
    assert answer["differences"] == [{"in": what, "only": None, "tensor": name} for name in ("first", "second")]


def test_one_number_of_one_tensor_is_a_difference_of_that_tensor(
    mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = made.child(mlp_folder, made.WEIGHTS, tmp_path / "one")
    net = nets.mlp()
    array = nets.weights(256, 48, seed=3)
    array[0, 0] = -array[0, 0]
    net.graph.initializer[2].raw_data = array.tobytes()
    nets.save(net, tmp_path / "other")
    second = made.child(tmp_path / "other", made.WEIGHTS, tmp_path / "two")
    code, answer = asked(first, second, capsys)
    assert code == 1
    assert answer["differences"] == [{"in": ["values"], "only": None, "tensor": "second"}]


def test_the_same_integers_computed_otherwise_are_another_quantisation(
    mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = made.child(mlp_folder, made.WEIGHTS, tmp_path / "one")
    second = made.child(mlp_folder, made.DYNAMIC, tmp_path / "two")
    code, answer = asked(first, second, capsys)
    assert code == 1
    assert {"in": [], "only": "second", "tensor": "x"} in answer["differences"]
    assert "second" not in [one["tensor"] for one in answer["differences"]]


def test_a_file_is_compared_with_a_result(mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = Settings(rounds=3, memory_repeats=1)
    rows = mlp_folder / "rows.npz"
    compress(mlp_folder, made.WEIGHTS, evaluation=rows, output_folder=tmp_path / "out", settings=quick)
    result = tmp_path / "out" / "RESULT.json"
    assert asked(tmp_path / "out", result, capsys)[0] == 0
    other = made.child(mlp_folder, made.FOUR, tmp_path / "four")
    code, answer = asked(result, other, capsys)
    assert (code, answer["sources"]) == (1, ["result", "map"])
    assert {one["tensor"] for one in answer["differences"]} == {"first", "second"}


def test_a_result_of_before_there_were_maps_says_so(
    mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = Settings(rounds=3, memory_repeats=1)
    compress(mlp_folder, made.WEIGHTS, output_folder=tmp_path / "out", settings=quick)
    document = parse_canonical((tmp_path / "out" / "RESULT.json").read_bytes())
    del document["quantization_map"], document["licence"]
    (tmp_path / "old.json").write_bytes(canonical(document))
    code, answer = asked(tmp_path / "out", tmp_path / "old.json", capsys)
    assert (code, answer["code"]) == (1, "map_missing")


def test_leaving_a_tensor_out_of_the_map_does_not_hide_it(mlp_folder: Path, tmp_path: Path) -> None:
    first = made.child(mlp_folder, of_step(bits=4), tmp_path / "one")
    second = made.child(mlp_folder, of_step(bits=4, rounding="mse"), tmp_path / "two")
    files = [
        made.changed(file, tmp_path / f"short-{i}", rows_of(lambda rows: rows.pop()))
        for i, file in enumerate((first, second))
    ]
    found = differences(*(read_map(file) for file in files))
    assert {"in": ["values"], "only": None, "tensor": "second_int4"} in found


def test_a_person_reads_what_differs(mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = made.child(mlp_folder, made.WEIGHTS, tmp_path / "one")
    assert main(["diff", str(first), str(first)]) == 0
    assert "The same quantisation: 2 tensors." in capsys.readouterr().out
    second = made.child(mlp_folder, made.FOUR, tmp_path / "two")
    assert main(["diff", str(first), str(second)]) == 1
    assert "first: other dtype, granularity, scales, values" in capsys.readouterr().out
