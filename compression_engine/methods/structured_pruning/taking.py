"""One pruning of a graph: what falls together is followed, judged, chosen, cut and made good, and the outcome is checked.

Rules:
- shares are of what the network was before its first pruning, so that rounds go on from one another;
- rows that are looked at anyway show what sizes real ones have (`Rows.feeds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from compression_engine.data import Encoder, Feed
from compression_engine.errors import RecipeError
from compression_engine.formats.onnx_graph import FLOATS
from compression_engine.methods.structured_pruning.axes import Classes, Options, Trace
from compression_engine.methods.structured_pruning.choice import (
    Costs,
    Limits,
    Scores,
    Whole,
    Wish,
    choose,
    groups_of,
)
from compression_engine.methods.structured_pruning.cut import Cutting, check, cut
from compression_engine.methods.structured_pruning.following import followed
from compression_engine.methods.structured_pruning.importance import activation, completed, magnitude
from compression_engine.methods.structured_pruning.making_good import make_good
from compression_engine.methods.structured_pruning.readers import Reader, readers_of
from compression_engine.methods.structured_pruning.shapes import look, typical_feeds
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.calibration import Calibration

if TYPE_CHECKING:
    from compression_engine.training.material import Training

MAGNITUDE, ACTIVATION, TAYLOR, ANSWERS = "magnitude", "activation", "taylor", "answers"
NONE = "none"
_MATRIX = 2


@dataclass(frozen=True)
class Rows:
    """What a pruning may look at; None where its recipe asks for no such rows."""

    calibration: Calibration | None = None
    training: Training | None = None

    def feeds(self, model: onnx.ModelProto) -> Sequence[Feed]:
        """Inputs whose sizes are those of real rows. Raises DataError (data_does_not_fit)."""
        from compression_engine.training.graph_inputs import inputs_of

        source = self.calibration or self.training
        if source is None:
            return ()
        return typical_feeds(Encoder(source.rows, inputs_of(model), source.tokenizer, source.plan))


class Taking:
    """Takes classes out of a graph whose constants are initializers, again and again."""

    def __init__(
        self,
        model: onnx.ModelProto,
        parameters: Mapping[str, Value],
        spared: frozenset[str],
        rows: Rows,
        progress: Progress,
    ) -> None:
        self._parameters, self._rows, self._progress = parameters, rows, progress
        self._options = Options(str(parameters["heads"]), bool(parameters["width"]), spared)
        self._feeds = rows.feeds(model)
        self._whole: Whole | None = None
        self.left_per_mille = 1000

    def take(self, model: onnx.ModelProto, per_mille: int) -> Cutting:
        """Changes a model in place so that this share of what it was at first is gone; what was cut.

        Raises RecipeError (recipe_does_not_fit), DataError, EngineError, OutputRefused (output_does_not_run).
        """
        self._progress("prune", 0, 1, "following what falls together")
        seen = look(model, self._feeds)
        found, classes = followed(model, seen, self._options)
        groups = groups_of(model, found, classes)
        if not groups and self._whole is None:  # an earlier round may have taken all that can go
            raise _nothing(model, found, classes)
        readers, costs, wish = readers_of(model, found), Costs(model, found, classes), self._wish(per_mille)
        if self._whole is None:
            self._whole = Whole.of(groups, costs, wish, classes.count)
        scores = self._scores(model, found, classes, readers)
        kept = choose(groups, scores, costs, wish, self._whole, classes.count)
        self.left_per_mille = round(1000 * wish.cost(costs, kept) / self._whole.cost)
        cutting, before = Cutting(found, classes, kept), onnx.ModelProto()
        before.CopyFrom(model)
        cut(model, cutting)
        self._progress("prune", 1, 1, "checking the sizes of what is left")
        check(model, seen, cutting)
        how, calibration = str(self._parameters["compensation"]), self._rows.calibration
        if how != NONE and calibration is not None:
            make_good(before, model, readers, cutting, calibration, how, self._progress)
        return cutting

    def _wish(self, per_mille: int) -> Wish:
        given = self._parameters
        limits = Limits(integer_of(given["keep_at_least_per_mille"]), integer_of(given["round_to"]))
        return Wish(per_mille, given["share_of"] == "numbers", given["scope"] == "layer", limits)

    def _scores(self, model: onnx.ModelProto, found: Trace, classes: Classes, readers: Sequence[Reader]) -> Scores:
        by, scores = self._parameters["importance"], magnitude(model, found, classes)
        if by == ACTIVATION and self._rows.calibration is not None:
            return completed(activation(model, classes, readers, self._rows.calibration, self._progress), scores)
        if by in (TAYLOR, ANSWERS) and self._rows.training is not None:
            from compression_engine.methods.structured_pruning.gradients import by_answers, by_labels

            judged = by_labels if by == TAYLOR else by_answers
            return completed(judged(model, classes, readers, self._rows.training, self._progress), scores)
        return scores


def _nothing(model: onnx.ModelProto, found: Trace, classes: Classes) -> RecipeError:
    reasons = [
        reason
        for tensor in model.graph.initializer
        if len(tensor.dims) >= _MATRIX and tensor.data_type in FLOATS
        for reason in (classes.reason(atoms) for atoms in found.of(tensor.name))
        if reason is not None
    ]
    why = f": {'; '.join(list(dict.fromkeys(reasons))[:3])}" if reasons else ": it has no weights with channels"
    hint = "Use prune_unstructured, or quantise; with a transformer 'width' and 'heads' say what may go."
    return RecipeError("recipe_does_not_fit", f"prune_structured finds nothing that can be taken out{why}.", hint)
