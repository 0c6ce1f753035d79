"""A model made again is compared tensor by tensor: the same, nearly the same, or another, and the worst tensor is named first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx import numpy_helper

from compression_engine.canonical import parse_canonical
from compression_engine.formats import onnx_io
from compression_engine.pipeline import make
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.rederiving import rederive
from compression_engine.replaying.tensor_differences import TOLERANCE, differences

RECIPE = Recipe("dynamic", (Step("quantize_dynamic"),))


@pytest.fixture
def recorded(mlp_folder: Path, tmp_path: Path) -> Path:
    """What the recipe makes of the parent, saved."""
    path = tmp_path / "child.onnx"
    onnx_io.save(make(onnx_io.load(mlp_folder / "model.onnx"), RECIPE, lambda *told: None).model, path)
    return path


def report(path: Path, parent: Path, recipe: Recipe = RECIPE) -> dict[str, Any]:
    """The comparison, held against its schema."""
    document: dict[str, Any] = parse_canonical(rederive(path, parent=parent, recipe=recipe).canonical())
    text = (resources.files("compression_engine") / "schemas" / "replay-1.json").read_text("utf-8")
    Draft202012Validator(json.loads(text)).validate(document)
    return document


def changed(path: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """The model with the numbers of one tensor changed."""
    model = onnx.load(path)
    tensor = next(one for one in model.graph.initializer if one.name == name)
    values = numpy_helper.to_array(tensor).copy()
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(values), dtype=values.dtype), name))
    onnx_io.save(model, path)
    return path


def facts(document: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["value"] for row in document["evidence"][0]["document"]["environment"]}


def test_the_same_recipe_gives_the_same_bytes_and_says_so(recorded: Path, mlp_folder: Path) -> None:
    document = report(recorded, mlp_folder)
    assert (document["outcome"], document["made_digest"]) == ("bit-exact", document["recorded_digest"])
    assert facts(document)["replay_outcome"] == "bit-exact"
    assert "worst_tensor" not in facts(document)
    figures = {figure["metric"]: figure["value"] for figure in document["evidence"][0]["document"]["figures"]}
    assert (figures["bit_exact"], figures["within_tolerance"], figures["tensors_same_share"]) == ("1", "1", "1")


def test_a_hair_in_a_tensor_with_a_point_is_within_the_tolerance_and_told(recorded: Path, mlp_folder: Path) -> None:
    def hair(values: Any) -> Any:
        values.flat[3] += np.abs(values).max() * TOLERANCE / 4
        return values

    document = report(changed(recorded, "first_bias", hair), mlp_folder)
    assert document["outcome"] == "within-tolerance"
    assert document["tensors"][0]["name"] == "first_bias"
    assert document["tensors"][0]["differing"] == 1
    assert 0 < float(document["tensors"][0]["max_relative_difference"]) <= TOLERANCE


def test_a_second_tensor_of_one_name_hides_nothing(recorded: Path) -> None:
    made, doubled = onnx.load(recorded), onnx.load(recorded)
    honest = next(one for one in doubled.graph.initializer if one.name == "first_bias")
    other = numpy_helper.from_array(numpy_helper.to_array(honest) * 2, honest.name)
    doubled.graph.initializer.insert(0, other)
    found = differences(doubled, made)
    assert not found.within
    assert found.worst is not None
    assert (found.worst.name, found.worst.reason) == ("first_bias", "the name stands twice")


def test_one_altered_weight_is_found_and_its_tensor_named_first(recorded: Path, mlp_folder: Path) -> None:
    def far(values: Any) -> Any:
        values.flat[0] += np.abs(values).max()
        return values

    document = report(changed(recorded, "second_bias", far), mlp_folder)
    assert document["outcome"] == "differs"
    assert document["tensors"][0] == document["tensors"][0] | {"name": "second_bias", "within": False, "differing": 1}
    assert facts(document)["worst_tensor"] == "second_bias"
    assert "'second_bias' (1 of " in rederive(recorded, parent=mlp_folder, recipe=RECIPE).plain


def test_one_step_of_a_quantised_weight_is_outside(recorded: Path, mlp_folder: Path) -> None:
    def step(values: Any) -> Any:
        values.flat[0] = values.flat[0] - 1 if values.flat[0] > 0 else values.flat[0] + 1
        return values

    document = report(changed(recorded, "first_int8", step), mlp_folder)
    assert (document["outcome"], document["tensors"][0]["name"]) == ("differs", "first_int8")


def test_the_furthest_of_several_tensors_comes_first(recorded: Path, mlp_folder: Path) -> None:
    changed(recorded, "first_bias", lambda values: values * 1.5)
    changed(recorded, "second_bias", lambda values: values * 3)
    names = [one["name"] for one in report(recorded, mlp_folder)["tensors"][:2]]
    assert names == ["second_bias", "first_bias"]


def test_a_changed_field_of_the_recipe_names_the_tensor_that_it_changes(recorded: Path, mlp_folder: Path) -> None:
    other = Recipe("dynamic", (Step("quantize_dynamic", {"min_elements": 13_000}),))
    document = report(recorded, mlp_folder, other)
    assert document["outcome"] == "differs"
    assert document["tensors"][0]["name"].startswith("second")
    assert document["tensors"][0]["reason"] in ("it was not made again", "it is not in the recorded model")


def test_what_tools_write_about_themselves_does_not_count_and_a_changed_graph_does(
    recorded: Path, mlp_folder: Path
) -> None:
    model = onnx.load(recorded)
    model.producer_version = "other"
    onnx_io.save(model, recorded)
    assert report(recorded, mlp_folder)["outcome"] == "within-tolerance"
    model.graph.node[0].doc_string = "changed"
    onnx_io.save(model, recorded)
    document = report(recorded, mlp_folder)
    assert (document["outcome"], document["graph_same"]) == ("differs", False)


def test_a_number_that_became_none_is_outside(recorded: Path, mlp_folder: Path) -> None:
    def gone(values: Any) -> Any:
        values.flat[0] = np.nan
        return values

    document = report(changed(recorded, "first_bias", gone), mlp_folder)
    assert document["outcome"] == "differs"
    assert document["tensors"][0]["reason"] == "a value is a number in one of them alone"


def test_the_shell_compares_and_a_difference_is_an_answer(recorded: Path, mlp_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes(RECIPE.canonical())
    changed(recorded, "second_bias", lambda values: values + 1)
    call = [sys.executable, "-m", "compression_engine", "replay", "--parent", str(mlp_folder), "--json"]
    call += ["--recipe", str(tmp_path / "recipe.json"), "--recorded", str(recorded)]
    done = subprocess.run(
        [*call, "--report", str(tmp_path / "report.json")], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["report"] == parse_canonical((tmp_path / "report.json").read_bytes())
    assert answer["report"]["outcome"] == "differs"


def test_nothing_to_do_again_is_refused(mlp_folder: Path, tmp_path: Path) -> None:
    call = [sys.executable, "-m", "compression_engine", "replay", "--parent", str(mlp_folder), "--json"]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=os.environ)
    assert json.loads(done.stdout.splitlines()[-1])["code"] == "result_invalid"
