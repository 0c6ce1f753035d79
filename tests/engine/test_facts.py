"""What a made file says about itself: facts of what went in, of the last compression first, and nothing that its parent made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compression_engine import facts
from compression_engine.canonical import digest_of, parse_canonical
from compression_engine.command_line import main
from compression_engine.environment import ENGINE_VERSION
from compression_engine.errors import EngineError
from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import Recipe, Step
from tests.engine import made, nets

GPTQ = Recipe("gptq", (Step("quantize_weights", {"bits": 4, "granularity": "block", "rounding": "gptq"}),))


def test_the_rows_that_steps_looked_at_and_the_licence_stand_in_the_file(mlp_folder: Path, tmp_path: Path) -> None:
    rows = nets.save_rows(nets.rows_for("x", seed=5), tmp_path / "rows.npz")
    file = made.child(mlp_folder, GPTQ, tmp_path / "out", calibration=rows, licence="Apache-2.0 OR MIT")
    said = made.metadata(file)
    del said[facts.MAP]
    assert said == {
        "pressmark.calibration_digest": digest_of(rows.read_bytes()),
        "pressmark.engine_version": ENGINE_VERSION,
        "pressmark.licence": "Apache-2.0 OR MIT",
        "pressmark.parent_digest": digest_of((mlp_folder / "model.onnx").read_bytes()),
        "pressmark.recipe_digest": GPTQ.digest(),
    }


def test_rows_that_no_step_looked_at_are_no_fact(mlp_folder: Path, tmp_path: Path) -> None:
    rows = mlp_folder / "rows.npz"
    file = made.child(mlp_folder, made.WEIGHTS, tmp_path / "out", calibration=rows)
    assert "pressmark.calibration_digest" not in made.metadata(file)


@pytest.mark.parametrize(
    "licence",
    [
        *(
            "",
            " MIT",
            "MIT\n",
            "M" * 401,
            "MIT; rm",
            "\N{SNOWMAN}",
            "MIT OR ",
            "foo bar",
            "MIT AND",
            "OR MIT",
            "(MIT",
            "MIT)",
        ),
        *(
            "()",
            "MIT (BSD-3-Clause)",
            "(MIT) WITH LLVM-exception",
            "MIT WITH a WITH b",
            "MIT WITH (a)",
            "MIT AND OR MIT",
            "a++",
        ),
    ],
)
def test_what_has_not_the_form_of_a_licence_is_refused_before_any_work(
    licence: str, mlp_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineError) as refused:
        compress(mlp_folder, made.WEIGHTS, output_folder=tmp_path / "out", licence=licence)
    assert refused.value.code == "licence_invalid"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "licence",
    [
        *("MIT", "GPL-2.0+", "GPL-2.0-or-later WITH Bison-exception-2.2", "(MIT OR (Apache-2.0 AND BSD-3-Clause))"),
        *("DocumentRef-x:LicenseRef-y", "MIT or Apache-2.0", "MIT WITH a OR b WITH c"),
    ],
)
def test_what_has_the_form_of_a_licence_is_taken(licence: str) -> None:
    assert facts.check_licence(licence) == licence


def test_the_result_records_the_licence_of_the_command_line(
    mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["compress", str(mlp_folder), "--recipe", "smaller-same-speed", "--output", str(tmp_path / "out")]
    assert main([*call, "--licence", "LicenseRef-ours", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["result"]["licence"] == "LicenseRef-ours"
    assert parse_canonical((tmp_path / "out" / "RESULT.json").read_bytes())["licence"] == "LicenseRef-ours"
    assert made.metadata(tmp_path / "out" / "model.onnx")["pressmark.licence"] == "LicenseRef-ours"


def test_facts_of_the_compression_before_are_history_and_not_facts_of_this_one(
    mlp_folder: Path, tmp_path: Path
) -> None:
    half = Recipe("half", (Step("quantize_weights", {"exclude": ("second",)}),))
    first = made.child(mlp_folder, half, tmp_path / "one", licence="MIT")
    second = made.child(first.parent, Recipe("rest", (Step("convert_fp16"),)), tmp_path / "two")
    said = made.metadata(second)
    assert "pressmark.licence" not in said
    assert said["pressmark.parent_digest"] == digest_of(first.read_bytes())
    before = {name: value for name, value in made.metadata(first).items() if name != facts.MAP}
    entry = {name.removeprefix("pressmark."): value for name, value in before.items()}
    assert parse_canonical(said["pressmark.history"].encode()) == {"dropped": 0, "entries": [entry]}


def described(before: dict[str, str]) -> dict[str, str]:
    return facts.Facts("sha256:" + "a" * 64, "sha256:" + "b" * 64).beside(before)


def test_history_is_bounded_and_says_how_much_is_gone() -> None:
    said: dict[str, str] = {}
    for _ in range(12):
        said = described(said)
    history = parse_canonical(said["pressmark.history"].encode())
    assert (len(history["entries"]), history["dropped"]) == (8, 3)
    assert len(said["pressmark.history"]) < 4000


@pytest.mark.parametrize(
    "before",
    [
        {"pressmark.run_id": "7", "pressmark.made_at": "today"},
        {"pressmark.parent_digest": "mine", "pressmark.licence": "x\ny"},
        {"pressmark.quantization_map.1": "{}", "pressmark.quantization_map": "{}"},
    ],
)
def test_what_the_parent_made_up_under_our_names_is_gone(before: dict[str, str]) -> None:
    said = described(before | {"labels": "yes,no"})
    assert set(said) == {"labels", "pressmark.engine_version", "pressmark.parent_digest", "pressmark.recipe_digest"}


@pytest.mark.parametrize(
    "history", ["", "{}", "[1]", '{"dropped":-1,"entries":[]}', '{"dropped":0,"entries":[{"run":"7"}]}']
)
def test_a_history_that_is_none_of_ours_counts_as_one_that_is_gone(history: str) -> None:
    said = described({"pressmark.history": history})
    assert parse_canonical(said["pressmark.history"].encode()) == {"dropped": 1, "entries": []}


def test_nothing_in_a_file_says_when_or_where_or_by_whom_it_was_made(mlp_folder: Path, tmp_path: Path) -> None:
    quick = Settings(rounds=3, memory_repeats=1)
    for name in ("one", "another place"):
        compress(mlp_folder, made.DYNAMIC, output_folder=tmp_path / name, settings=quick)
    one, other = ((tmp_path / name / "model.onnx").read_bytes() for name in ("one", "another place"))
    assert one == other
    allowed: Any = {
        f"pressmark.{name}" for name in ("engine_version", "parent_digest", "quantization_map", "recipe_digest")
    }
    assert set(made.metadata(tmp_path / "one" / "model.onnx")) == allowed
