"""Trains the weights of a model further: on its own, or after a step that took something away from it.

Rules:
- the graph stays what it is, and so do the statistics of normalisations, which it has as exported; weights alone are trained;
- what is best on the held-out rows is kept, the beginning among it: where no epoch was better, nothing is changed and that is said;
- a weight of which a tenth are exactly zero was pruned: its zeros stay (`training.loop`);
- weights that a recipe freezes stay to the bit; a name that fits none is refused;
- where a recipe asks for it, a share of the loss is of rows that are moved against the model (`training.adversarial`).
Works for classification, regression, embeddings, sequences and language models, by the plan's task (`training.losses`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import onnx

from compression_engine.canonical import shown
from compression_engine.errors import RecipeError
from compression_engine.methods.report import Report
from compression_engine.methods.trained_weights import Told, write_trained
from compression_engine.progress import Progress
from compression_engine.recipe import Value, names_of
from compression_engine.training.schedule import schedule_of

if TYPE_CHECKING:
    from compression_engine.training.material import Training

_TOLD = Told(
    frozen="the recipe freezes it",
    nothing_better="no epoch answered the held-out rows better than the model did before",
)
_ANY = "*"
_NAMED_MOST = 5


def apply(
    model: onnx.ModelProto, parameters: dict[str, Value], report: Report, progress: Progress, training: Training
) -> None:
    """Trains a model in place; `report` names every weight and holds the curve.

    Raises RecipeError (recipe_does_not_fit), DataError and EngineError as `training.lesson` and `training.loop.fit` do.
    """
    from compression_engine.training.adversarial import attack_of
    from compression_engine.training.lesson import lesson_by
    from compression_engine.training.loop import Beside, fit

    with lesson_by(parameters, model, training, attack=attack_of(parameters), progress=progress) as given:
        frozen = _frozen(list(given.network.weights), names_of(parameters["frozen"]))
        beside = Beside(frozen=frozen, taught=given.taught)
        curve = fit(given.network, given.parts, given.loss, schedule_of(parameters), progress=progress, beside=beside)
    report.train(curve.document() | ({} if given.attack is None else {"adversarial": given.attack}))
    write_trained(model, given.network, curve, frozen, _TOLD, report)


def _frozen(weights: Collection[str], names: Collection[str]) -> frozenset[str]:
    """The weights that names mean; RecipeError (recipe_does_not_fit) by one that means none."""
    found: set[str] = set()
    for name in sorted(names):
        if name in weights:
            found.add(name)
            continue
        meant = [weight for weight in weights if name.endswith(_ANY) and weight.startswith(name.removesuffix(_ANY))]
        if not meant:
            named = ", ".join(shown(weight) for weight in sorted(weights)[:_NAMED_MOST])
            hint = f"Use names of weights, or beginnings of them with * behind; the model's are: {named}, ..."
            raise RecipeError("recipe_does_not_fit", f"The model has no weight {shown(name)} to freeze.", hint)
        found.update(meant)
    return frozenset(found)
