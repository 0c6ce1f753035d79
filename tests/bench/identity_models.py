"""Twenty models that a stranger's file may be made from, and strangers of the same architectures, trained on the same digits.

Six architectures (with normalisation that the exporter folds, with recurrent cells, with attention) are trained from different
seeds on the 1,797 digits of scikit-learn until they are right about most of them; beside them stand a sentence encoder and two
voice detectors of one architecture that somebody else trained apart.
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEEDS = {"mlp_small": 3, "mlp_wide": 3, "cnn": 4, "lstm": 3, "gru": 2, "attention": 2}
_STRANGERS = 4
_EPOCHS = 6


@dataclass(frozen=True)
class Trained:
    """A model as ONNX, its torch weights in safetensors, and the same after a little more training."""

    name: str
    model: Path
    tensors: Path | None
    tuned: Path | None
    rows: Path | None


def write_all(folder: Path, quick: bool) -> tuple[list[Trained], list[Trained]]:
    """Parents and strangers, each in a folder of its own below `folder`; `quick` takes one seed of each architecture."""
    images, labels = _digits()
    np.savez(folder / "rows.npz", allow_pickle=False, x=images[:256])
    parents, strangers = [], []
    for name, count in SEEDS.items():
        for seed in range(1 if quick else count):
            parents.append(_train(folder / "parents", name, seed, images, labels, folder / "rows.npz"))
        for seed in range(100, 101 if quick else 100 + _STRANGERS):
            strangers.append(_train(folder / "strangers", name, seed, images, labels, None))
    return parents + _real(folder / "parents", quick), strangers


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.data / 16).astype(np.float32), found.target.astype(np.int64)


def _real(folder: Path, quick: bool) -> list[Trained]:
    import silero_vad

    data = Path(silero_vad.__file__).parent / "data"
    found = []
    for name in ("silero_vad_16k_op15", "silero_vad_half"):
        path = folder / name / "model.onnx"
        path.parent.mkdir(parents=True)
        shutil.copyfile(data / f"{name}.onnx", path)
        found.append(Trained(name, path, None, None, None))
    if not quick:
        from compression_engine.samples.language import export_minilm

        found.append(Trained("minilm", export_minilm(folder / "minilm"), None, None, None))
    return found


def _train(folder: Path, name: str, seed: int, images: Any, labels: Any, rows: Path | None) -> Trained:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    network = _network(torch, name)
    right = _fit(torch, network, images, labels, _EPOCHS, 3e-3)
    assert right > 0.8, f"{name} {seed} is right about {right:.0%} only: it learned nothing"
    place = folder / f"{name}_{seed}"
    place.mkdir(parents=True)
    _export(torch, network, place / "model.onnx")
    if rows is None:
        return Trained(place.name, place / "model.onnx", None, None, None)
    beside = folder.parent / "others" / place.name
    beside.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, beside / "model.safetensors")
    _fit(torch, network, images, labels, 2, 1e-3)
    _export(torch, network, beside / "tuned.onnx")
    return Trained(place.name, place / "model.onnx", beside / "model.safetensors", beside / "tuned.onnx", rows)


def _fit(torch: Any, network: Any, images: Any, labels: Any, epochs: int, rate: float) -> float:
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
    network.eval()
    with torch.no_grad():
        return float((network(x).argmax(dim=1) == y).float().mean())


def _export(torch: Any, network: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter announces its successor
        torch.onnx.export(
            network, (torch.zeros(2, 64),), str(path), input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=17, dynamo=False,
        )  # fmt: skip


def _network(torch: Any, name: str) -> Any:
    nn = torch.nn
    if name.startswith("mlp"):
        wide, narrow = (256, 128) if name == "mlp_wide" else (128, 64)
        return nn.Sequential(nn.Linear(64, wide), nn.ReLU(), nn.Linear(wide, narrow), nn.ReLU(), nn.Linear(narrow, 10))
    if name == "cnn":
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(768, 10),
        )  # fmt: skip

    class OfRows(nn.Module):  # type: ignore[misc, name-defined]
        """Reads the eight rows of an image one after the other, or each beside the others."""

        def __init__(self) -> None:
            super().__init__()
            self.widen = nn.Linear(8, 32)
            cell = {"lstm": nn.LSTM, "gru": nn.GRU}.get(name)
            self.body = nn.TransformerEncoderLayer(32, 4, 96, batch_first=True) if cell is None else cell(32, 48)
            self.recurrent = cell is not None
            self.last = nn.Linear(48 if self.recurrent else 256, 10)

        def forward(self, x: Any) -> Any:
            """Scores of the ten digits."""
            rows = self.widen(x.reshape(-1, 8, 8))
            if self.recurrent:
                return self.last(self.body(rows.transpose(0, 1))[0][-1])
            return self.last(self.body(rows).flatten(1))

    return OfRows()
