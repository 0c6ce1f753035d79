"""Models of torch in every role: parent, incumbent, first, teacher, student; each named as it was given, each form compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch

from compression_engine.canonical import digest_of
from compression_engine.carrying.architectures import declared
from compression_engine.errors import EngineError
from compression_engine.evaluation import evaluate
from compression_engine.pipeline import compress
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.replay import replay
from compression_engine.result import read_result
from compression_engine.search import Extent, search_recipe
from compression_engine.searching.budget import Budget
from compression_engine.searching.rows import Files
from compression_engine.steps.training_files import TrainingFiles
from tests.engine import nets
from tests.engine.made import metadata
from tests.engine.test_carrying import Perceptron2, archive, declare

NARROW: dict[str, Any] = {
    "type": "pressmark/architecture/1", "architecture": "perceptron", "widths": [64, 32, 48],
    "activation": "relu", "input": "x", "output": "output",
}  # fmt: skip
LEARNED = Recipe("begun", (Step("distill", {"student": "declared", "epochs": 1}),), 3)
QUICK = Plan(measures=("size", "fidelity"))


def module(folder: Path, seed: int) -> Path:
    """An archive of a perceptron."""
    torch.manual_seed(seed)
    return archive(Perceptron2(), torch.zeros(3, 64), folder / f"{seed}.pt2")


def drawn(document: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Tensors for a declared architecture."""
    torch.manual_seed(1)
    shaped = declared(document, frozenset()).source.module.state_dict()
    return {name: torch.randn(tensor.shape) / 8 for name, tensor in shaped.items()}


def digest(path: Path) -> str:
    return digest_of(path.read_bytes())


def kinds(document: Mapping[str, Any]) -> dict[str, float]:
    """The least cosine between both forms, by the kind of its evidence."""
    found = {}
    for entry in document["evidence"]:
        for figure in entry["document"]["figures"]:
            if figure["metric"] == "carried_cosine":
                found[entry["document"]["kind"]] = float(figure["value"])
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of torch in all roles, and a child that learned from them."""
    folder = tmp_path_factory.mktemp("roles")
    nets.save_rows(nets.rows_for("x", count=60, seed=4), folder / "learned.npz")
    nets.save_rows(nets.rows_for("x", count=40, seed=5), folder / "judged.npz")
    declare(NARROW, drawn(NARROW), folder / "student")
    for seed in (1, 2, 3, 4):
        module(folder, seed)
    compress(
        folder / "1.pt2", LEARNED, output_folder=folder / "child", evaluation=folder / "judged.npz", plan=QUICK,
        incumbent=folder / "2.pt2", first=folder / "3.pt2", training=training(folder),
    )  # fmt: skip
    return folder


def training(folder: Path, teacher: str = "4.pt2") -> TrainingFiles:
    return TrainingFiles(folder / "learned.npz", folder / teacher, folder / "student" / "architecture.json")


def test_a_child_names_every_model_of_torch_as_it_was_given_and_says_how_near_its_form_is(made: Path) -> None:
    document = read_result(made / "child" / "RESULT.json")
    student = digest(made / "student" / "model.safetensors")
    assert document["parent"]["digest"] == digest(made / "1.pt2")
    assert {one["role"]: one["digest"] for one in document["others"]} == {
        "incumbent": digest(made / "2.pt2"),
        "first": digest(made / "3.pt2"),
    }
    origins = {one["role"]: one for one in document["origins"]}
    assert {role: one["digest"] for role, one in origins.items()} == {
        "teacher": digest(made / "4.pt2"),
        "student-start": student,
    }
    assert origins["student-start"]["architecture"]["digest"] == digest(made / "student" / "architecture.json")
    assert all("carried" in one for one in [*origins.values(), *document["others"]])
    near = kinds(document)
    roles = ("", "-incumbent", "-first", "-teacher", "-student")
    assert set(near) == {f"carried{role}" for role in roles}
    assert min(near.values()) > 0.999999
    facts = metadata(made / "child" / "model.onnx")
    assert facts["pressmark.teacher_digest"] == digest(made / "4.pt2")
    assert facts["pressmark.student_digest"] == student


def test_it_is_made_again_from_the_same_torch_files_alone(made: Path, tmp_path: Path) -> None:
    result, parent = made / "child" / "RESULT.json", made / "1.pt2"
    again = replay(result, parent=parent, output_folder=tmp_path / "again", training=training(made))
    assert again == read_result(result)["outputs"][0]["digest"]
    with pytest.raises(EngineError) as refused:
        replay(result, parent=parent, output_folder=tmp_path / "other", training=training(made, "2.pt2"))
    assert refused.value.code == "replay_data_differs"
    document: Any = json.loads(result.read_bytes())
    for one in document["origins"]:
        if one["role"] == "teacher":
            one["carried"] |= {"digest": digest_of(b"another form")}
    edited = tmp_path / "RESULT.json"
    edited.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    with pytest.raises(EngineError, match="The teacher's ONNX form is not the recorded one") as refused:
        replay(edited, parent=parent, output_folder=tmp_path / "third", training=training(made))
    assert refused.value.code == "replay_carried_differs"


def test_an_evaluation_says_of_every_model_of_torch_how_near_its_form_is(made: Path) -> None:
    found = evaluate(
        made / "2.pt2",
        data=made / "judged.npz",
        parent=made / "1.pt2",
        incumbent=made / "3.pt2",
        first=made / "4.pt2",
        plan=QUICK,
    )
    near = kinds(json.loads(found.canonical()))
    assert set(near) == {"carried", "carried-version", "carried-incumbent", "carried-first"}
    assert min(near.values()) > 0.999999


def test_a_search_on_a_model_of_torch_finds_what_compress_makes_of_it(made: Path, tmp_path: Path) -> None:
    rows = nets.save_rows(nets.rows_for("x", count=300, seed=7), tmp_path / "rows.npz")
    searched = search_recipe(
        made / "1.pt2", Budget(Decimal("0.5"), "smallest", ("top1_agreement",)), Files(rows),
        output_folder=tmp_path / "out", plan=QUICK, extent=Extent(trials=3, quick=True),
    )  # fmt: skip
    document = read_result(tmp_path / "out" / "RESULT.json")
    assert document["parent"]["digest"] == digest(made / "1.pt2") == searched.record["parent"]["digest"]
    assert kinds(document)["carried"] > 0.999999
    compress(made / "1.pt2", Recipe.parse(document["recipe"]), output_folder=tmp_path / "again")
    assert digest(tmp_path / "again" / "model.onnx") == document["outputs"][0]["digest"]
