"""Trains a model while its numbers are rounded, and writes the integers with which it was trained.

How: the layers that `quantize_static` would compute in integers, and the weights that it would store, are found by its rules; a
normalisation behind a convolution is folded into it by its stored statistics before anything is trained. Ranges begin as those
that training rows give, weights with the scales of least squared error. Then the graph that will be written is trained in floats
with every number on its grid (`training.fake_quantization`), scales too where the recipe says so, and its integers are written by
the same writer. At last onnxruntime runs what was written on rows that were not learned from, and the child is refused where it
answers otherwise than it was trained to (`quantization_aware.check`).

Limits: layers are trained in the arithmetic of onnxruntime's kernels on processors with 8-bit dot products; where products
saturate inside (AVX2 alone), the check fails. Zeros of pruned weights stay zeros.
Sources: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", 2018;
Esser et al., "Learned step size quantization", 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from compression_engine.errors import DataError
from compression_engine.formats.onnx_graph import lift_constants
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.quantization_aware.check import check_answers
from compression_engine.methods.quantization_aware.graph import Sketch, separate, sketched
from compression_engine.methods.quantization_aware.stored import Storable, find_storable, store_trained
from compression_engine.methods.report import Report
from compression_engine.methods.static_quantization.equalize import Ranging
from compression_engine.methods.static_quantization.layers import fitting_layers, made_of, ranged_steps
from compression_engine.methods.static_quantization.net import Layer, Net
from compression_engine.methods.static_quantization.prepare import prepare, products_with_bias
from compression_engine.methods.static_quantization.ranges import Steps
from compression_engine.methods.static_quantization.weights import LIMITS, weight_scale
from compression_engine.methods.static_quantization.wide import narrow, widen
from compression_engine.methods.static_quantization.writer import Numbers
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.observing import Watching
from compression_engine.training.schedule import schedule_of

if TYPE_CHECKING:
    from compression_engine.training.fake_quantization import FakeQuantization
    from compression_engine.training.material import Parts, Training
    from compression_engine.training.network import Network

_RANGED_ROWS_MOST = 1024
_STORED_LEAST = 1024
_RANGES, _WHOLE = "mse", 100_000
_FLOATS = 32


@dataclass(frozen=True)
class _Plan:
    """What will be integers: layers, with the steps of what flows between them, and weights that are stored alone."""

    model: onnx.ModelProto
    layers: Sequence[Layer]
    steps: dict[str, Steps]
    sketch: Sketch
    storable: Sequence[Storable]
    bits: int


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    training: Training | None = None,
) -> None:
    """Changes a model in place. Afterwards `report` names every large weight, the layers that stay in floats, and how near the
    answers of what was written are to those of what was trained.

    Raises FileRefused (weights_not_finite), RecipeError (recipe_does_not_fit), DataError (data_missing, label_missing, ...),
    EngineError (cannot_be_trained, training_diverged, answers_differ, teacher_does_not_fit).
    """
    from compression_engine.training.adversarial import attack_of
    from compression_engine.training.fake_quantization import LOG_RATE
    from compression_engine.training.lesson import lesson
    from compression_engine.training.loop import Beside, fit
    from compression_engine.training.moving import Own

    if training is None:
        hint = "Give rows of the model's inputs; with the loss teacher they need no labels."
        raise DataError("data_missing", "quantize_aware_training needs training rows, there are none.", hint)
    kind = str(parameters["loss"])
    parts = training.parts(model, labelled=kind != "teacher", progress=progress)
    lift_constants(model.graph, 1)
    spared = left_out(model, parameters["exclude"], report)
    halves = widen(model)
    plan = _planned(model, parts, parameters, spared, report, progress)
    attack = attack_of(parameters)
    with lesson(plan.sketch.model, training, kind, attack=attack, parts=parts, progress=progress) as given:
        fake = _faked(given.network, plan)
        schedule = schedule_of(parameters)
        own = [Own(fake.shifts, schedule.learning_rate * LOG_RATE)] if parameters["learn_scales"] else []
        beside = Beside(own=own, frozen=spared, taught=given.taught)
        curve = fit(given.network, given.parts, given.loss, schedule, progress=progress, beside=beside)
    given.network.write_back(model)
    made = made_of(model, plan.layers, _numbers(fake, plan), report) if plan.layers else model
    store_trained(made, plan.storable, fake, plan.bits, spared, report)
    check_answers(made, given.network, parts, report, progress)
    report.train(curve.document() | ({} if given.attack is None else {"adversarial": given.attack}))
    model.CopyFrom(made)
    narrow(model, halves)


def _planned(
    model: onnx.ModelProto,
    parts: Parts,
    parameters: dict[str, Value],
    spared: frozenset[str],
    report: Report,
    progress: Progress,
) -> _Plan:
    """Prepares a model, in place, and finds what will be integers."""
    from compression_engine.training.looked_at import calibration_of

    bits, least = integer_of(parameters["weight_bits"]), integer_of(parameters["min_elements"])
    layers: Sequence[Layer] = ()
    steps: dict[str, Steps] = {}
    if integer_of(parameters["activation_bits"]) != _FLOATS:
        prepare(model, spared)
        # some of the rows that are learned from, evenly spaced; those of sequences as they follow each other
        watching = Watching.of(model, calibration_of(parts, _RANGED_ROWS_MOST), progress)
        products_with_bias(model, watching)
        layers = separate(model, fitting_layers(watching, least, spared, report), report)
        steps = ranged_steps(watching, layers, Ranging(_RANGES, _WHOLE))
        least = max(least, _STORED_LEAST)
    sketch = sketched(model, Net(model).place(layers))
    taken = spared | {layer.weight for layer in layers}
    return _Plan(model, layers, steps, sketch, find_storable(sketch.model, least, taken, report), bits)


def _faked(network: Network, plan: _Plan) -> FakeQuantization:
    """Puts the network's numbers on their grids."""
    import torch

    from compression_engine.training.fake_quantization import Added, FakeQuantization, Flow, Kept, Summed

    net = Net(plan.sketch.model)
    flows = {
        name: Flow(plan.steps[original].scale, plan.steps[original].zero)
        for name, original in plan.sketch.flows.items()
    }
    kept, layers = {}, []
    for layer in plan.sketch.layers:
        array, bounds = net.array(layer.weight), LIMITS[plan.bits]
        scale = weight_scale(array, layer.axis, None, 1.0, plan.bits)
        shape = [-1 if axis == layer.axis else 1 for axis in range(array.ndim)]
        kept[layer.weight] = Kept(torch.from_numpy(scale.reshape(shape)), bounds)
        channels = 1 if layer.operator == "Conv" else -1
        layers.append(Summed(layer.source, layer.weight, layer.bias, layer.output, channels))
    for one in plan.storable:
        kept[one.name] = Kept(torch.from_numpy(one.scale(plan.bits)), LIMITS[plan.bits])
    sums = tuple(Added(*names) for names in plan.sketch.sums)
    fake = FakeQuantization(flows, kept, tuple(layers), network.weights, network.device, sums)
    fake.attach(network)
    return fake


def _numbers(fake: FakeQuantization, plan: _Plan) -> Numbers:
    """The steps and scales as they are now, for the writer."""
    steps = {}
    for name, original in plan.sketch.flows.items():
        steps[original] = Steps(float(fake.flow_scale(name).item()), plan.steps[original].zero)
    scales = {
        layer.weight: np.ascontiguousarray(fake.weight_scale(layer.weight).detach().cpu().numpy().reshape(-1))
        for layer in plan.layers
    }
    return Numbers(steps, weight_bits=plan.bits, weight_scales=scales)
