"""Which answers stand: what moved rows do to a model that can be checked by hand, and what must not look as if it stood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.data import Encoder, Rows
from compression_engine.errors import EngineError
from compression_engine.evaluation import MEASURES, questions
from compression_engine.measure import adversarial
from compression_engine.measure.context import Context, Found
from compression_engine.measure.running import answered
from compression_engine.plan import MEASURE_NAMES, Plan, PlannedAttack, plan_schema
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from compression_engine.stage_store import StageStore
from tests.engine import nets

ATTACK = PlannedAttack(100, steps=8, restarts=2, queries=60, rows=200)
PLAN = Plan(task="classification", label="y", scores="logits", measures=("adversarial",), attack=ATTACK)
FEATURES = 4


def scores(*before: onnx.NodeProto, weights: tuple[float, ...] = (1, 0, 0, 0), **more: Any) -> onnx.ModelProto:
    """x [rows, 4] -> the first number (or what `weights` make of all) as the score of class 1, its opposite as that of class 0."""
    column = np.array([[-one, one] for one in weights], dtype=np.float32)
    nodes = [*before, helper.make_node("MatMul", ["seen" if before else "x", "w"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": (TensorProto.FLOAT, ["n", 2])})
    return nets.model(nodes, {"w": column, **more}, *ports)


def data(count: int = 200, near: float = 0.5) -> Rows:
    """A share `near` of the rows is 0.1 from the border of both classes, the others 1; every number lies in -1 to 1."""
    draw = np.random.default_rng(5)
    sides = np.where(np.arange(count) % 2, 1.0, -1.0)
    x = draw.uniform(-1, 1, size=(count, FEATURES))
    x[:, 0] = sides * np.where(np.arange(count) < near * count, 0.1, 1.0)
    x[0], x[1] = -1, 1
    return Rows("sha256:" + "0" * 64, (), {"x": x.astype(np.float32)}, (), {"y": (sides > 0).astype(np.int64)})


def context(
    folder: Path, version: onnx.ModelProto, parent: onnx.ModelProto | None = None, plan: Plan = PLAN, **more: Any
) -> Context:
    saved = {"version": nets.save(version, folder, "version.onnx")}
    if parent is not None:
        saved["parent"] = nets.save(parent, folder, "parent.onnx")
    models = {role: Model(path, 1) for role, path in saved.items()}
    rows = more.pop("rows", None) or data()
    encoder = Encoder(rows, models["version"].inputs(), None, plan)
    return Context(answered(models, encoder, plan), plan, seed=2, models=models, paths=saved, encoder=encoder, **more)


def figure(found: list[Found], metric: str, attack: str | None = None) -> Measurement:
    """The figure of a metric; `{}` stands for how far rows were moved."""
    name, wanted = metric.format("within_100_per_mille"), () if attack is None else (("attack", attack),)
    (one,) = [one for one in found[0].measurements if one.metric == name and tuple(one.slice) == wanted]
    return one


def test_rows_near_the_border_fall_and_the_others_stand(tmp_path: Path) -> None:
    """A tenth of the range is 0.2: rows that are 0.1 from the border fall, all 98 of them that were near."""
    found = adversarial.measure(context(tmp_path, scores()))
    assert found[0].kind == "adversarial"
    stood = figure(found, "accuracy_{}")
    assert (stood.value, stood.n) == (102 / 200, 200)
    assert stood.low is not None and stood.low < 0.51 < (stood.high or 0)  # noqa: PT018  one bound without the other says nothing
    assert figure(found, "clean_accuracy").value == 1
    assert figure(found, "accuracy_{}_loss").value == 98 / 200
    assert figure(found, "hidden_{}").value == 0
    assert "100 thousandths" in stood.plain
    facts = dict(found[0].facts)
    assert (facts["attack_steps"], facts["attack_rows"], facts["attack_epsilon_per_mille"]) == ("8", "200", "100")


def test_without_gradients_alone_the_same_rows_fall(tmp_path: Path) -> None:
    """What rounds its inputs finely has gradients that lead nowhere: it must not look as if it stood."""
    rounded = [
        helper.make_node("Mul", ["x", "fine"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["whole"]),
        helper.make_node("Div", ["whole", "fine"], ["seen"]),
    ]
    found = adversarial.measure(context(tmp_path, scores(*rounded, fine=np.array(100, np.float32))))
    assert figure(found, "accuracy_{}", "own_gradients").value > 0.55  # type: ignore[operator]
    assert figure(found, "accuracy_{}").value == 102 / 200
    hidden = figure(found, "hidden_{}").value
    assert hidden is not None
    assert hidden == pytest.approx(figure(found, "accuracy_{}", "own_gradients").value - 102 / 200)  # type: ignore[operator]
    assert hidden > 0.04


@pytest.mark.parametrize("parents", [False, True])
def test_where_nothing_could_be_tried_nothing_is_said_to_stand(tmp_path: Path, parents: bool) -> None:
    """Without queries, steps along gradients that are all zero are no attack, the model's own or its parent's."""
    step, plan = helper.make_node("Round", ["x"], ["seen"]), replace(PLAN, attack=replace(ATTACK, queries=0))
    found = adversarial.measure(context(tmp_path, scores(step), scores(step) if parents else None, plan))
    stood = figure(found, "accuracy_{}")
    assert (stood.value, stood.n) == (None, 0)
    assert "no attack could be made" in stood.plain
    assert "zero, or no numbers, on every row" in (stood.reason or "")
    assert not [one for one in found[0].measurements if one.value is not None]


def test_a_model_that_is_only_sure_of_itself_falls_as_well(tmp_path: Path) -> None:
    """Softmax of scores a thousand times as large is 0 or 1, and has no gradient left."""
    sure = scores(weights=(1000, 0, 0, 0))
    sure.graph.node[0].output[0] = "scores"
    sure.graph.node.append(helper.make_node("Softmax", ["scores"], ["y"], axis=1))
    plan = replace(PLAN, scores="probabilities")
    found = adversarial.measure(context(tmp_path, sure, plan=plan))
    assert figure(found, "accuracy_{}", "own_gradients").value == 102 / 200


def test_a_quantised_child_is_attacked_along_its_parent_and_says_so(tmp_path: Path) -> None:
    steps: dict[str, Any] = {"scale": np.array(0.01, np.float32), "zero": np.array(128, np.uint8)}
    child = scores(
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["seen"]),
        **steps,
    )
    plan = replace(PLAN, attack=replace(ATTACK, queries=0))
    found = adversarial.measure(context(tmp_path, child, scores(), plan))
    own = figure(found, "accuracy_{}", "own_gradients")
    assert own.value is None
    assert own.reason == dict(found[0].facts)["attack_version_own_gradients"]
    assert figure(found, "accuracy_{}", "other_gradients").value == 102 / 200
    assert figure(found, "accuracy_{}", "no_gradients").reason == "the plan asks for no queries"
    assert not [one for one in found[0].measurements if one.metric.startswith("hidden")]


def test_the_parent_stands_beside_it_on_the_same_rows(tmp_path: Path) -> None:
    """The parent hangs on a second number of little worth, which the attack moves for it alone."""
    parent = scores(weights=(1, 4, 0, 0))
    rows = data()
    np.asarray(rows.arrays["x"])[2:, 1] = 0
    found = adversarial.measure(context(tmp_path, scores(), parent, rows=rows))
    difference = figure(found, "accuracy_{}_difference")
    theirs = figure(found, "parent_accuracy_{}").value
    assert theirs is not None
    assert difference.value == pytest.approx(102 / 200 - theirs)
    assert theirs < 0.3
    assert difference.low is not None
    assert difference.low > 0
    assert "more stand than of the original's" in difference.plain


@pytest.mark.parametrize("shape", [(1, 6, 6), (5, 3)])
def test_pictures_and_sound_are_searched_too(tmp_path: Path, shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(1)
    x = draw.uniform(0, 1, size=(60, *shape)).astype(np.float32)
    means = x.reshape(60, -1).mean(1)
    rows = Rows("sha256:" + "0" * 64, (), {"x": x}, (), {"y": (means > 0.5).astype(np.int64)})
    nodes = [
        helper.make_node("Round", ["scaled"], ["whole"]),
        helper.make_node("Flatten", ["whole"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1]),
        helper.make_node("Sub", ["mean", "half"], ["y"]),
    ]
    nodes.insert(0, helper.make_node("Mul", ["x", "fine"], ["scaled"]))
    tensors = {"fine": np.array(1000, np.float32), "half": np.array([[500]], np.float32)}
    ports = ({"x": (TensorProto.FLOAT, ["n", *shape])}, {"y": (TensorProto.FLOAT, ["n", 1])})
    found = adversarial.measure(context(tmp_path, nets.model(nodes, tensors, *ports), rows=rows))
    standing = np.abs(means - 0.5).astype(float) > 0.1
    # all places moved to one side are the most that could be found
    assert standing.mean() <= figure(found, "accuracy_{}").value < 0.4  # type: ignore[operator]
    assert figure(found, "accuracy_{}", "own_gradients").value > 0.5  # type: ignore[operator]


def test_without_labels_an_answer_is_to_stay_what_it_was(tmp_path: Path) -> None:
    plan = replace(PLAN, label=None)
    rows = data()
    found = adversarial.measure(context(tmp_path, scores(), plan=plan, rows=replace(rows, columns={})))
    assert figure(found, "agreement_{}").value == 102 / 200
    assert not [one for one in found[0].measurements if one.metric == "clean_agreement"]


def test_a_range_is_that_of_each_place_of_a_table_unless_the_plan_says_otherwise(tmp_path: Path) -> None:
    """Beside a number that reaches from -10 to 10 a tenth of the range of all numbers is 2, which turns every row."""
    rows = data()
    np.asarray(rows.arrays["x"])[:, 1] *= 10
    for scale, standing in (("automatic", 102 / 200), ("feature", 102 / 200), ("input", 0)):
        plan = replace(PLAN, attack=replace(ATTACK, scale=scale))
        assert (
            figure(adversarial.measure(context(tmp_path, scores(), plan=plan, rows=rows)), "accuracy_{}").value
            == standing
        )


def test_a_fixed_first_dimension_changes_nothing(tmp_path: Path) -> None:
    fixed = scores()
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 7
    assert figure(adversarial.measure(context(tmp_path, fixed)), "accuracy_{}").value == 102 / 200


def test_what_cannot_be_moved_is_said_with_the_reason(tmp_path: Path) -> None:
    numbers = replace(PLAN, task="regression")
    whole = scores(helper.make_node("Cast", ["x"], ["seen"], to=TensorProto.FLOAT))
    whole.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    counts = replace(data(), arrays={"x": np.sign(data().arrays["x"]).astype(np.int64)})
    for found, said in (
        (adversarial.measure(context(tmp_path, whole, rows=counts)), "No input of the model holds real numbers"),
        (adversarial.measure(replace(context(tmp_path, scores()), plan=numbers)), "only answers that are classes"),
    ):
        (missing,) = found[0].measurements
        assert (missing.value, missing.metric) == (None, "accuracy_within_100_per_mille")
        assert said in (missing.reason or "")


def test_nothing_is_asked_where_the_plan_does_not_say_how_far(tmp_path: Path) -> None:
    plan = replace(PLAN, attack=None, measures=())
    assert adversarial.measure(replace(context(tmp_path, scores()), plan=plan)) == []
    assert "adversarial" in questions(PLAN)
    assert tuple(MEASURES) == MEASURE_NAMES


def test_a_run_that_was_killed_does_not_attack_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = StageStore(tmp_path / "stages", "of these models")
    first = adversarial.measure(context(tmp_path, scores(), stages=stages))
    from compression_engine.measure.attacks import Attacked

    monkeypatch.setattr(Attacked, "clean", None)
    again = adversarial.measure(context(tmp_path, scores(), stages=stages))
    assert again[0].measurements == first[0].measurements
    with pytest.raises(TypeError):
        adversarial.measure(
            context(tmp_path, scores(), stages=stages, plan=replace(PLAN, attack=replace(ATTACK, steps=9)))
        )


def test_a_plan_says_how_far_and_older_plans_keep_their_digest() -> None:
    older = Plan(task="classification", label="label", measures=("size",))
    assert older.digest() == "sha256:a79bbdeda00d69c212cbf01eb78df108404fefeea49e3aac1ce5afbaba9e4a2e"
    draft = {"type": "pressmark/evaluation_plan/1", "task": "classification", "attack": {"epsilon_per_mille": 30}}
    plan = Plan.parse(draft)
    assert plan.attack == PlannedAttack(30)
    assert Plan.parse(plan.document()) == plan
    for held in (plan, older):
        jsonschema.validate(held.document(), plan_schema())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"attack": {"steps": 3}}, "'attack' is"),
        ({"attack": 5}, "'attack' is"),
        ({"attack": {"epsilon_per_mille": 30, "norm": 2}}, "'attack' is"),
        ({"attack": {"epsilon_per_mille": 30, "scale": "row"}}, "'attack.scale' is 'row'"),
        ({"attack": {"epsilon_per_mille": 0}}, "attack.epsilon_per_mille"),
        ({"attack": {"epsilon_per_mille": True}}, "attack.epsilon_per_mille"),
        ({"measures": ["adversarial"]}, "has no 'attack'"),
        ({"measures": ["size"], "attack": {"epsilon_per_mille": 30}}, "does not ask about"),
    ],
)
def test_a_plan_that_does_not_fit_says_what_is_wrong(more: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError) as caught:
        Plan.parse({"type": "pressmark/evaluation_plan/1", "task": "classification", **more})
    assert caught.value.code == "plan_invalid"
    assert said in caught.value.message
