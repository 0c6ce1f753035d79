"""Training rows that nothing is learned from stand in the result, in words and in every figure; too many of them are an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compression_engine.command_line import main
from compression_engine.commands.told_first import words_of
from compression_engine.recipe import Recipe, Step
from compression_engine.training.left_out import asks_labels
from tests.engine import pipelines

TUNED = Step("fine_tune", {"epochs": 1, "batch_size": 64})
TAUGHT = Step("fine_tune", {"epochs": 1, "batch_size": 64, "loss": "teacher"})
WEIGHTS = Step("quantize_weights", {"min_elements": 400})
Labels = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.write(tmp_path_factory.mktemp("digits"))


def called(
    parent: Path, folder: Path, capsys: pytest.CaptureFixture[str], change: Labels, step: Step = TUNED
) -> dict[str, Any]:
    """The last line of a call whose training rows have other labels."""
    arrays = dict(np.load(parent / "training.npz"))
    np.savez(folder / "training.npz", allow_pickle=False, **(arrays | {"label": change(arrays["label"])}))
    (folder / "recipe.json").write_bytes(Recipe("tried", (step, WEIGHTS), 5).canonical())
    given: dict[str, object] = {
        "plan": parent / "plan.json",
        "recipe": folder / "recipe.json",
        "output": folder / "out",
    }
    given |= {"training": folder / "training.npz", "evaluation": parent / "evaluation.npz"}
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    main(["compress", str(parent), "--json", "--quick", *options])
    lines = capsys.readouterr().out.splitlines()
    return dict(json.loads(lines[-1])) | {"before": [json.loads(line) for line in lines[:-1]]}


def wrong(*values: float) -> Labels:
    """The first rows have these labels."""
    return lambda labels: np.concatenate([np.asarray(values), labels[len(values) :]])


def test_rows_with_wrong_and_missing_labels_stand_in_data_words_and_figures(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = called(parent, tmp_path, capsys, wrong(77, np.nan, -1, 2.5, *[88] * 10))
    (told,) = (one for one in line["result"]["data"] if one["role"] == "training")
    assert told["rows"] == 886
    assert told["broken"] == [
        "row 1: label 77 is no class of 10",
        "row 2: label missing",
        "row 3: label -1 is no class of 10",
        "row 4: label 2.5 is no class of 10",
        *(f"row {row}: label 88 is no class of 10" for row in range(5, 15)),
    ]
    assert any("14 of 900 training rows could not be used" in words for words in words_of(line["result"]))
    for entry in line["result"]["evidence"]:
        facts = {fact["name"]: fact["value"] for fact in entry["document"]["environment"]}
        assert facts["training_rows_left_out"] == "14"
    curve = line["result"]["steps"][0]["training"][0]
    assert curve["learning_rows"] + curve["validation_rows"] == told["rows"]


def test_where_no_label_is_learned_no_row_is_left_out_for_its_label(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = called(parent, tmp_path, capsys, lambda labels: np.full(len(labels), 77), TAUGHT)
    (told,) = (one for one in line["result"]["data"] if one["role"] == "training")
    assert (told["rows"], told["broken"]) == (900, [])
    facts = [fact["name"] for entry in line["result"]["evidence"] for fact in entry["document"]["environment"]]
    assert "training_rows_left_out" not in facts


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda labels: np.where(labels == 9, 10, labels), "A label as a whole would be left out"),
        (lambda labels: labels + 0.001 * np.arange(len(labels)), "more than a tenth is too many"),
    ],
    ids=["a class by another number", "labels that are no numbers of classes"],
)
def test_a_class_or_a_tenth_that_would_be_left_out_is_refused_before_anything_is_trained(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Labels, says: str
) -> None:
    line = called(parent, tmp_path, capsys, change)
    assert line["code"] == "training_rows_left_out"
    assert says in line["message"]
    assert "of 900 training rows" in line["message"]
    assert {told["stage"] for told in line["before"]} <= {"read"}
    assert not (tmp_path / "out").exists()


def test_who_labels_half_of_the_rows_learns_from_these(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = called(parent, tmp_path, capsys, lambda labels: np.where(np.arange(len(labels)) % 2, labels, np.nan))
    (told,) = (one for one in line["result"]["data"] if one["role"] == "training")
    assert told["rows"] == 450
    assert told["broken"][-1] == "and 430 more"


def test_which_steps_look_at_labels() -> None:
    assert asks_labels(TUNED)
    assert not asks_labels(TAUGHT)
    assert not asks_labels(WEIGHTS)
    assert asks_labels(Step("prune_structured", {"importance": "taylor"}))
    assert not asks_labels(Step("prune_structured", {"importance": "answers"}))
    assert asks_labels(Step("prune_unstructured", {"epochs_per_round": 1}))
