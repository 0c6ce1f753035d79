"""What training makes small, held against the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from compression_engine.errors import EngineError
from compression_engine.plan import Plan
from compression_engine.training.hints import Hints, pair_of
from compression_engine.training.losses import (
    EMBEDDING,
    FRAMES,
    LIKELIEST,
    NUMBERS,
    PLACES,
    SCORES,
    TOKENS,
    Answer,
    FromLabels,
    FromTeacher,
    answers_of,
    as_logits,
    loss_of,
)
from compression_engine.training.material import Batch
from compression_engine.training.score_forms import LOG_PROBABILITIES, LOGITS, PROBABILITIES

DRAW = np.random.default_rng(0)
OURS, THEIRS = (torch.from_numpy(DRAW.normal(size=(6, 4)).astype(np.float32)) for _ in range(2))


def batch(rows: int = 6, labels: Any = None, lengths: Any = None, feed: Any = None, **taught: Any) -> Batch:
    """A batch; `taught` by the name of the output."""
    given = None if labels is None else torch.tensor(labels)
    counted = None if lengths is None else torch.tensor(lengths)
    return Batch(feed or {}, np.arange(rows), given, counted, taught)


def learned(kind: str, found: Any, told: Any, temperature: float = 1.0, feed: Any = None, **forms: str) -> float:
    loss = FromTeacher((Answer("y", kind, **forms),), temperature, relations=0.0)
    return float(loss({"y": found}, batch(len(found), feed=feed, y=told)))


def divergence(ours: Any, theirs: Any, temperature: float) -> float:
    p, q = torch.softmax(theirs / temperature, -1), torch.softmax(ours / temperature, -1)
    return float((p * (p / q).log()).sum(-1).mean()) * temperature**2


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_scores_are_learned_as_softened_probabilities(temperature: float) -> None:
    assert learned(SCORES, OURS, THEIRS, temperature) == pytest.approx(divergence(OURS, THEIRS, temperature), rel=1e-4)
    assert learned(SCORES, THEIRS, THEIRS, temperature) == pytest.approx(0.0, abs=1e-6)


def test_a_high_temperature_leaves_gradients_their_size() -> None:
    sizes = []
    for temperature in (50.0, 100.0):
        ours = OURS.clone().requires_grad_()
        FromTeacher((Answer("y", SCORES),), temperature)({"y": ours}, batch(y=THEIRS)).backward()
        sizes.append(float(ours.grad.norm()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


@pytest.mark.parametrize("form", [PROBABILITIES, LOG_PROBABILITIES])
def test_it_does_not_matter_in_which_form_scores_are_given(form: str) -> None:
    for width in (4, 1):
        ours, theirs = OURS[:, :width], THEIRS[:, :width]

        def formed(logits: Any, width: int = width) -> Any:
            right = torch.sigmoid(logits) if width == 1 else torch.softmax(logits, -1)
            return right if form == PROBABILITIES else right.log()

        told = learned(SCORES, formed(ours), formed(theirs), 2.0, form=form, teacher_form=form)
        assert told == pytest.approx(learned(SCORES, ours, theirs, 2.0), rel=1e-3)
    assert torch.allclose(as_logits(OURS, LOGITS), OURS)


def test_scores_that_the_plan_calls_probabilities_by_mistake_are_not_learned() -> None:
    with pytest.raises(EngineError, match="some lie outside 0 to 1") as refused:
        as_logits(torch.tensor([[2.0, -1.0]]), PROBABILITIES)
    assert refused.value.code == "loss_does_not_fit"
    assert "logits" in str(refused.value.hint)
    assert torch.allclose(as_logits(torch.tensor([[1.001, 0.0]]), PROBABILITIES).argmax(dim=1), torch.tensor([0]))


def test_a_single_score_is_one_of_two_classes() -> None:
    ours, theirs = OURS[:, :1], THEIRS[:, :1]
    pairs = torch.cat([0 * ours, ours], 1), torch.cat([0 * theirs, theirs], 1)
    assert learned(SCORES, ours, theirs, 2.0) == pytest.approx(learned(SCORES, *pairs, 2.0), rel=1e-3)


def test_embeddings_are_learned_by_their_direction_and_by_the_angles_between_them() -> None:
    assert learned(EMBEDDING, 3.0 * THEIRS, THEIRS) == pytest.approx(0.0, abs=1e-6)
    turn, _ = np.linalg.qr(DRAW.normal(size=(4, 4)))
    turned = THEIRS @ torch.from_numpy(turn.astype(np.float32))
    apart = learned(EMBEDDING, turned, THEIRS)
    assert apart == pytest.approx(float((1 - torch.cosine_similarity(turned, THEIRS)).mean()), rel=1e-4)
    with_angles = FromTeacher((Answer("y", EMBEDDING),), relations=1.0)
    assert float(with_angles({"y": turned}, batch(y=THEIRS))) == pytest.approx(apart, rel=1e-4)
    assert float(with_angles({"y": OURS}, batch(y=THEIRS))) > learned(EMBEDDING, OURS, THEIRS) + 0.01


def test_numbers_are_learned_as_a_share_of_the_teachers_mean_square() -> None:
    assert learned(NUMBERS, 0.5 * THEIRS, THEIRS) == pytest.approx(0.25, rel=1e-4)
    assert learned(NUMBERS, 50 * THEIRS, 100 * THEIRS) == pytest.approx(0.25, rel=1e-4)


def test_positions_of_padding_do_not_count() -> None:
    found, told = (torch.from_numpy(DRAW.normal(size=(2, 3, 4)).astype(np.float32)) for _ in range(2))
    mask = {"attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}
    other = found.clone()
    other[1, 1:] = 99.0
    for kind in (FRAMES, NUMBERS):
        assert learned(kind, found, told, feed=mask) == pytest.approx(learned(kind, other, told, feed=mask))
        assert learned(kind, found, told) != pytest.approx(learned(kind, other, told))


def test_tokens_are_learned_by_the_likeliest_and_all_others_as_one() -> None:
    ours, theirs = (torch.from_numpy(DRAW.normal(size=(2, 3, 9)).astype(np.float32)) for _ in range(2))
    loss = FromTeacher((Answer("y", TOKENS),), 2.0)

    def told(count: int) -> float:
        logs, places = (theirs / 2.0).log_softmax(-1).topk(count)
        return float(loss({"y": ours}, batch(2, **{f"y{LIKELIEST}": logs, f"y{PLACES}": places})))

    assert told(8) == pytest.approx(divergence(ours, theirs, 2.0), rel=1e-3)
    assert told(8) > told(3) > 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_are_learned_by_cross_entropy(smoothing: float) -> None:
    labels = [0, 1, 2, 3, 0, 1]
    logs = torch.log_softmax(OURS, -1)
    right = -(1 - smoothing) * logs[range(6), labels].mean() - smoothing * logs.mean()
    loss = FromLabels(Plan(task="classification"), Answer("y", SCORES), smoothing)
    assert float(loss({"y": OURS}, batch(labels=labels))) == pytest.approx(float(right), rel=1e-5)


def test_numbers_are_learned_by_squared_error() -> None:
    loss = FromLabels(Plan(task="regression"), Answer("y", NUMBERS))
    labels = np.arange(6, dtype=np.float32)
    right = np.square(OURS[:, 0].numpy() - labels).mean()
    assert float(loss({"y": OURS[:, :1]}, batch(labels=labels))) == pytest.approx(float(right), rel=1e-5)


@pytest.mark.parametrize(
    ("task", "feed"), [("regression", {}), ("language-model", {}), ("language-model", {"input_ids": OURS})]
)
def test_a_plan_of_another_task_is_refused_where_answers_have_another_form(task: str, feed: Any) -> None:
    label = None if task == "language-model" else "label"
    loss = FromLabels(Plan(task=task, label=label), Answer("y", NUMBERS))
    with pytest.raises(EngineError) as refused:
        loss({"y": OURS}, batch(labels=[1.0] * len(OURS), feed=feed))
    assert refused.value.code == "loss_does_not_fit"


def test_rows_of_one_label_are_drawn_together_and_lone_ones_only_pushed_away() -> None:
    loss = FromLabels(Plan(task="embedding"), Answer("y", EMBEDDING))
    together, apart = torch.eye(4)[[0, 0, 1, 2]], torch.eye(4)[[0, 1, 0, 2]]
    labels = [5, 5, 6, 7]
    assert float(loss({"y": together}, batch(4, labels))) < 0.01 < float(loss({"y": apart}, batch(4, labels)))
    assert float(loss({"y": apart}, batch(4, [1, 2, 3, 4]))) == 0.0


def test_the_next_token_is_learned_where_there_is_one() -> None:
    ids, mask = torch.tensor([[3, 1, 2], [4, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    logits = torch.from_numpy(DRAW.normal(size=(2, 3, 5)).astype(np.float32))
    logs = torch.log_softmax(logits, -1)
    loss = FromLabels(Plan(task="language-model"), Answer("y", TOKENS))
    found = loss({"y": logits}, batch(2, feed={"input_ids": ids, "attention_mask": mask}))
    assert float(found) == pytest.approx(float(-(logs[0, 0, 1] + logs[0, 1, 2]) / 2), rel=1e-5)


def test_sequences_are_learned_whatever_their_frames_are() -> None:
    plan = Plan(task="sequence", blank=0)
    right = torch.full((1, 4, 3), -20.0)
    right[0, [0, 1, 2, 3], [1, 0, 2, 2]] = 20.0
    loss = FromLabels(plan, Answer("y", SCORES))
    assert float(loss({"y": right}, batch(1, [1, 2], [2]))) < 0.01
    assert float(loss({"y": right}, batch(1, [2, 1], [2]))) > 1.0


def test_both_are_shares_of_a_whole() -> None:
    plan, labels = Plan(task="classification", label="label"), [0, 1, 2, 3, 0, 1]
    answers = [Answer("y", SCORES)]
    parts = {kind: loss_of(kind, plan, answers, "y", temperature=2.0) for kind in ("labels", "teacher")}
    given = batch(labels=labels, y=THEIRS)
    one, other = (float(loss({"y": OURS}, given)) for loss in parts.values())
    both = loss_of("both", plan, answers, "y", temperature=2.0, alpha=0.25)
    assert float(both({"y": OURS}, given)) == pytest.approx(0.75 * one + 0.25 * other, rel=1e-5)
    with pytest.raises(ValueError, match="no loss"):
        loss_of("other", plan, answers, "y")


def test_several_outputs_count_alike() -> None:
    loss = FromTeacher((Answer("y", SCORES), Answer("z", NUMBERS)))
    found = loss({"y": OURS, "z": OURS}, batch(y=THEIRS, z=THEIRS))
    assert float(found) == pytest.approx((learned(SCORES, OURS, THEIRS) + learned(NUMBERS, OURS, THEIRS)) / 2, rel=1e-5)


def test_what_the_teacher_did_not_say_is_named() -> None:
    loss = FromTeacher((Answer("y", SCORES),))
    with pytest.raises(EngineError, match="said nothing of 'y'; its answers are: z") as caught:
        loss({"y": OURS}, batch(z=THEIRS))
    assert caught.value.code == "teacher_does_not_fit"
    with pytest.raises(EngineError, match=r"'y' is \[6, 3\] where the student's is \[6, 4\]"):
        loss({"y": OURS}, batch(y=THEIRS[:, :3]))
    with pytest.raises(EngineError) as missing:
        FromLabels(Plan(task="classification"), Answer("y", SCORES))({"y": OURS}, batch())
    assert missing.value.code == "label_missing"


def _ending(operator: str | None) -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node(operator or "Identity", ["m"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "net",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", ["n", 4]), ("w", [4, 4]))
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    return helper.make_model(graph)


def test_what_answers_are_is_read_from_the_plan_and_from_what_makes_them() -> None:
    classes = Plan(task="classification", label="label")
    assert answers_of(_ending("Softmax"), classes, "y") == [Answer("y", SCORES, PROBABILITIES, PROBABILITIES)]
    assert answers_of(_ending(None), classes, "y", _ending("LogSoftmax")) == [
        Answer("y", SCORES, LOGITS, LOG_PROBABILITIES)
    ]
    assert answers_of(_ending(None), Plan(), "y") == [Answer("y", NUMBERS, LOGITS, LOGITS)]
    assert answers_of(_ending("Softmax"), Plan(), "y")[0].kind == FRAMES
    assert answers_of(_ending(None), Plan(task="sequence"), "y")[0].kind == FRAMES
    assert answers_of(_ending(None), Plan(task="embedding"), "y")[0].kind == EMBEDDING
    assert answers_of(_ending(None), Plan(task="language-model"), "y")[0].kind == TOKENS


def test_other_outputs_count_where_their_first_axis_is_rows() -> None:
    model = _ending(None)
    for name, shape in (("rows_too", ["n", 2]), ("state", [1, "n", 4]), ("number", [])):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    assert [answer.name for answer in answers_of(model, Plan(), "y")] == ["y", "rows_too"]


def test_classes_may_lie_along_any_axes() -> None:
    spread = OURS.reshape(6, 2, 2, 1), THEIRS.reshape(6, 2, 2, 1)
    assert learned(SCORES, *spread, 2.0) == pytest.approx(divergence(OURS, THEIRS, 2.0), rel=1e-4)
    told = FromLabels(Plan(task="classification"), Answer("y", SCORES))
    labels = [0, 1, 2, 3, 0, 1]
    one, other = (float(told({"y": found}, batch(labels=labels))) for found in (OURS, OURS.reshape(6, 4, 1)))
    assert one == pytest.approx(other)
    frames = OURS.reshape(3, 2, 4), THEIRS.reshape(3, 2, 4)
    assert learned(FRAMES, *frames, 2.0) == pytest.approx(divergence(OURS, THEIRS, 2.0), rel=1e-4)


def test_hints_bridge_another_width_by_a_map_of_their_own() -> None:
    wide = torch.from_numpy(DRAW.normal(size=(6, 3, 8)).astype(np.float32))
    pair = pair_of("ours", "theirs", (6, 3, 4), (6, 3, 8))
    assert pair is not None
    hints = Hints([pair], [1, 2])
    bridge = hints.parameters()[0].detach()
    assert hints.taps == ("ours",)
    assert torch.allclose(bridge @ bridge.T, torch.eye(4), atol=1e-5)
    narrow = wide @ bridge.T
    found = float(hints({"ours": narrow}, batch(theirs=wide)).detach())
    lost = wide - narrow @ bridge
    assert found == pytest.approx(float(lost.square().mean() / wide.square().mean()), rel=1e-4)
    assert pair_of("ours", "theirs", (6, 3, 4), (6, 5, 4)) is None
    assert pair_of("ours", "theirs", (6, 4), (6, 3, 4)) is None


def test_features_of_pictures_are_their_second_axis() -> None:
    pair = pair_of("ours", "theirs", (6, 4, 5, 5), (6, 8, 5, 5))
    assert pair is not None
    assert (pair.student_width, pair.teacher_width) == (4, 8)
    picture, told = torch.ones(6, 4, 5, 5), torch.ones(6, 8, 5, 5)
    assert float(Hints([pair], [0])({"ours": picture}, batch(theirs=told)).detach()) > 0
