"""Grids under training: what numbers become on them, and where gradients go."""

from __future__ import annotations

import math

import pytest
import torch

from compression_engine.training.fake_quantization import FakeQuantization, Flow, Kept, Summed


class Overridden:
    """Stands for a network: only its overrides are asked for."""

    def __init__(self) -> None:
        self.overrides: dict[str, object] = {}


def flowing(flow: Flow) -> tuple[FakeQuantization, object]:
    network = Overridden()
    fake = FakeQuantization({"x": flow}, {}, (), {}, torch.device("cpu"))
    fake.attach(network)
    return fake, network.overrides["x"]


def test_halves_are_rounded_to_the_even_integer_before_the_zero_point_is_added() -> None:
    _, rounded = flowing(Flow(1.0, 3))
    given = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.6, -9.0, 300.0])
    assert rounded(given).tolist() == [0, 2, 2, 0, -2, -3, -3, 252]  # type: ignore[operator]


def test_gradients_go_through_rounding_and_stop_where_the_grid_ends() -> None:
    _, rounded = flowing(Flow(0.5, 0))
    given = torch.tensor([-1.0, 0.2, 60.3, 200.0], requires_grad=True)
    rounded(given).sum().backward()  # type: ignore[operator]
    assert given.grad is not None
    assert given.grad.tolist() == [0, 1, 1, 0]


def test_a_scale_learns_from_what_is_rounded_inside_and_cut_off_outside() -> None:
    """Esser et al.: round(x / s) - x / s inside, the end of the grid outside; here by the binary logarithm of the scale."""
    fake, rounded = flowing(Flow(0.5, 0))
    rounded(torch.tensor([0.2, 200.0])).sum().backward()  # type: ignore[operator]
    (shift,) = fake.shifts.values()
    expected = ((0 - 0.4) + 255) / math.sqrt(2 * 255) * 0.5 * math.log(2)
    assert shift.grad is not None
    assert float(shift.grad) == pytest.approx(expected, rel=1e-5)


def test_a_scale_grows_until_the_bias_of_its_layer_fits() -> None:
    weights = {"w": torch.full((2, 4), 1e-6), "b": torch.tensor([1e6, 0.0])}
    kept = {"w": Kept(torch.tensor([[1e-7], [1e-7]]), (-8, 7))}
    layer = Summed("x", "w", "b", "y", 1)
    fake = FakeQuantization({"x": Flow(1e-3, 0)}, kept, (layer,), weights, torch.device("cpu"))
    found = fake.weight_scale("w").detach().reshape(-1)
    assert float(found[0]) == pytest.approx(1e6 / (1e-3 * 2**30), rel=1e-5)
    assert float(found[1]) == pytest.approx(1e-7)


def test_a_sum_that_floats_blurred_is_the_integer_that_the_kernel_has() -> None:
    """Recovered from floats that are a little off, as sums of many products are."""
    network = Overridden()
    weights = {"w": torch.tensor([[3.0]])}
    kept = {"w": Kept(torch.tensor([[0.3]]), (-8, 7))}
    layer = Summed("x", "w", None, "y", 1)
    fake = FakeQuantization({"x": Flow(0.1, 0)}, kept, (layer,), weights, torch.device("cpu"))
    fake.attach(network)
    unit = 0.3 * 0.1
    found = network.overrides["y"](torch.tensor([[1234 * unit * (1 + 2e-6)]]))  # type: ignore[operator]
    assert float(found) == float(torch.tensor(1234.0) * (torch.tensor(0.3) * torch.tensor(0.1)))
