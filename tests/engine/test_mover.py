"""How weights are moved: by the mean over a batch, in whatever pieces it is answered, and drawn to zero where they are matrices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from compression_engine.training.moving import Mover
from compression_engine.training.network import Network
from compression_engine.training.schedule import Schedule
from tests.engine.learning import FAST, handed, learned, net

PLAIN = replace(FAST, epochs=1, optimiser="sgd", clip=0.0)


def test_rows_that_are_answered_one_by_one_move_weights_as_those_of_a_batch(tmp_path: Path) -> None:
    fixed = net()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    one, other = (learned(handed(tmp_path), model, PLAIN)[0] for model in (net(), fixed))
    assert not np.allclose(
        one["first"], learned(handed(tmp_path), net(), replace(PLAIN, learning_rate=1e-9))[0]["first"]
    )
    for name in one:
        np.testing.assert_allclose(other[name], one[name], atol=1e-5)


def test_the_longest_gradient_is_that_over_all_weights_together() -> None:
    network = Network(net())
    before = {name: weight.detach().clone() for name, weight in network.weights.items()}
    schedule = Schedule(1, optimiser="sgd", learning_rate=1.0, momentum=0.0, clip=0.5)
    mover = Mover(network, None, schedule, (), (), keep_zeros=True)
    mover.begin()
    mover.learn(torch.stack([(weight * 100).sum() for weight in network.weights.values()]).sum())
    mover.move(1.0)
    moved = torch.cat([(weight.detach() - before[name]).reshape(-1) for name, weight in network.weights.items()])
    assert abs(float(moved.norm()) - 0.5) < 1e-3


def test_matrices_are_drawn_towards_zero_and_vectors_are_not() -> None:
    network = Network(net())
    with torch.no_grad():
        for weight in network.weights.values():
            weight.fill_(1.0)
    mover = Mover(network, None, Schedule(1, optimiser="sgd", learning_rate=0.1, weight_decay=0.5), (), (), True)
    mover.begin()
    mover.learn(torch.stack([(weight * 0).sum() for weight in network.weights.values()]).sum())
    mover.move(1.0)
    found = {name: round(float(weight.detach().reshape(-1)[0]), 4) for name, weight in network.weights.items()}
    assert found == {"first": 0.95, "first_bias": 1.0, "second": 0.95, "second_bias": 1.0}
