"""The weights that a recipe tells a step to leave as they are.

Rules: each name is one of a weight that the step could look at, in the main graph or inside it; a name that is none is refused,
since a recipe that is misspelt would otherwise compress what it was to spare.
"""

from __future__ import annotations

from collections.abc import Set

import onnx

from compression_engine.canonical import shown
from compression_engine.errors import RecipeError
from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.methods.report import Report
from compression_engine.recipe import Value, names_of

REASON = "the recipe leaves it out"
_NAMED_MOST = 3


def left_out(model: onnx.ModelProto, exclude: Value, report: Report) -> frozenset[str]:
    """As `left_out_of` for the initializers of a graph and those inside it; call it once large constants are initializers."""
    known = {tensor.name for graph in graphs_of(model.graph) for tensor in graph.initializer}
    hint = (
        "Use the names under which the report of a step lists weights; one that an earlier step stored has gone, "
        "and a constant with fewer numbers than min_elements is none."
    )
    return left_out_of(known, exclude, report, hint)


def left_out_of(known: Set[str], exclude: Value, report: Report, hint: str) -> frozenset[str]:
    """The names in `exclude`, each noted in the report as left alone. RecipeError (recipe_does_not_fit) by those not `known`."""
    names = names_of(exclude)
    unknown = sorted(names - known)
    if unknown:
        named = ", ".join(map(shown, unknown[:_NAMED_MOST]))
        more = f" and {len(unknown) - _NAMED_MOST} more" if len(unknown) > _NAMED_MOST else ""
        message = f"The model has no weight {named}{more}, which the recipe leaves out."
        raise RecipeError("recipe_does_not_fit", message, hint)
    for name in sorted(names):
        report.leave(name, REASON)
    return names
