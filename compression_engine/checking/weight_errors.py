"""How far the weights of a child that is not run are from its parent's: what is counted, what is refused, and how it is told.

Rules (of `expanded_check` for ONNX and of `safetensors_check`):
- a step is the scale of a number; the limits are what rounding can be away at worst, in steps: see the constants;
- the error of a tensor is the root of its squared errors over that of its squared numbers (relative Frobenius norm), and so is that
  of all changed tensors together;
- the evidence says `structure-checked` and why nothing was run; a tensor that is further away is refused (output_differs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import shown
from compression_engine.errors import OutputRefused
from compression_engine.result import Measurement

METHOD = "expanded_and_compared"
NOT_RUN = "structure-checked"
"""What the environment of such evidence says under `checked`."""
CUT_STEPS = 1.1
"""A step and a little: where zero points or few bits cut the range at one end."""
SEARCHED_STEPS = {8: 34.0, 4: 17.0}
"""By bits: where ranges were searched, what is cut off besides."""
_REPORT = "This is a fault of the engine: report it with the recipe."


@dataclass
class Tally:
    """What comparing has found so far. `unread` of the `changed` tensors are stored in a form that was not read back."""

    tensors: int = 0
    changed: int = 0
    unread: int = 0
    rounded: int = 0
    numbers: int = 0
    worst_steps: float = 0.0
    squared_errors: float = 0.0
    squares: float = 0.0
    worst: tuple[float, str] = (0.0, "")

    def add(self, name: str, squared_errors: float, squares: float, numbers: int) -> None:
        """A changed tensor that was read back: its squared errors, its squared numbers, and how many these are."""
        self.squared_errors += squared_errors
        self.squares += squares
        self.numbers += numbers
        self.worst = max(self.worst, (math.sqrt(squared_errors / squares) if squares else 0.0, name))

    def add_rounded(self, name: str, steps: float, limit: float, numbers: int) -> None:
        """The same tensor as integers, its worst number so many steps away; OutputRefused (output_differs) beyond the limit."""
        if steps > limit:
            raise differs(name, f"is {steps:.2f} steps away at worst, at most {limit} are possible")
        self.rounded += numbers
        self.worst_steps = max(self.worst_steps, steps)

    def figures(self, reason: str) -> list[Measurement]:
        """The figures of the evidence; `reason` is why nothing was run."""
        what = f"It was NOT run, because {reason}: all {self.tensors:,} tensors were laid beside the original's."
        changed = f"{self.changed:,} tensors are stored otherwise, all others have the same bytes."
        if self.unread:
            changed += f" {self.unread:,} of these are stored in a form that was not read back."
        found = [
            Measurement("generated_runs", None, "count", 0, what, reason=reason),
            Measurement("compared_tensors", self.tensors - self.unread, "count", self.tensors, changed),
        ]
        return found + self._errors()

    def _errors(self) -> list[Measurement]:
        found: list[Measurement] = []
        if self.numbers:
            overall = math.sqrt(self.squared_errors / self.squares) if self.squares else 0.0
            worst, name = self.worst
            size = f"Over all changed numbers the error is {overall:.3%} of their size (root mean square)."
            furthest = f"The tensor with the largest error is {shown(name)}: {worst:.3%} of its size."
            ratio = "weight_error_relative"
            found.append(Measurement(ratio, overall, "ratio", self.numbers, size))
            found.append(Measurement(f"{ratio}_worst", worst, "ratio", self.changed, furthest))
        if self.rounded:
            plain = f"No number is more than {self.worst_steps:.3f} steps of its scale away from the original."
            found.append(Measurement("weight_error_steps_worst", self.worst_steps, "step", self.rounded, plain))
        return found


def worst_in_steps(errors: NDArray[Any], scale: NDArray[Any]) -> float:
    """The largest of these magnitudes of errors in steps; both of one shape, 0 for none.

    What is exact is 0 steps away whatever its scale: a scale of 0 must not make the others unknown.
    """
    steps = np.zeros(errors.shape, dtype=np.float64)
    with np.errstate(divide="ignore"):
        np.divide(errors, np.abs(scale), out=steps, where=errors != 0)
    return float(steps.max(initial=0.0))


def sum_of_squares(array: NDArray[Any]) -> float:
    """In float64; not as a product of vectors, whose sum depends on the threads."""
    wide = array.astype(np.float64, copy=False)
    return float((wide * wide).sum())


def check_finite(name: str, expanded: NDArray[Any]) -> None:
    """Refuses NaN and infinity in what a stored tensor expands to; OutputRefused (output_not_finite)."""
    if not np.isfinite(expanded).all():
        raise OutputRefused("output_not_finite", f"The tensor {shown(name)} expands to NaN or infinity.", _REPORT)


def differs(name: str, what: str) -> OutputRefused:
    """The refusal (output_differs) of a tensor that is not what it should be."""
    return OutputRefused("output_differs", f"The tensor {shown(name)} {what}.", _REPORT)
