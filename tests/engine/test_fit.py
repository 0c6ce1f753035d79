"""The training loop: it learns, keeps the best, leaves alone what it must, and says what went wrong."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compression_engine.errors import DataError, EngineError
from compression_engine.training.device import check_device, settled
from compression_engine.training.loop import Beside
from compression_engine.training.moving import Own
from compression_engine.training.schedule import Schedule
from tests.engine.learning import FAST, Weights, handed, learned, net, rows, same

ROOT = Path(__file__).resolve().parents[2]


def answers(weights: Weights, x: Any) -> Any:
    hidden = np.maximum(x @ weights["first"] + weights["first_bias"], 0)
    return hidden @ weights["second"] + weights["second_bias"]


def test_a_separable_problem_is_learned(tmp_path: Path) -> None:
    weights, curve = learned(handed(tmp_path))
    fresh = rows(400, seed=2)
    right = (answers(weights, fresh["x"]).argmax(1) == fresh["label"]).mean()
    assert right > 0.95
    assert curve.learned
    assert curve.validation < 0.5 * curve.points[0].validation
    assert (curve.learning_rows, curve.validation_rows) == (270, 30)
    assert curve.updates == 6 * 17


def test_plain_descent_with_momentum_learns_too(tmp_path: Path) -> None:
    _, curve = learned(handed(tmp_path), schedule=replace(FAST, optimiser="sgd", learning_rate=0.05))
    assert curve.validation < 0.5 * curve.points[0].validation


def test_a_teacher_is_learned_without_labels(tmp_path: Path) -> None:
    taught, _ = learned(handed(tmp_path / "one"))
    teacher = net(seed=0)
    from onnx import numpy_helper

    for tensor in teacher.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(taught[tensor.name], tensor.name))
    from tests.engine import nets

    path = nets.save(teacher, tmp_path / "teacher")
    bare = {"x": rows()["x"]}
    training = handed(tmp_path / "two", bare, teacher=path)
    weights, _ = learned(training, net(seed=5), replace(FAST, epochs=12), kind="teacher")
    fresh = rows(400, seed=2)["x"]
    assert (answers(weights, fresh).argmax(1) == answers(taught, fresh).argmax(1)).mean() > 0.95


def test_the_best_weights_are_kept_and_training_ends_when_patience_does(tmp_path: Path) -> None:
    training = handed(tmp_path)
    worse = iter([5.0, 3.0, 1.0, 2.0, 2.5, 4.0, 9.0])
    held: list[Weights] = []

    def beside(given: Any) -> Beside:
        value = [0.0]

        def measure(outputs: Any, batch: Any) -> torch.Tensor:
            if batch.rows[0] == given.parts.held_out(16)[0][0]:
                value[0] = next(worse)
                held.append({name: one.detach().numpy().copy() for name, one in given.network.weights.items()})
            return torch.tensor(value[0])

        return Beside(measure=measure)

    weights, curve = learned(training, schedule=replace(FAST, patience=2), beside=beside)
    assert [point.validation for point in curve.points] == [5.0, 3.0, 1.0, 2.0, 2.5]
    assert curve.best == 2
    assert same(weights, held[2])
    assert not same(weights, held[4])


def test_where_nothing_is_better_the_beginning_is_kept(tmp_path: Path) -> None:
    def beside(given: Any) -> Beside:
        return Beside(measure=lambda outputs, batch: torch.tensor(1.0))

    weights, curve = learned(handed(tmp_path), beside=beside)
    before = learned(handed(tmp_path), schedule=replace(FAST, epochs=0))[0]
    assert not curve.learned
    assert same(weights, before)


def test_frozen_weights_stay_to_the_bit_and_the_others_move(tmp_path: Path) -> None:
    before = learned(handed(tmp_path), schedule=replace(FAST, epochs=0))[0]
    weights, _ = learned(
        handed(tmp_path),
        schedule=replace(FAST, weight_decay=0.1),
        beside=lambda given: Beside(frozen={"first", "second_bias"}),
    )
    kept = {name: weights[name].tobytes() == before[name].tobytes() for name in weights}
    assert kept == {"first": True, "first_bias": False, "second": False, "second_bias": True}


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_zeros_of_a_pruned_weight_stay_and_biases_of_zeros_move(tmp_path: Path, optimiser: str) -> None:
    from onnx import numpy_helper

    model = net()
    pruned = numpy_helper.to_array(model.graph.initializer[0]).copy()
    pruned[::2] = 0
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(pruned, "first"))
    schedule = replace(FAST, optimiser=optimiser, weight_decay=0.1)
    weights, _ = learned(handed(tmp_path), model, schedule)
    assert (weights["first"][::2] == 0).all()
    assert not np.signbit(weights["first"][::2]).any()
    assert (weights["first"][1::2] != pruned[1::2]).all()
    assert (weights["first_bias"] != 0).any()
    free, _ = learned(handed(tmp_path), model, schedule, keep_zeros=False)
    assert (free["first"][::2] != 0).any()


def test_what_is_trained_beside_the_weights_has_a_rate_of_its_own(tmp_path: Path) -> None:
    moved = torch.nn.Parameter(torch.ones(3))
    still = torch.nn.Parameter(torch.ones(3))

    def beside(given: Any) -> Beside:
        given.network.overrides["y"] = lambda value: value * moved * still
        return Beside(own=[Own({"moved": moved}, 1e-2), Own({"still": still}, 0.0)])

    learned(handed(tmp_path), beside=beside)
    assert (moved != 1).all()
    assert (still == 1).all()


def test_a_hook_runs_after_every_update_and_its_state_is_that_of_the_best(tmp_path: Path) -> None:
    count = torch.zeros(1)
    validations = iter([5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    def beside(given: Any) -> Beside:
        held = given.parts.held_out(16)

        def measure(outputs: Any, batch: Any) -> torch.Tensor:
            return torch.tensor(next(validations) if batch.rows[0] == held[0][0] else 0.0)

        return Beside(state={"count": count}, measure=measure)

    _, curve = learned(handed(tmp_path), beside=beside, after_update=lambda: count.add_(1))
    assert curve.best == 1
    assert count.item() == 17  # of 102 updates: those before the best state


@pytest.mark.parametrize("where", ["begin", "later", "validation"])
def test_a_loss_that_is_no_number_ends_training_with_the_best_weights(tmp_path: Path, where: str) -> None:
    from compression_engine.training.lesson import lesson
    from compression_engine.training.loop import fit

    calls = [0]

    with lesson(net(), handed(tmp_path), "labels", progress=lambda *_: None) as given:

        def loss(outputs: Any, batch: Any) -> torch.Tensor:
            calls[0] += 1
            limit = {"begin": 0, "later": 30, "validation": 19}[where]
            return given.loss(outputs, batch) * (float("nan") if calls[0] > limit else 1.0)

        with pytest.raises(EngineError) as caught:
            fit(given.network, given.parts, loss, FAST, progress=lambda *_: None)
        weights = {name: one.detach().numpy().copy() for name, one in given.network.weights.items()}
    assert caught.value.code == "training_diverged"
    assert all(np.isfinite(one).all() for one in weights.values())
    # after 2 validation batches and 17 updates the first epoch ends; what was best then is in the network
    first_epoch = learned(handed(tmp_path), schedule=replace(FAST, epochs=0))[0]
    assert same(weights, first_epoch) == (where != "later")


def test_a_class_that_the_model_does_not_have_is_said(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    model = net()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "classes"]))
    arrays = rows()
    arrays["label"] = arrays["label"] + 5
    with pytest.raises(DataError, match="none of the model's classes"):
        learned(handed(tmp_path, arrays), model)


def test_a_model_whose_weights_are_all_frozen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        learned(handed(tmp_path), beside=lambda given: Beside(frozen=set(given.network.weights)))
    assert caught.value.code == "nothing_to_train"


def test_progress_says_epoch_loss_and_validation(tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []
    learned(handed(tmp_path), progress=lambda *line: told.append(line))
    assert all(stage == "train" and done <= total == 102 for stage, done, total, _ in told)
    assert [line[3] for line in told if line[3].startswith("epoch 6 of 6")]
    assert "validation" in told[-2][3]
    assert told[-1][1] == 102


def test_rates_rise_and_fall() -> None:
    schedule = Schedule(epochs=1, warmup=0.1)
    rates = [schedule.rate(update, 100) for update in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001


@pytest.mark.parametrize("per_mille", [1, 7, 50, 70, 100, 290, 333, 700, 1000])
def test_the_rise_is_as_long_as_whole_numbers_say_and_rates_end_at_zero(per_mille: int) -> None:
    for updates in (1, 2, 3, 19, 20, 21, 99, 100, 101, 200, 1000, 3001):
        rates = [Schedule(1, warmup=per_mille / 1000).rate(update, updates) for update in range(updates + 2)]
        rising = -(-updates * per_mille // 1000)
        assert rates[:rising] == [pytest.approx((update + 1) / rising) for update in range(rising)]
        assert rates[rising - 1] == 1.0
        left = max(1, updates - rising)
        for update in range(rising, updates):
            assert rates[update] == pytest.approx(np.cos(np.pi * (update - rising) / left / 2) ** 2)
        assert rates[updates + 1] == (0.0 if rising < updates + 1 else pytest.approx(1.0))


def test_another_process_gives_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    script = (
        "import hashlib, sys; from pathlib import Path; import torch; torch.set_num_threads(2);"
        "from tests.engine.learning import handed, learned;"
        "weights, _ = learned(handed(Path(sys.argv[1])));"
        "print(hashlib.sha256(b''.join(weights[name].tobytes() for name in sorted(weights))).hexdigest())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "2"}
    call = [sys.executable, "-c", script, str(tmp_path / "there")]
    there = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        weights, _ = learned(handed(tmp_path / "here"))
    finally:
        torch.set_num_threads(before)
    here = hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights)))
    assert there.stdout.strip() == here.hexdigest()


@pytest.mark.parametrize("name", ["gpu", "cuda", "cuda:x", "cpu:0", "cuda:999", "CPU", ""])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_device(name)
    assert caught.value.code == "device_missing"
    assert check_device("cpu") == "cpu"


def test_what_was_set_in_torch_is_set_again() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with settled("cpu"):
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (1, True)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
