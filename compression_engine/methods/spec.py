"""What a method says about itself without being imported: its parameters, and the rows that it looks at.

Standard library only: web processes read it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Above:
    """Stands in `MethodSpec.trained_by` and `Parameter.only_with` for any integer above this one: `("epochs", Above(0))`."""

    limit: int

    def __str__(self) -> str:
        return f"more than {self.limit}"

    def holds(self, value: object) -> bool:
        """Whether a parameter's value is such an integer."""
        return isinstance(value, int) and not isinstance(value, bool) and value > self.limit


@dataclass(frozen=True)
class OneOf:
    """Stands in `Parameter.only_with` for any of several texts: `("loss", OneOf("teacher", "both"))`."""

    values: tuple[str, ...]

    def __init__(self, *values: str) -> None:
        object.__setattr__(self, "values", values)

    def __str__(self) -> str:
        return " or ".join(map(repr, self.values))

    def holds(self, value: object) -> bool:
        """Whether a parameter's value is one of them."""
        return value in self.values


Wanted = int | bool | str | Above | OneOf
"""A value that another parameter must have."""


@dataclass(frozen=True)
class Parameter:
    """One setting of a method. `kind` is integer (bounds inclusive, or one of `choices`), boolean, text (one of `choices`)
    or names (a sorted tuple of names of weights; the document holds a list).

    `added_later`: recipes were sealed before it came. A recipe holds it only where it is not its default, which never changes,
    so that what was sealed keeps its digest and its meaning.
    `only_with` names another parameter and the value that it must have for this one to be anything but its default.
    """

    name: str
    kind: str
    default: int | bool | str | tuple[str, ...]
    summary: str
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[int | str, ...] = ()
    added_later: bool = False
    only_with: tuple[str, Wanted] | None = None


@dataclass(frozen=True)
class MethodSpec:
    """What is known about a method without importing it. `module` holds `apply(model, parameters, report, progress)`.

    `needs_calibration` says whether it always looks at data to make the child, `calibrated_by` with which values of parameters
    it does (ask `Step.needs_calibration`); its `apply` then takes them behind the others. `needs_labels`: these rows need labels.
    `needs_training` and `trained_by` say the same of training rows (ask `Step.needs_training`), which come behind those.
    `always_taught` and `taught_by`: a step that trains may learn from a teacher's answers (ask `Step.takes_teacher`); `student_by`:
    its child begins as a model that is handed in (`Step.takes_student`).
    `sums_by_kernels`: its arithmetic without rows is LAPACK's too, whose last bits differ between kinds of processors.
    `shrinks` says whether it is there to save bytes: an output of steps that are not may be as large as its parent.
    """

    name: str
    version: str
    summary: str
    formats: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    module: str
    needs_calibration: bool = False
    calibrated_by: tuple[tuple[str, int | bool | str], ...] = ()
    needs_labels: bool = False
    needs_training: bool = False
    trained_by: tuple[tuple[str, Wanted], ...] = ()
    always_taught: bool = False
    taught_by: tuple[tuple[str, Wanted], ...] = (("loss", "teacher"), ("loss", "both"))
    student_by: tuple[tuple[str, Wanted], ...] = ()
    sums_by_kernels: bool = False
    shrinks: bool = True
