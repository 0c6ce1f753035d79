"""Training rows: what is read of them, what is held out, and in which batches they come."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compression_engine.errors import DataError
from compression_engine.plan import Plan
from compression_engine.training.material import Parts, Training
from tests.engine import nets
from tests.engine.learning import PLAN, Weights, handed, net, rows

WORDS = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog", "again"]


def parts_of(folder: Path, arrays: Weights | None = None, *, labelled: bool = True, **changes: Any) -> Parts:
    return handed(folder, arrays, **changes).parts(net(), labelled=labelled)


def test_a_tenth_is_held_out_and_nothing_is_on_both_sides(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, rows(500))
    assert len(parts.validation) == 50
    assert sorted([*parts.learning, *parts.validation]) == list(range(500))


def test_each_class_is_held_out_by_its_share(tmp_path: Path) -> None:
    arrays = rows(600)
    arrays["label"] = np.repeat([0, 1, 2], [540, 40, 20])
    parts = parts_of(tmp_path, arrays)
    assert np.bincount(arrays["label"][parts.validation]).tolist() == [54, 4, 2]


def test_equal_and_nearly_equal_rows_are_on_one_side(tmp_path: Path) -> None:
    once = rows(200)
    thrice = {name: np.concatenate([value] * 3) for name, value in once.items()}
    thrice["x"][400:] += np.float32(1e-6)  # a hair
    parts = parts_of(tmp_path, thrice)
    held = np.zeros(600, dtype=bool)
    held[parts.validation] = True
    assert held[:200].sum() == 20
    assert (held[:200] == held[200:400]).all()
    # in numbers of 32 bits a few of a thousand cross an edge when their last bits change
    assert (held[:200] == held[400:]).mean() > 0.98


def test_the_order_in_the_file_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    arrays = rows(300)
    turned = {name: value[::-1] for name, value in arrays.items()}

    def held(folder: str, given: Weights, seed: int) -> set[bytes]:
        parts = parts_of(tmp_path / folder, given, seed=seed)
        return {parts.encoder.rows.arrays["x"][row].tobytes() for row in parts.validation}

    assert held("a", arrays, 1) == held("b", turned, 1)
    assert held("a", arrays, 1) != held("a", arrays, 2)


def test_every_step_holds_out_the_same_rows_and_orders_them_anew(tmp_path: Path) -> None:
    one, two = parts_of(tmp_path, step=1), parts_of(tmp_path, step=2)
    assert one.validation.tolist() == two.validation.tolist()
    orders = [
        np.concatenate(parts.order(16, phase, epoch)).tolist()
        for parts, phase, epoch in ((one, 0, 1), (one, 0, 2), (one, 1, 1), (two, 0, 1))
    ]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == one.learning.tolist() for order in orders)
    assert np.concatenate(one.order(16, 0, 1)).tolist() == orders[0]


def test_a_table_of_few_values_is_parted_by_equal_rows(tmp_path: Path) -> None:
    arrays = rows(300)
    arrays["x"] = np.full((300, 8), 1.0, np.float32)
    arrays["x"][:, 0] += np.arange(300, dtype=np.float32) * 1e-5
    parts = parts_of(tmp_path, arrays)
    assert 25 <= len(parts.validation) <= 35


def test_rows_that_all_say_the_same_cannot_be_parted(tmp_path: Path) -> None:
    arrays = rows(100)
    arrays["x"][:] = 1
    with pytest.raises(DataError) as caught:
        parts_of(tmp_path, arrays)
    assert caught.value.code == "training_rows_too_few"


@pytest.mark.parametrize(("count", "enough"), [(10, False), (21, False), (22, True)])
def test_fewer_than_twenty_rows_to_learn_from_are_refused(tmp_path: Path, count: int, enough: bool) -> None:
    if enough:
        assert len(parts_of(tmp_path, rows(count)).learning) == 20
        return
    with pytest.raises(DataError) as caught:
        parts_of(tmp_path, rows(count))
    assert caught.value.code == "training_rows_too_few"


def test_labels_are_asked_for_only_where_the_loss_is_of_labels(tmp_path: Path) -> None:
    bare = {"x": rows()["x"]}
    assert parts_of(tmp_path, bare, labelled=False).labels is None
    for plan in (PLAN, None):
        with pytest.raises(DataError) as caught:
            parts_of(tmp_path, bare, plan=plan)
        assert caught.value.code == "label_missing"
    with pytest.raises(DataError) as caught:
        parts_of(tmp_path, rows(), plan=Plan(task="classification", inputs=(("x", "x"),)))
    assert caught.value.code == "label_missing"


def test_a_single_array_has_no_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", rows()["x"])
    training = Training.of(tmp_path / "rows.npy", PLAN, None, seed=1, parent=tmp_path)
    assert training.parts(net(), labelled=False).labels is None
    with pytest.raises(DataError) as caught:
        training.parts(net(), labelled=True)
    assert caught.value.code == "label_missing"


def test_without_a_plan_the_class_stands_in_the_column_label(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, plan=None)
    assert parts.labels is not None
    assert parts.labels.values.tolist() == rows()["label"].tolist()


def test_rows_without_a_usable_label_are_left_out_where_labels_are_learned(tmp_path: Path) -> None:
    arrays = rows(100)
    arrays["label"][3:8] = 7
    parts = parts_of(tmp_path, arrays)
    assert len(parts.encoder.rows) == 95
    assert "row 4: label 7 is no class of 3" in parts.encoder.rows.broken
    assert len(parts_of(tmp_path, arrays, labelled=False).encoder.rows) == 100
    arrays["label"][:] = 7
    with pytest.raises(DataError) as caught:
        parts_of(tmp_path, arrays)
    assert caught.value.code == "no_usable_row"


def test_slices_of_the_evaluation_need_not_stand_in_training_rows(tmp_path: Path) -> None:
    plan = replace(PLAN, slices=("group",), protected=("group",))
    assert parts_of(tmp_path, plan=plan).labels is not None


def test_a_batch_holds_inputs_labels_and_what_a_teacher_said(tmp_path: Path) -> None:
    import torch

    arrays = rows()
    parts = parts_of(tmp_path, arrays)
    chosen = np.array([5, 2, 9])
    batch = parts.batch(chosen, taught=lambda wanted: {"y": torch.tensor(wanted)})
    assert batch.feed["x"].numpy().tobytes() == arrays["x"][chosen].tobytes()
    assert batch.labels is not None
    assert batch.labels.tolist() == arrays["label"][chosen].tolist()
    assert batch.taught["y"].tolist() == [5, 2, 9]


def test_a_fixed_first_dimension_is_filled_up_and_the_filling_does_not_count(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    from compression_engine.training.schedule import Schedule
    from tests.engine.learning import learned

    fixed = net()
    fixed.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 8]))
    fixed.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 3]))
    parts = handed(tmp_path).parts(fixed, labelled=True)
    pieces = list(parts.pieces(np.arange(10)))
    assert [(len(piece.rows), len(piece.feed["x"])) for piece in pieces] == [(4, 4), (4, 4), (2, 4)]
    assert len(pieces[2].labels) == 2  # type: ignore[arg-type]
    schedule = Schedule(epochs=1, batch_size=10, learning_rate=1e-2)
    free, free_curve = learned(handed(tmp_path), net(), schedule)
    held, held_curve = learned(handed(tmp_path), fixed, schedule)
    # gradients of pieces add up to those of the whole batch
    assert held_curve.validation == pytest.approx(free_curve.validation, rel=1e-4)
    assert np.allclose(held["first"], free["first"], atol=1e-5)


def tokenizer_file(path: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(["[PAD]", "[UNK]", *WORDS])}, "[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(path))
    return path


def texts(folder: Path, count: int = 400) -> Path:
    draw = np.random.default_rng(0)
    lines = [
        {"text": " ".join(draw.choice(WORDS, size=draw.integers(1, 30))), "label": int(draw.integers(0, 2))}
        for _ in range(count)
    ]
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    return path


def test_texts_of_like_length_run_together_and_each_stands_once(tmp_path: Path) -> None:
    tokenizer = tokenizer_file(tmp_path / "tokenizer.json")
    plan = Plan(task="classification", label="label", text="text", max_tokens=24)
    training = Training.of(texts(tmp_path), plan, tokenizer, seed=3, parent=tmp_path)
    from onnx import TensorProto, helper

    tensors = {"words": nets.weights(len(WORDS) + 2, 3, seed=1)}
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["e"]),
        helper.make_node("ReduceMean", ["e"], ["y"], axes=[1], keepdims=0),
    ]
    ids = {"input_ids": (TensorProto.INT64, ["n", "t"])}
    model = nets.model(nodes, tensors, ids, {"y": (TensorProto.FLOAT, ["n", 3])})
    parts = training.parts(model, labelled=True)
    batches = parts.order(16, 0, 1)
    counts = parts.encoder.token_counts()
    assert counts is not None
    assert sorted(np.concatenate(batches)) == parts.learning.tolist()
    padded = sum(counts[batch].max() * len(batch) for batch in batches)
    assert padded < 1.15 * counts[parts.learning].sum()
    firsts = [int(counts[batch].max()) for batch in batches]
    assert firsts != sorted(firsts)  # lengths come in no order
    assert all((one == two).all() for one, two in zip(batches, parts.order(16, 0, 1), strict=True))


@pytest.mark.parametrize("task", ["classification", "embedding"])
def test_rows_without_labels_do_not_move_what_is_held_out(task: str, tmp_path: Path) -> None:
    """Else a step that learns from labels would be judged on rows from which one before it learned without them."""
    arrays, plan = rows(600), Plan(task=task, label="label")
    arrays["label"] = np.where(np.arange(600) % 12, np.nan, arrays["label"]).astype(np.float64)
    whole, part = (parts_of(tmp_path, arrays, plan=plan, labelled=labelled) for labelled in (False, True))
    assert len(part.encoder.rows) == 50
    assert len(whole.encoder.rows) == 600

    def inputs(parts: Parts, chosen: Any) -> set[bytes]:
        return {row.tobytes() for row in parts.encoder.batch(chosen.tolist())["x"]}

    assert inputs(part, part.validation) <= inputs(whole, whole.validation)
    assert inputs(part, part.learning) <= inputs(whole, whole.learning)
    assert 3 <= len(part.validation) <= 7


@pytest.mark.parametrize("labelled", [True, False])
def test_rows_of_one_class_alone_are_no_lesson_of_labels(tmp_path: Path, labelled: bool) -> None:
    arrays = rows(200) | {"label": np.full(200, 1)}
    if not labelled:
        assert len(parts_of(tmp_path, arrays, labelled=False).learning) == 180
        return
    with pytest.raises(DataError, match="of one class, index 1") as caught:
        parts_of(tmp_path, arrays)
    assert caught.value.code == "training_rows_too_few"


def test_how_many_rows_have_no_usable_label_is_said(tmp_path: Path) -> None:
    arrays = rows(200)
    arrays["label"] = np.where(np.arange(200) % 4 == 2, 77, arrays["label"])
    said: list[str] = []
    training = handed(tmp_path, arrays)
    training.parts(net(), labelled=True, progress=lambda *told: said.append(str(told[3])))
    assert any(line.startswith("50 of 200 training rows have no usable label") and "row 3" in line for line in said)
