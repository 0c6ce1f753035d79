"""Refuses what did nothing: a step that found nothing to change, an output that is no smaller; whatever the format."""

from __future__ import annotations

from compression_engine.canonical import shown
from compression_engine.errors import OutputRefused, RecipeError
from compression_engine.methods.report import Report
from compression_engine.recipe import Recipe, Step

_NAMED_MOST = 3
_WORSE = "it trained, and no epoch answered the held-out rows better than the model did before"
_TRAINED = "Use a smaller learning rate or more training rows, or leave this step out: the model may stay as it is."


def check_smaller(recipe: Recipe, size_bytes: int, parent_size_bytes: int) -> None:
    """Raises OutputRefused (output_not_smaller) where a recipe that is there to save bytes saved none."""
    if any(step.spec.shrinks for step in recipe.steps) and size_bytes >= parent_size_bytes:
        message = f"The output has {size_bytes} bytes, the parent {parent_size_bytes}."
        hint = "The model is too small for this recipe to pay, or is compressed already; keep the parent."
        raise OutputRefused("output_not_smaller", message, hint)


def nothing_to_do(number: int, step: Step, report: Report, already: str | None = None) -> RecipeError:
    """The error for the step of this number, which changed nothing (nothing_to_compress); it names what was left alone.

    `already` says how the model is quantised already, where it is.
    """
    reasons = sorted({str(entry["reason"]) for entry in report.left})
    if report.training:
        return RecipeError("nothing_to_compress", f"Step {number}: {step.method} changed nothing: {_WORSE}.", _TRAINED)
    if not step.spec.shrinks:
        message = f"Step {number}: {step.method} found nothing to change: {'; '.join(reasons)}."
        return RecipeError("nothing_to_compress", message, "The model may stay as it is; leave this step out.")
    named = "; ".join(f"{shown(entry['name'])} because {entry['reason']}" for entry in report.left[:_NAMED_MOST])
    more = f"; and {len(report.left) - _NAMED_MOST} more" if len(report.left) > _NAMED_MOST else ""
    why = f" Left alone: {named}{more}." if reasons else " It has no large float weights."
    if already is not None:
        hint = "It is not done twice: start from the model that it was made from."
        return RecipeError(
            "nothing_to_compress", f"{already} Step {number}: {step.method} found nothing more.{why}", hint
        )
    hint = "The model may be compressed already; use another method, or a smaller min_elements."
    return RecipeError("nothing_to_compress", f"Step {number}: {step.method} found nothing to change.{why}", hint)
