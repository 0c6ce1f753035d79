"""The adversarial share of a loss: what is moved and how far, that a model learns to stand it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from compression_engine.data import Encoder, ModelInput, Rows, read_rows
from compression_engine.errors import EngineError, RecipeError
from compression_engine.pipeline import compress
from compression_engine.plan import Plan, State
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step
from compression_engine.steps.training_files import TrainingFiles
from compression_engine.training import keeping
from compression_engine.training.adversarial import Attack
from compression_engine.training.disturbing import FEATURE, INPUT, Rooms, movable, moved
from compression_engine.training.graph_inputs import inputs_of
from compression_engine.training.lesson import lesson
from compression_engine.training.loop import fit
from compression_engine.training.material import Training
from compression_engine.training.network import Network
from tests.engine import nets, pipelines
from tests.engine.learning import CLASSES, FAST, FEATURES, PLAN, Weights, handed, net, place, rows, same

HARD: dict[str, Any] = {"adversarial_percent": 60, "adversarial_epsilon_per_mille": 120, "adversarial_steps": 2}
QUICK: dict[str, Any] = {"epochs": 5, "batch_size": 20, "learning_rate_per_million": 10_000}
ATTACK = Attack(0.5, 0.1, 2)


def brittle() -> Weights:
    """Two classes: a faint number that tells them always, and a loud one that tells them for four rows of five.

    Who follows the faint one is right more often, until somebody moves it.
    """
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 2, 400)
    sides = 2.0 * labels - 1
    x = draw.normal(size=(400, FEATURES)) * 0.02
    x[:, 0] = np.where(draw.random(400) < 0.8, sides, -sides)
    x[:, 1] += sides * 0.3
    return {"x": x.astype(np.float32), "label": labels}


def rooms_of(folder: Path, arrays: Weights, epsilon: float, scale: str) -> Rooms:
    folder.mkdir(parents=True, exist_ok=True)
    path = nets.save_rows(arrays, folder / "some.npz")
    return Rooms.of(Encoder(read_rows(path, PLAN), inputs_of(net()), None, PLAN), epsilon, scale)


def stood(model: onnx.ModelProto, arrays: Weights, rooms: Rooms, steps: int = 10) -> float:
    """The share of rows that the model names rightly when they are moved against it."""
    network, labels = Network(model), torch.from_numpy(arrays["label"])

    def wrong(feed: Any) -> Any:
        return torch.nn.functional.cross_entropy(network(feed)["y"], labels)

    found = moved(wrong, {"x": torch.from_numpy(arrays["x"])}, rooms, steps, np.random.default_rng(0))
    return float((nets.answer(model, {"x": found["x"].numpy()})[0].argmax(1) == arrays["label"]).mean())


def test_a_share_of_moved_rows_makes_a_model_stand_them(tmp_path: Path) -> None:
    arrays = brittle()
    training = handed(tmp_path, arrays)
    rooms = rooms_of(tmp_path, arrays, 0.2, INPUT)
    found = {}
    for name, more in (("plain", {}), ("asks", HARD), ("same", HARD | {"adversarial_asks": "answers"})):
        scale = {"adversarial_scale": "input", "adversarial_epsilon_per_mille": 200} if more else {}
        model, _ = nets.applied(net(), "fine_tune", training, **(QUICK | more | scale))
        found[name] = stood(model, arrays, rooms)
    assert found["plain"] < 0.4
    assert found["asks"] > 0.7
    assert found["same"] > 0.7


def test_a_row_is_moved_as_far_as_allowed_and_never_out_of_the_range(tmp_path: Path) -> None:
    arrays = rows(50)
    arrays["x"][:, 3] = 2.0
    network, x = Network(net()), torch.from_numpy(arrays["x"])

    def first(feed: Any) -> Any:
        return network(feed)["y"][:, 0].sum()

    for scale in (INPUT, FEATURE):
        rooms = rooms_of(tmp_path, arrays, 0.1, scale)
        found = moved(first, {"x": x}, rooms, 10, np.random.default_rng(0))["x"]
        ranges = arrays["x"].max(0) - arrays["x"].min(0) if scale == FEATURE else np.ptp(arrays["x"])
        far = (found - x).abs().numpy()
        assert (far <= 0.1 * ranges + 1e-5).all()
        assert (far > 0.09 * ranges).mean() > 0.7 if scale == INPUT else (far[:, 3] == 0).all()
        assert found.min() >= arrays["x"].min()
        assert found.max() <= arrays["x"].max()
        assert float(first({"x": found}).detach()) > float(first({"x": x}).detach())


def test_where_a_row_begins_is_drawn_and_the_draw_decides(tmp_path: Path) -> None:
    arrays = rows(30)
    rooms = rooms_of(tmp_path, arrays, 0.1, INPUT)
    network, x = Network(net()), torch.from_numpy(arrays["x"])
    ends = [
        moved(lambda feed: network(feed)["y"].sum() * 0 + feed["x"].sum() * 0, {"x": x}, rooms, 1, draw)["x"].numpy()
        for draw in (np.random.default_rng(1), np.random.default_rng(1), np.random.default_rng(2))
    ]
    assert (ends[0] == ends[1]).all()
    assert (ends[0] != ends[2]).mean() > 0.9
    assert (ends[0] != x.numpy()).mean() > 0.9


def trained(training: Training, stop: int | None = None, attack: Attack | None = ATTACK) -> Weights:
    """The weights after two epochs, or until so many updates were made."""
    count = [0]

    def hook() -> None:
        count[0] += 1
        if count[0] == stop:
            raise KeyboardInterrupt

    with lesson(net(), training, "labels", attack=attack, progress=silent) as given:
        schedule = replace(FAST, epochs=2, batch_size=32)
        fit(given.network, given.parts, given.loss, schedule, progress=silent, after_update=hook)
        return {name: weight.detach().numpy().copy() for name, weight in given.network.weights.items()}


def test_an_attempt_that_was_killed_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_SHARE_OF_TIME", float("inf"))
    whole = trained(handed(tmp_path))
    for stop in (3, 12):
        held = place(tmp_path / f"points-{stop}")
        with pytest.raises(KeyboardInterrupt):
            trained(handed(tmp_path, resume=held), stop)
        assert same(trained(handed(tmp_path, resume=held)), whole)
    assert not same(trained(handed(tmp_path), attack=None), whole)
    assert not same(trained(handed(tmp_path, seed=8)), whole)


def test_every_step_of_a_recipe_draws_beginnings_of_its_own(tmp_path: Path) -> None:
    found = []
    for step in (1, 1, 2):
        with lesson(net(), handed(tmp_path, step=step), "labels", attack=ATTACK, progress=silent) as given:
            batch = given.parts.batch(np.arange(16))
            found.append(float(given.loss(given.network(batch.feed), batch).detach()))
    assert found[0] == found[1] != found[2]


def test_answers_to_rows_as_they_are_go_towards_those_to_moved_ones_too(tmp_path: Path) -> None:
    attack = Attack(1.0, 0.1, 1, asked="answers")
    with lesson(net(), handed(tmp_path), "labels", attack=attack, progress=silent) as given:
        batch = given.parts.batch(np.arange(16))
        answers = given.network(batch.feed)["y"].detach().requires_grad_()
        given.loss({"y": answers}, batch).backward()
        assert float(answers.grad.abs().sum()) > 0


def test_what_is_kept_is_the_best_on_moved_rows_that_were_held_out(tmp_path: Path) -> None:
    """The beginning is judged by the same mixture: it is worse than without moved rows."""
    curves = []
    for more in ({}, HARD | {"adversarial_percent": 100}):
        _, report = nets.applied(net(), "fine_tune", handed(tmp_path), **(QUICK | {"epochs": 1} | more))
        curves.append(report.training[0])
    plain, hard = (float(curve["points"][0]["validation"]) for curve in curves)
    assert hard > plain
    assert "adversarial" not in curves[0]
    told = curves[1]["adversarial"]
    assert (told["epsilon"], told["steps"], told["share"], told["asks"]) == ("0.12", 2, "1", "loss")
    assert told["ranges"][0].startswith("'x': 0.12 of its range from -")


def test_it_needs_no_labels_where_a_teacher_is_learned(tmp_path: Path) -> None:
    files = nets.save_rows({"x": rows()["x"]}, tmp_path / "bare.npz")
    training = Training.of(files, PLAN, None, seed=1, parent=nets.save(net(3), tmp_path / "parent"))
    for asked in ("loss", "answers"):
        _, report = nets.applied(
            net(), "fine_tune", training, **(QUICK | HARD | {"epochs": 2}), loss="teacher", adversarial_asks=asked
        )
        assert report.changed


def test_a_model_with_a_fixed_number_of_rows_learns_it_too(tmp_path: Path) -> None:
    model = net()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 7
    for asked in ("loss", "answers"):
        _, report = nets.applied(
            model, "fine_tune", handed(tmp_path), **(QUICK | HARD | {"epochs": 2}), adversarial_asks=asked
        )
        assert report.changed


def test_rounded_training_moves_rows_too(tmp_path: Path) -> None:
    """The gradient passes through what is rounded, and what is written answers as what was trained (else `answers_differ`)."""
    how = {"epochs": 2, "learning_rate_per_million": 2000, "loss": "labels", "min_elements": 1, "weight_bits": 8}
    made = []
    for more in ({}, HARD):
        model, report = nets.applied(
            net(), "quantize_aware_training", handed(tmp_path), activation_bits=32, **how, **more
        )
        made.append(model.SerializeToString())
        assert ("adversarial" in report.training[0]) == bool(more)
    assert made[0] != made[1]


def of_tokens() -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    tensors = {"words": draw.normal(size=(12, CLASSES)).astype(np.float32)}
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["e"]),
        helper.make_node("ReduceMean", ["e"], ["y"], axes=[1], keepdims=0),
    ]
    return nets.model(
        nodes, tensors, {"ids": (TensorProto.INT64, ["n", 4])}, {"y": (TensorProto.FLOAT, ["n", CLASSES])}
    )


def test_what_holds_no_real_numbers_is_refused_with_the_reason(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    ids = {"ids": draw.integers(0, 12, size=(100, 4)), "label": draw.integers(0, CLASSES, 100)}
    for model, arrays, said in (
        (of_tokens(), ids, "No input of the model holds real numbers"),
        (renamed(of_tokens(), "input_ids"), {"input_ids": ids["ids"], "label": ids["label"]}, "numbers of tokens"),
    ):
        with pytest.raises(RecipeError) as caught:
            nets.applied(model, "fine_tune", handed(tmp_path, arrays), **(QUICK | HARD))
        assert caught.value.code == "recipe_does_not_fit"
        assert said in caught.value.message
        assert "without adversarial_percent" in caught.value.hint


def renamed(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    model.graph.input[0].name = model.graph.node[0].input[1] = name
    return model


def test_numbers_are_moved_and_tokens_beside_them_stay() -> None:
    inputs = (
        ModelInput("input_ids", np.dtype(np.int64), None, ("n", 4)),
        ModelInput("pixels", np.dtype(np.float32), None, ("n", 9)),
        ModelInput("attention_mask", np.dtype(np.float32), None, ("n", 4)),
    )
    arrays = {"input_ids": np.ones((5, 4), np.int64), "pixels": np.eye(5, 9), "attention_mask": np.eye(5, 4)}
    both = Rows("sha256:" + "0" * 64, (), arrays, ())
    assert [entry.name for entry in movable(Encoder(both, inputs, None))] == ["pixels"]
    with pytest.raises(RecipeError, match="numbers of tokens"):
        movable(Encoder(both, (inputs[0], inputs[2]), None))


def test_a_model_that_carries_a_state_is_refused() -> None:
    inputs = (
        ModelInput("x", np.dtype(np.float32), None, ("n", 4)),
        ModelInput("state", np.dtype(np.float32), None, ("n", 2)),
    )
    plan = Plan(sequence="recording", states=(State("state", "stateN"),))
    sounds = Rows("sha256:" + "0" * 64, (), {"x": np.eye(5, 4)}, (), {"recording": np.zeros(5, np.int64)})
    with pytest.raises(RecipeError, match="carries a state"):
        movable(Encoder(sounds, inputs, None, plan))


def test_an_input_that_no_gradient_reaches_is_told(tmp_path: Path) -> None:
    model = net()
    model.graph.node[0].input[0] = "rounded"
    model.graph.node.insert(0, helper.make_node("Cast", ["whole"], ["rounded"], to=TensorProto.FLOAT))
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT32))
    with pytest.raises(EngineError) as caught:
        nets.applied(model, "fine_tune", handed(tmp_path), **(QUICK | HARD))
    assert caught.value.code == "cannot_be_trained"
    assert "No gradient" in caught.value.message


def test_its_settings_say_nothing_without_a_share_and_old_recipes_keep_their_digests() -> None:
    with pytest.raises(RecipeError) as caught:
        Step("fine_tune", {"adversarial_steps": 2})
    assert "adversarial_percent is 0" in caught.value.message
    plain = Recipe("plain", (Step("fine_tune"),), seed=1)
    assert plain.digest() == Recipe("plain", (Step("fine_tune", {"adversarial_percent": 0}),), seed=1).digest()
    assert "adversarial" not in str(plain.document())
    assert "adversarial" in str(Recipe("hard", (Step("fine_tune", HARD),), seed=1).document())


def test_it_stands_between_pruning_and_rounding_and_zeros_stay(tmp_path: Path) -> None:
    digits = pipelines.write(tmp_path)
    steps = (
        Step("prune_unstructured", {"sparsity_per_mille": 500, "epochs_per_round": 0}),
        Step("fine_tune", {"epochs": 1, "batch_size": 64, "learning_rate_per_million": 3000} | HARD),
        Step("quantize_weights"),
    )
    compress(
        digits / "model.onnx",
        Recipe("hard", steps, seed=5),
        output_folder=tmp_path / "child.onnx",
        evaluation=digits / "evaluation.npz",
        plan=Plan(task="classification", label="label", measures=("size",)),
        training=TrainingFiles(rows=digits / "training.npz"),
    )
    child = onnx.load(tmp_path / "child.onnx")
    stored = [
        numpy_helper.to_array(tensor) for tensor in child.graph.initializer if tensor.data_type == TensorProto.INT8
    ]
    zeros = [float((array == 0).mean()) for array in stored]
    assert stored
    assert min(zeros) > 0.45  # half of all numbers of the net, of which this matrix holds nearly all
