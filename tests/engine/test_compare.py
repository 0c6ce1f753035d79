"""Several recipes in one call: each child as it is alone, all on the same rows, one table; what fails stops none of the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from compression_engine.canonical import JSON, canonical, parse_canonical
from compression_engine.command_line import main
from compression_engine.comparing import children as making
from compression_engine.comparing.front import Pace, Point, front
from compression_engine.comparing.requested import begins_alike
from compression_engine.comparing.table import schema_of_comparison
from compression_engine.errors import EngineError
from compression_engine.pipeline import compress as compressed
from compression_engine.recipe import Recipe, Step
from compression_engine.steps.step_states import Begun, StepStates
from tests.engine import pipelines

WEIGHTS = Step("quantize_weights", {"min_elements": 400})
COARSE = Step("quantize_weights", {"min_elements": 400, "bits": 4})
SOME = Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 150})
MOST = Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 970, "scope": "global"})
TUNED = Step("fine_tune", {"epochs": 1, "batch_size": 64})
STATIC = Step("quantize_static")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.write(tmp_path_factory.mktemp("digits"))


class Called:
    """Calls the engine as a shell does."""

    def __init__(self, parent: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.parent, self.folder, self._capsys = parent, folder, capsys
        folder.mkdir()

    def recipe(self, name: str, *steps: Step, seed: int = 5, file: str = "") -> Path:
        path = self.folder / f"{file or name}.json"
        path.write_bytes(Recipe(name, steps, seed).canonical())
        return path

    def compare(self, *recipes: Path, options: tuple[object, ...] = (), out: str = "out") -> tuple[int, dict[str, Any]]:
        named: list[object] = [word for recipe in recipes for word in ("--recipe", recipe)]
        return self._call("compare", [*named, *options], out)

    def compress(self, recipe: Path, options: tuple[object, ...] = (), out: str = "alone") -> dict[str, Any]:
        code, line = self._call("compress", ["--recipe", recipe, *options], out)
        assert code == 0, line
        return line

    def _call(self, verb: str, options: list[object], out: str) -> tuple[int, dict[str, Any]]:
        rows = ["--evaluation", self.parent / "evaluation.npz", "--plan", self.parent / "plan.json"]
        words = [verb, self.parent, "--json", "--quick", "--output", self.folder / out, *rows, *options]
        code = main([str(word) for word in words])
        return code, json.loads(self._capsys.readouterr().out.splitlines()[-1])

    @property
    def training(self) -> tuple[object, ...]:
        return ("--training", self.parent / "training.npz")


@pytest.fixture
def called(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Called:
    return Called(parent, tmp_path / "work", capsys)


def row_of(line: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in line["comparison"]["rows"] if row["name"] == name)


def figure_of(row: dict[str, Any], measure: str) -> dict[str, Any]:
    return next(figure for figure in row["kept"] if figure["measure"] == measure)


def test_each_child_is_the_one_that_its_recipe_makes_alone_and_all_are_in_one_table(called: Called) -> None:
    eight, four = called.recipe("eight", WEIGHTS), called.recipe("four", COARSE)
    code, line = called.compare(eight, four)
    assert code == 0, line
    table = line["comparison"]
    jsonschema.validate(table, schema_of_comparison())
    assert parse_canonical((called.folder / "out" / "comparison.json").read_bytes()) == table
    assert [row["name"] for row in table["rows"]] == ["eight", "four"]
    alone = called.compress(four)["result"]
    assert row_of(line, "four")["child"] == alone["outputs"][0]["digest"]
    beside = parse_canonical((called.folder / "out" / "four" / "RESULT.json").read_bytes())
    assert (beside["outputs"], beside["recipe_digest"]) == (alone["outputs"], alone["recipe_digest"])
    assert {entry["name"] for entry in table["timing"]} == {"eight", "four"}
    assert len({entry["rounds"] for entry in table["timing"]}) == 1  # one run: all were measured in the same rounds
    assert sorted(path.name for path in (called.folder / "out").iterdir()) == ["comparison.json", "eight", "four"]


def test_the_table_says_of_the_answers_what_the_results_say_and_names_the_worst_slice(called: Called) -> None:
    _, line = called.compare(called.recipe("four", COARSE), called.recipe("eight", WEIGHTS))
    row = row_of(line, "four")
    result = parse_canonical((called.folder / "out" / "four" / "RESULT.json").read_bytes())
    told = {
        figure["metric"]: figure["value"]
        for entry in result["evidence"]
        for figure in entry["document"]["figures"]
        if not figure["slice"]
    }
    assert figure_of(row, "top1_agreement")["value"] == told["top1_agreement"]
    lost = round(float(row["right"]["parent"]) - float(row["right"]["share"]), 9)
    assert -float(figure_of(row, "quality_kept")["value"]) == pytest.approx(lost, abs=1e-9)
    assert lost > 0
    worst = {figure["measure"]: figure for figure in row["worst"]}["top1_agreement"]
    assert worst["slice"][0]["name"] == "group"
    assert float(worst["value"]) < float(figure_of(row, "top1_agreement")["value"])


def test_a_recipe_that_fails_stops_none_of_the_others_and_is_told_with_its_error(called: Called) -> None:
    recipes = [called.recipe("static", STATIC), called.recipe("eight", WEIGHTS), called.recipe("tuned", TUNED)]
    code, line = called.compare(*recipes)
    assert code == 0, line
    assert [row["outcome"] for row in line["comparison"]["rows"]] == ["refused", "made", "refused"]
    assert [row["error"] and row["error"]["code"] for row in line["comparison"]["rows"]] == [
        "data_missing",
        None,
        "data_missing",
    ]
    assert line["comparison"]["front"] == ["eight"]
    assert not (called.folder / "out" / "static").exists()


def test_a_fault_of_a_method_is_told_and_stops_none_of_the_others(
    called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compressed

    def faulty(parent: Path, recipe: Recipe, **given: Any) -> Any:
        if recipe.name == "four":
            raise ZeroDivisionError("of this test")
        return whole(parent, recipe, **given)

    monkeypatch.setattr(making, "compress", faulty)
    code, line = called.compare(called.recipe("four", COARSE), called.recipe("eight", WEIGHTS))
    assert code == 0, line
    assert row_of(line, "four")["error"]["code"] == "internal"
    assert row_of(line, "eight")["outcome"] == "made"


def test_where_no_recipe_makes_a_child_there_is_no_table_and_every_reason_is_told(called: Called) -> None:
    code, line = called.compare(called.recipe("static", STATIC), called.recipe("tuned", TUNED))
    assert (code, line["code"]) == (1, "nothing_made")
    assert "static: data_missing" in line["message"]
    assert "tuned: data_missing" in line["message"]
    assert not (called.folder / "out").exists()


def test_a_budget_holds_each_recipe_by_itself(called: Called) -> None:
    recipes = [
        called.recipe("good", SOME, WEIGHTS),
        called.recipe("cut", SOME, MOST),
        called.recipe("bad", MOST, WEIGHTS),
    ]
    code, line = called.compare(*recipes, options=("--at-least", "0.9"))
    assert code == 0, line
    assert [row["outcome"] for row in line["comparison"]["rows"]] == ["made", "ended-early", "refused"]
    assert "broke the budget" in row_of(line, "cut")["ended"]
    assert row_of(line, "cut")["steps_done"] == 1
    assert row_of(line, "bad")["error"]["code"] == "budget_broken"
    assert line["comparison"]["budget"] == {"at_least": "0.9", "loses_at_most": None}


def test_steps_in_common_are_done_once_and_the_children_are_those_of_the_recipes_alone(
    called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    import compression_engine.methods.fine_tune as tuning

    trained, apply = [0], tuning.apply

    def counted(*given: Any) -> Any:
        trained[0] += 1
        return apply(*given)

    eight, four = called.recipe("eight", SOME, TUNED, WEIGHTS), called.recipe("four", SOME, TUNED, COARSE)
    alone = called.compress(four, options=called.training)["result"]["outputs"][0]["digest"]
    monkeypatch.setattr(tuning, "apply", counted)
    code, line = called.compare(eight, four, options=called.training)
    assert code == 0, line
    assert trained == [1]
    assert row_of(line, "four")["child"] == alone


def test_a_step_that_another_processor_or_parent_made_is_not_taken_over(tmp_path: Path) -> None:
    about: dict[str, JSON] = {"parent": "p", "recipe": "one"}
    begun = tmp_path / "begun"
    StepStates(begun, about, "cpu")
    (begun / "step-1").mkdir()
    (begun / "step-1" / "STEP.json").write_bytes(b"{}")
    run, ours = json.loads((begun / "RUN.json").read_bytes()), dict(about) | {"recipe": "two"}
    for name, told, taken in (
        ("same", run, True),
        ("processor", run | {"surroundings": "sha256:" + "0" * 64}, False),
        ("parent", run | {"belongs_to": about | {"parent": "q"}}, False),
    ):
        (begun / "RUN.json").write_bytes(canonical(told))
        StepStates(tmp_path / name, ours, "cpu", Begun(begun, 1))
        assert (tmp_path / name / "step-1" / "STEP.json").exists() == taken


def test_recipes_with_other_seeds_have_no_step_in_common() -> None:
    one = Recipe("one", (SOME, WEIGHTS), 1)
    assert begins_alike(one, Recipe("two", (SOME, COARSE), 1)) == 1
    assert begins_alike(one, Recipe("two", (SOME, COARSE), 2)) == 0
    assert begins_alike(one, Recipe("two", (WEIGHTS,), 1)) == 0


def test_after_a_kill_finished_children_are_not_made_again_and_the_table_is_the_same(
    called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = [called.recipe("eight", WEIGHTS), called.recipe("four", COARSE)]
    _, whole = called.compare(*recipes, out="whole")
    resume: tuple[object, ...] = ("--resume", called.folder / "resume")
    compress, made = compressed, []

    def killed(parent: Path, recipe: Recipe, **given: Any) -> Any:
        if recipe.name == "four":
            raise EngineError("cancelled", "of this test", "")
        return compress(parent, recipe, **given)

    def counted(parent: Path, recipe: Recipe, **given: Any) -> Any:
        made.append(recipe.name)
        return compress(parent, recipe, **given)

    monkeypatch.setattr(making, "compress", killed)
    code, line = called.compare(*recipes, options=resume)
    assert (code, line["code"]) == (1, "cancelled")
    assert not (called.folder / "out").exists()
    monkeypatch.setattr(making, "compress", counted)
    code, line = called.compare(*recipes, options=resume)
    assert (code, made) == (0, ["four"])
    assert line["comparison"]["rows"] == whole["comparison"]["rows"]
    made.clear()
    model = next((called.folder / "resume").glob("*/child/model.onnx"))
    model.write_bytes(model.read_bytes() + b"\0")
    code, line = called.compare(*recipes, options=resume, out="again")
    assert (code, len(made)) == (0, 1)  # the child that somebody changed is made anew
    assert line["comparison"]["rows"] == whole["comparison"]["rows"]


def test_what_no_recipe_asks_for_and_a_recipe_that_stands_twice_are_refused_before_anything_is_made(
    called: Called,
) -> None:
    eight, four = called.recipe("eight", WEIGHTS), called.recipe("four", COARSE)
    code, line = called.compare(eight, four, options=called.training)
    assert (code, line["code"]) == (1, "option_unused")
    code, line = called.compare(eight, four, called.recipe("eight", WEIGHTS, file="copy"))
    assert (code, line["code"]) == (1, "recipe_twice")


def test_two_recipes_of_one_name_have_folders_of_their_own(called: Called) -> None:
    code, line = called.compare(called.recipe("mine", WEIGHTS), called.recipe("mine", COARSE, file="other"))
    assert code == 0, line
    assert [row["folder"] for row in line["comparison"]["rows"]] == ["mine", "mine-2"]


def test_a_recipe_that_is_called_as_the_table_is_has_a_folder_of_another_name(called: Called) -> None:
    code, line = called.compare(called.recipe("comparison.json", WEIGHTS))
    assert code == 0, line
    assert sorted(path.name for path in (called.folder / "out").iterdir()) == ["comparison.json", "comparison.json-2"]


def test_a_child_is_made_anew_where_a_tokenizer_beside_its_parent_is_another_one(
    called: Called, tmp_path: Path
) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(called.parent, parent)
    before = making._digest_of_model(parent)
    (parent / "tokenizer.json").write_text("{}")
    assert making._digest_of_model(parent) != before
    assert making._digest_of_model(parent / "model.onnx") == making._digest_of_model(parent)


def test_a_person_reads_a_table_with_every_recipe_and_why_one_was_refused(
    called: Called, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "compare",
        called.parent,
        "--quick",
        "--output",
        called.folder / "out",
        "--plan",
        called.parent / "plan.json",
    ]
    words += ["--evaluation", called.parent / "evaluation.npz", "--recipe", called.recipe("four", COARSE)]
    assert main([str(word) for word in [*words, "--recipe", called.recipe("static", STATIC)]]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].split()[:4] == ["recipe", "size", "smaller", "kept"]
    assert "static: data_missing: Step 1: quantize_static needs calibration rows" in said
    assert "(group " in said


@pytest.mark.parametrize(
    ("points", "best"),
    [
        ([Point("a", 10, 0.1, Pace(0.5, 0.4, 0.6)), Point("b", 20, 0.2, Pace(0.9, 0.8, 1.0))], ["a"]),
        ([Point("a", 10, 0.1, Pace(0.5, 0.4, 0.6)), Point("b", 20, 0.0, Pace(0.9, 0.8, 1.0))], ["a", "b"]),
        # nobody is beaten by noise, and who is surely faster stays
        ([Point("a", 10, 0.1, Pace(0.55, 0.4, 0.7)), Point("b", 10, 0.1, Pace(0.5, 0.4, 0.6))], ["a", "b"]),
        ([Point("a", 10, 0.1, Pace(0.9, 0.8, 1.0)), Point("b", 10, 0.1, Pace(0.5, 0.4, 0.6))], ["b"]),
        ([Point("a", 10, 0.1, Pace(0.9)), Point("b", 11, 0.1, Pace(0.5))], ["a", "b"]),
    ],
)  # fmt: skip
def test_on_the_front_is_who_no_other_beats_in_size_time_and_quality(points: list[Point], best: list[str]) -> None:
    assert front(points) == best
