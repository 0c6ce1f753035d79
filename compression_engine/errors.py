"""Errors that a person can act on: each has a stable code, says what is wrong, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class EngineError(Exception):
    """The engine refuses. `code` never changes its meaning; `message` says what is wrong, `hint` what to do."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.code = code
        self.message = message
        self.hint = hint


class RecipeError(EngineError):
    """The recipe is not one, or it does not fit the model. Codes: recipe_invalid, recipe_does_not_fit, ..."""


class FileRefused(EngineError):
    """A model file that is not what it should be. Codes: pickle_refused, file_truncated, structure_invalid, ..."""


class DataError(EngineError):
    """Rows to run the model on are missing or do not fit. Codes: data_missing, no_usable_row, ..."""


class OutputRefused(EngineError):
    """What came out may not count as a compressed model. Codes: output_unchanged, output_not_smaller, ..."""


class Cancelled(EngineError):
    """Someone asked the engine to stop, and how far it was; nothing was left but what lies in `work`, a folder to go on from.

    `option`: by which option such a folder can be named, where the call takes one.
    """

    def __init__(self, work: Path | None = None, reached: str = "", option: str | None = None) -> None:
        hint = "Nothing was kept; ask for a new run."
        if option is not None:
            hint = f"Nothing was kept. With {option} FOLDER the same call can be stopped, and goes on from there."
        if work is not None:
            finished = sum(1 for _ in work.glob("step-*/STEP.json"))
            steps = f" ({finished} finished step{'' if finished == 1 else 's'})" if finished else ""
            named = "" if option is None else f" ({option} {work})"
            hint = f"What was done so far lies in {work}{steps}: the same call{named} goes on from there. Nothing else was kept."
        at = f", at: {reached}" if reached else ""
        super().__init__("cancelled", f"The work was stopped on request{at}.", hint)
