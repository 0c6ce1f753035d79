"""Decides what becomes of each tensor of a model in safetensors, where no graph says who reads it and how.

Rules:
- channels are by convention of PyTorch: the first axis that is longer than 1 (Linear and Conv [out, in, ...], Embedding [row, ...],
  recurrent cells [gates * hidden, in]); where a matrix is held the other way round (Conv1D of GPT-2), its inputs get the scales;
- tensors of one dimension, small ones and those whose name says normalisation stay as they are; so does what is stored as integers
  already, and numbers of 8 bits, whose scale stands where we do not know;
- a step takes what the steps before left alone; the first that takes a tensor keeps it;
- a float16 copy is made of float32 alone, and of no tensor with a number that float16 cannot hold;
- what needs a graph is refused: GPTQ looks at inputs. NaN and infinity are refused by the tensor's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from compression_engine.canonical import JSON, shown
from compression_engine.errors import RecipeError
from compression_engine.formats.safetensors_forms import WORD, Form, forms_of, matrix, names_of, scale_name
from compression_engine.formats.safetensors_io import FLOATS, Array, TensorFile
from compression_engine.formats.safetensors_model import TensorModel
from compression_engine.formats.short_floats import HALF_MOST
from compression_engine.methods.leaving_out import left_out_of
from compression_engine.methods.quantize_weights import grid_of
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import Grid, extremes, not_finite, scale_kind, view_of
from compression_engine.recipe import Recipe, Step, integer_of
from compression_engine.structure.safetensors import Entry

FORMAT = "safetensors"
_NUMBERS_AT_ONCE = 1 << 19
_ROW_MOST = 1 << 17
_NORM = re.compile(
    r"(?:^|[._])(?:(?:layer|batch|group|rms|instance)?_?norm\w*|ln\w{0,3}|bn\d*)(?:[._]|$)", re.IGNORECASE
)
_SHORT_ALREADY = ("F8_E4M3", "F8_E5M2", "F8_E8M0")


@dataclass(frozen=True)
class Choice:
    """What a tensor becomes: integers (`form` and `grid`), or shorter floats of the dtype `short`."""

    step: int
    form: Form | None = None
    grid: Grid | None = None
    short: str | None = None

    @property
    def how(self) -> str:
        """The words of the report."""
        if self.form is None or self.grid is None:
            return f"{'float16' if self.short == 'F16' else 'bfloat16'}, to be expanded by its reader"
        told = [f"blocks of {self.grid.block_size}"] * (self.grid.block_size is not None)
        told += ["with zero points"] * (not self.grid.symmetric)
        told += ["ranges of least squared error"] * self.grid.clipped
        return f"int{self.grid.bits}, to be expanded by its reader" + (f" ({', '.join(told)})" if told else "")


def choose(model: TensorModel, recipe: Recipe, told: Callable[[str], None]) -> tuple[dict[str, Choice], list[Report]]:
    """The tensors that change, by name, and a report for each step; `told` hears the name of each tensor that is looked at.

    Raises RecipeError (recipe_does_not_fit), FileRefused (weights_not_finite, structure_invalid).
    """
    stored = {part.name for file in model.files for form in forms_of(file).values() for part in form.parts()}
    chosen: dict[str, Choice] = {}
    reports: list[Report] = []
    for number, step in enumerate(recipe.steps):
        _check_step(number, step)
        report = Report()
        spared = _spared(model, step, report)
        for file, entry in model.tensors():
            if _is_looked_at(entry, step) and entry.name not in chosen and entry.name not in spared:
                told(entry.name)
                found = _stored(entry, stored) or _choice(file, entry, step, number)
                if isinstance(found, str):
                    report.leave(entry.name, found)
                else:
                    chosen[entry.name] = found
        reports.append(report)
    return chosen, reports


def _check_step(number: int, step: Step) -> None:
    if FORMAT not in step.spec.formats:
        formats = ", ".join(step.spec.formats)
        message = f"Step {number + 1}: {step.method} takes {formats}, the model is {FORMAT}, which has no graph."
        raise RecipeError(
            "recipe_does_not_fit", message, "Export the model to ONNX, or use a method for weights alone."
        )
    if step.needs_calibration:
        message = (
            f"Step {number + 1}: {step.method} with these parameters looks at inputs, and {FORMAT} has no graph to run."
        )
        raise RecipeError(
            "recipe_does_not_fit", message, "Use the rounding mse or nearest, or export the model to ONNX."
        )


def _spared(model: TensorModel, step: Step, report: Report) -> frozenset[str]:
    known = {entry.name for _, entry in model.tensors()}
    return left_out_of(known, step.parameters["exclude"], report, "Use the names of tensors as `inspect` counts them.")


def _is_looked_at(entry: Entry, step: Step) -> bool:
    large = entry.elements >= integer_of(step.parameters["min_elements"])
    return large and (entry.dtype in FLOATS or entry.dtype in _SHORT_ALREADY)


def _stored(entry: Entry, stored: set[str]) -> str | None:
    if entry.name in stored:
        return "it belongs to a weight that is stored as integers already"
    if entry.dtype in _SHORT_ALREADY:
        return f"it is {entry.dtype.lower()} already, and where its scale stands is not known"
    return None


def _choice(file: TensorFile, entry: Entry, step: Step, number: int) -> Choice | str:
    """What a step makes of a tensor, or why it leaves it alone."""
    if step.method == "convert_fp16":
        return _short(file, entry, str(step.parameters["storage"]), number)
    rows, width = matrix(entry.shape)
    if rows == 0:
        return "it has one dimension"
    if _NORM.search(entry.name):
        return "its name says that it belongs to a normalisation"
    if width == 1:
        return "each of its numbers would need a scale of its own"
    if width > _ROW_MOST:
        return f"its rows have more than {_ROW_MOST:,} numbers, which are not read at once"
    grid = grid_of(dict(step.parameters))
    taken = names_of(entry.name, grid.bits, file.entries)
    if taken is not None:
        return f"the file has a tensor {shown(taken)}, whose name its scales would need"
    return Choice(number, _form(file, entry, grid), grid)


def _form(file: TensorFile, entry: Entry, grid: Grid) -> Form:
    _, width = matrix(entry.shape)
    own = np.dtype(np.float64 if entry.dtype == "F64" else np.float32)
    kind, size = own, width
    if grid.block_size is not None:
        size = min(grid.block_size, width)
        least, most = np.inf, 0.0
        for rows in pieces(file, entry):
            found = extremes(view_of(rows.shape, frozenset({0}), size).groups(rows))
            least, most = min(least, found[0]), max(most, found[1])
        kind = scale_kind(least, most, grid, own)
    elif grid == Grid() and entry.dtype == "F16":
        kind = np.dtype(np.float16)  # as on the graph: in the weight's own type
    groups = -(-width // size)
    return Form(entry.name, entry.shape, grid.bits, groups, size, scale_name(kind), grid.symmetric)


def _short(file: TensorFile, entry: Entry, storage: str, number: int) -> Choice | str:
    if entry.dtype != "F32":
        return f"it is {entry.dtype.lower()}, not float32"
    if storage == "float16" and any(float(np.abs(rows).max(initial=0)) > HALF_MOST for rows in pieces(file, entry)):
        return "it holds a number that float16 cannot; bfloat16 can"
    return Choice(number, short="F16" if storage == "float16" else "BF16")


def spans(entry: Entry) -> Iterator[tuple[int, int]]:
    """First and last row (exclusive) of the pieces in which a tensor is looked at: whole words of packed rows.

    A tensor without rows of its own (one dimension, or rows that are too long) is cut anywhere.
    """
    rows, width = matrix(entry.shape)
    if rows == 0 or width > _ROW_MOST:
        rows, width = entry.elements, 1
    step = rows_at_once(width)
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def rows_at_once(width: int) -> int:
    """How many rows of so many numbers are looked at together: whole words of packed rows."""
    return max(WORD, _NUMBERS_AT_ONCE // max(1, width) // WORD * WORD)


def flat(entry: Entry) -> Entry:
    """The tensor as the matrix of which `spans` counts the rows."""
    rows, width = matrix(entry.shape)
    shape = (entry.elements, 1) if rows == 0 or width > _ROW_MOST else (rows, width)
    return Entry(entry.name, entry.dtype, shape, entry.start, entry.size_bytes)


def pieces(file: TensorFile, entry: Entry) -> Iterator[Array]:
    """The numbers of a tensor as floats [rows, width], piece by piece; FileRefused (weights_not_finite) by its name."""
    seen = flat(entry)
    for start, stop in spans(entry):
        found = file.floats(seen, start, stop)
        if not math.isfinite(float(found.sum(dtype=np.float64))) and not np.isfinite(found).all():
            raise not_finite(entry.name)
        yield found


def step_records(recipe: Recipe, reports: list[Report]) -> list[dict[str, JSON]]:
    """What a result says of each step."""
    return [
        {"changed": report.changed, "left": report.left, "method": step.method}
        for step, report in zip(recipe.steps, reports, strict=True)
    ]
