"""Target 4: training with rounded numbers against static rounding after training, on the same network, rows and integers.

Both compute every layer in 8-bit activations and weights of few bits a channel, with the ranges that the same training rows give;
static rounding corrects biases and moves what is hard to round into weights, training learns from the parent's answers. With 4 bits
static rounding loses a few of 1,500 rows, so that the share won back rests on a handful of rows; with 2 bits it loses hundreds.
The peer, torch.ao, trains the same layers in torch with its own fake quantisation for the same epochs; its figure is what its
simulation answers, since torch has no kernels for such weights.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer, reported
from tests.bench.training_material import SEEDS, Net, TrainingMaterial, accuracy, in_torch
from tests.bench.training_unstructured import recipe

_RATES_PER_MILLION = {4: 50, 2: 500}
"""By the bits of weights; chosen by the rows that training holds out."""
_WON_BACK = 0.5
_EPOCHS, _BATCH = 3, 32
_POINTS = 100
_PEER = "torch.ao"


@dataclass(frozen=True)
class _Trained:
    """A child: the share of held-back rows that it names rightly, and how far its file is from its simulation."""

    share: float
    apart_steps: float
    equal: int
    rows: int
    bytes: int


def rows(material: TrainingMaterial) -> list[Row]:
    """Rows for 4 bits and for 2; a quick run trains one seed for one epoch."""
    net = material.net()
    begun, held = accuracy(net.model, net)
    found = [reported("qat.parent", "QAT: the original names the right class", begun, "share", held)]
    for bits in _RATES_PER_MILLION:
        found += _of_bits(material, net, bits, begun, held)
    return found


def _of_bits(material: TrainingMaterial, net: Net, bits: int, begun: float, held: int) -> list[Row]:
    seeds = SEEDS[:1] if material.quick else SEEDS
    without = _rounded(material, net, bits)
    trained = [_trained(material, net, bits, seed) for seed in seeds]
    lost = _POINTS * (begun - accuracy(without, net)[0])
    left = [_POINTS * (begun - one.share) for one in trained]
    key, what = f"qat.{bits}", f"QAT: {bits}-bit weights, 8-bit activations"
    spread = max(left) - min(left) if len(left) > 1 else None
    told = [
        reported(f"{key}.static", f"{what}: points lost by static rounding after training", lost, "points", held),
        reported(
            f"{key}.trained",
            f"{what}: points lost with training",
            statistics.fmean(left),
            "points",
            held * len(left),
            spread,
        ),
    ]
    mean = statistics.fmean(left)
    if lost > 0:
        told.append(
            at_least(
                f"{key}.won_back",
                f"{what}: share of the loss that is won back",
                1 - mean / lost,
                _WON_BACK,
                "share",
                len(seeds),
                None if spread is None else spread / lost,
            )
        )
    else:
        told.append(
            not_measured(f"{key}.won_back", f"{what}: share won back", "share", "static rounding loses nothing here")
        )
    apart, checked = max(one.apart_steps for one in trained), sum(one.rows for one in trained)
    unlike = sum(one.rows - one.equal for one in trained)
    size = net.model.stat().st_size / trained[0].bytes
    return [
        *told,
        at_most(
            f"{key}.apart",
            f"{what}: file against simulation, largest difference in 255ths of the range",
            apart,
            1,
            "steps",
            checked,
        ),
        at_most(
            f"{key}.unlike", f"{what}: rows whose class differs between file and simulation", unlike, 0, "rows", checked
        ),
        reported(f"{key}.size", f"{what}: times smaller than the original", size, "ratio", 1),
        _peer(material, net, bits, begun, held),
    ]


def _rounded(material: TrainingMaterial, net: Net, bits: int) -> Path:
    parameters = {"weight_bits": bits, "most_change_per_mille": 1000}
    file = recipe(material.folder, f"static-{bits}", [("quantize_static", parameters)], 0)
    options = ["--calibration", str(net.rows("training"))]
    return material.child(net.model, file, f"static-{bits}", net, options) / "model.onnx"


def _trained(material: TrainingMaterial, net: Net, bits: int, seed: int) -> _Trained:
    parameters: dict[str, Any] = {
        "weight_bits": bits, "epochs": _epochs(material), "batch_size": _BATCH,
        "learning_rate_per_million": _RATES_PER_MILLION[bits],
    }  # fmt: skip
    file = recipe(material.folder, f"qat-{bits}", [("quantize_aware_training", parameters)], seed)
    folder = material.child(net.model, file, f"qat-{bits}-{seed}", net, ["--training", str(net.rows("training"))])
    (step,) = json.loads((folder / "RESULT.json").read_text(encoding="utf-8"))["steps"]
    (simulated,) = step["simulated"]
    share, _ = accuracy(folder / "model.onnx", net)
    size = (folder / "model.onnx").stat().st_size
    return _Trained(share, float(simulated["apart_steps"]), simulated["equal_rows"], simulated["rows"], size)


def _epochs(material: TrainingMaterial) -> int:
    return 1 if material.quick else _EPOCHS


def _peer(material: TrainingMaterial, net: Net, bits: int, begun: float, held: int) -> Row:
    key, what = (
        f"qat.{bits}.peer",
        f"QAT: {bits}-bit weights: points lost by {_PEER} with the same {_epochs(material)} epochs",
    )
    try:
        share = _by_torch(net, bits, _epochs(material))
    except (ImportError, AttributeError, RuntimeError) as error:
        return not_measured(key, what, "points", f"{type(error).__name__}: {str(error)[:200]}")
    return of_a_peer(key, what, _POINTS * (begun - share), "points", held)


def _by_torch(net: Net, bits: int, epochs: int) -> float:
    """The share of held-back rows that torch.ao's simulation names rightly after so many epochs on labels, no rows held out."""
    import warnings

    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEEDS[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated in favour of torchao, and says so at each call
        network = _prepared(in_torch(net.model), bits)
    with np.load(net.rows("training")) as held:
        images, labels = torch.from_numpy(held["image"]), torch.from_numpy(held["label"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATES_PER_MILLION[bits] / 1e6, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * -(-len(images) // _BATCH))
    order = torch.Generator().manual_seed(SEEDS[0])
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=order).split(_BATCH):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimiser.step()
            rates.step()
    network.apply(torch.ao.quantization.disable_observer)
    network.eval()
    with np.load(net.rows("held_back")) as held, torch.no_grad():
        named = network(torch.from_numpy(held["image"])).argmax(dim=1).numpy()
        return float((named == held["label"]).mean())


def _prepared(network: Any, bits: int) -> Any:
    """The network with torch.ao's fake quantisation: weights symmetric by channel, activations of 8 bits by moving averages."""
    import torch
    from torch.ao import quantization
    from torch.ao.quantization import quantize_fx

    weight = quantization.FakeQuantize.with_args(
        observer=quantization.MovingAveragePerChannelMinMaxObserver,
        quant_min=-(2 ** (bits - 1)),
        quant_max=2 ** (bits - 1) - 1,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    activation = quantization.FakeQuantize.with_args(
        observer=quantization.MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8
    )
    mapping = quantization.QConfigMapping().set_global(quantization.QConfig(activation=activation, weight=weight))
    example = torch.zeros(1, 1, 28, 28)
    return quantize_fx.prepare_qat_fx(network.train(), mapping, (example,))
