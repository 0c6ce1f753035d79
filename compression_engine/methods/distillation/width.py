"""Makes a student narrower: of every layer stays a share of its channels, heads and hidden units.

How: what falls together is followed as `prune_structured` does; of each group of channels the same share stays, those through which
most of the next layers' answers to training rows varies; layers that read fewer channels then get the weights of least squares
towards what the whole model answered, so that training begins near it.

Rules:
- rounded up to a multiple of four channels, which kernels are fast on; one of a group at least;
- inputs and outputs of the model keep their sizes, and with them all that is tied to them by sums;
- at most 256 of the rows that are learned from are looked at, none that is held out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from compression_engine.canonical import JSON
from compression_engine.errors import RecipeError
from compression_engine.formats.onnx_graph import FLOATS, lift_constants
from compression_engine.methods.structured_pruning.axes import Options
from compression_engine.methods.structured_pruning.choice import Costs, Group, Scores, groups_of
from compression_engine.methods.structured_pruning.cut import Cutting, Mask, check, cut
from compression_engine.methods.structured_pruning.following import check_finite, followed
from compression_engine.methods.structured_pruning.importance import activation, completed, magnitude
from compression_engine.methods.structured_pruning.making_good import WEIGHTS, make_good
from compression_engine.methods.structured_pruning.readers import readers_of
from compression_engine.methods.structured_pruning.shapes import look, typical_feeds
from compression_engine.progress import Progress

if TYPE_CHECKING:
    from compression_engine.training.material import Parts

WHOLE = 1000
_MULTIPLE = 4
_ROWS_LOOKED_AT = 256


@dataclass(frozen=True)
class Narrowed:
    """What a student lost in width: sizes of each weight before and after, and how many of the multiply-adds are left that it had
    with its layers gone."""

    sizes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    multiply_adds_per_mille: int

    def told(self) -> dict[str, str]:
        """Each weight that lost something, in words."""
        words = {name: [" x ".join(map(str, sizes)) for sizes in both] for name, both in self.sizes.items()}
        return {name: f"{before} became {after}" for name, (before, after) in words.items()}

    def document(self) -> dict[str, JSON]:
        """As RESULT.json holds it among what the student is; nothing where nothing was asked."""
        if not self.sizes:
            return {}
        entries: list[JSON] = [
            {"after": list(after), "before": list(before), "name": name}
            for name, (before, after) in sorted(self.sizes.items())
        ]
        return {"multiply_adds_per_mille": self.multiply_adds_per_mille, "narrowed": entries}


def narrow(model: onnx.ModelProto, parts: Parts, kept_per_mille: int, progress: Progress) -> Narrowed:
    """Takes channels out of a model, in place, until a share of each layer's is left.

    Raises RecipeError (recipe_does_not_fit), FileRefused (weights_not_finite), DataError, OutputRefused (output_does_not_run).
    """
    if kept_per_mille == WHOLE:
        return Narrowed({}, WHOLE)
    from compression_engine.training.looked_at import calibration_of

    lift_constants(model.graph, 1)
    check_finite(model)
    seen = look(model, typical_feeds(parts.encoder))
    found, classes = followed(model, seen, Options(heads="whole", width=True))
    groups, readers = groups_of(model, found, classes), readers_of(model, found)
    calibration = calibration_of(parts, _ROWS_LOOKED_AT)
    scores = completed(activation(model, classes, readers, calibration, progress), magnitude(model, found, classes))
    kept = _kept(groups, scores, classes.count, kept_per_mille)
    if kept.all():
        hint = "Ask for a smaller width_per_mille, keep fewer layers, or declare a student."
        message = f"None of {len(groups)} groups of channels of the model can lose some at a width of {kept_per_mille} per mille."
        raise RecipeError("recipe_does_not_fit", message, hint)
    cutting, whole = Cutting(found, classes, kept), onnx.ModelProto()
    whole.CopyFrom(model)
    cut(model, cutting)
    check(model, seen, cutting)
    make_good(whole, model, readers, cutting, calibration, WEIGHTS, progress)
    costs, every = Costs(whole, found, classes), np.ones(classes.count, dtype=bool)
    left = costs.multiply_adds(kept) / max(1.0, costs.multiply_adds(every))
    return Narrowed(_sizes(whole, cutting), round(WHOLE * left))


def _kept(groups: list[Group], scores: Scores, count: int, kept_per_mille: int) -> Mask:
    """Which classes stay, [count]: of each group the same share, the most important."""
    kept = np.ones(count, dtype=bool)
    for group in groups:
        ranked = group.classes[np.argsort(scores[group.classes], kind="stable")]
        unit = _MULTIPLE // math.gcd(_MULTIPLE, group.channels)
        wanted = -(-len(ranked) * kept_per_mille // WHOLE)
        kept[ranked[: max(0, len(ranked) - -(-wanted // unit) * unit)]] = False
    return kept


def _sizes(whole: onnx.ModelProto, cutting: Cutting) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    return {
        tensor.name: (tuple(tensor.dims), cutting.shape(tensor.name))
        for tensor in whole.graph.initializer
        if tensor.data_type in FLOATS and cutting.shape(tensor.name) != tuple(tensor.dims)
    }
