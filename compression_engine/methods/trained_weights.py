"""What became of the weights of a model that was trained: they are written back, and a step's report says of each whether it moved.

Rules:
- each weight of the network is told once, and so is each tensor that was held fixed, with the reason;
- where no epoch was better than the beginning, nothing is written;
- a weight that lost channels before is a changed one, however training went.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from compression_engine.methods.report import Report
from compression_engine.training.schedule import Curve

if TYPE_CHECKING:
    from compression_engine.training.network import Network


@dataclass(frozen=True)
class Told:
    """Words of a method for why weights did not move."""

    frozen: str
    nothing_better: str


def write_trained(
    model: onnx.ModelProto,
    network: Network,
    curve: Curve,
    frozen: Collection[str],
    told: Told,
    report: Report,
    cut: Mapping[str, str] | None = None,
) -> None:
    """Puts what was learned into a model, and each weight into the report; `cut` says what weights lost before, by name.

    Raises EngineError as `Network.write_back` does.
    """
    cut = cut or {}
    changed = set(network.write_back(model)) if curve.learned else set()
    first, best = curve.points[0].validation, curve.validation
    for name in network.weights:
        if name in changed:
            learned = f"trained; the loss on held-out rows fell from {first:.4g} to {best:.4g}"
            report.change(name, f"{cut[name]}; {learned}" if name in cut else learned)
        elif name in cut:
            report.change(name, cut[name])
        elif name in frozen:
            report.leave(name, told.frozen)
        elif curve.learned:
            report.leave(name, "no gradient reached it")
        else:
            report.leave(name, told.nothing_better)
    for name, reason in network.held.items():
        if name in cut:
            report.change(name, cut[name])
        else:
            report.leave(name, reason)
