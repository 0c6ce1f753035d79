"""The one table of methods: what each is called, which formats and parameters it takes, and where its code lives.

Standard library only: web processes read this table to check a recipe; the code behind it is imported when a step runs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One setting of a method. `kind` is integer (bounds inclusive), boolean or text (one of `choices`)."""

    name: str
    kind: str
    default: int | bool | str
    summary: str
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodSpec:
    """What is known about a method without importing it. `module` holds `apply(model, parameters, report, progress)`.

    `needs_calibration` says whether it looks at data to make the child; its `apply` then takes them behind the others.
    `shrinks` says whether it is there to save bytes: an output of steps that are not may be as large as its parent.
    """

    name: str
    version: str
    summary: str
    formats: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    module: str
    needs_calibration: bool = False
    shrinks: bool = True


_MIN_ELEMENTS = Parameter(
    name="min_elements",
    kind="integer",
    default=1024,
    minimum=1,
    maximum=2**40,
    summary="Weights with fewer numbers than this stay as they are.",
)

METHODS: dict[str, MethodSpec] = {
    spec.name: spec
    for spec in (
        MethodSpec(
            name="quantize_weights",
            version="1",
            summary="Stores weights as 8-bit integers with one scale per output channel; the answers hardly change and "
            "the speed stays that of the original, because the runtime expands the weights once, when it loads.",
            formats=("onnx",),
            parameters=(_MIN_ELEMENTS,),
            module="compression_engine.methods.quantize_weights",
        ),
        MethodSpec(
            name="quantize_dynamic",
            version="1",
            summary="Computes matrix products in 8-bit integers: weights with one scale per output channel, inputs "
            "with scale and offset per token that are found at run time, so that a row's answer never depends on its batch.",
            formats=("onnx",),
            parameters=(_MIN_ELEMENTS,),
            module="compression_engine.methods.quantize_dynamic",
        ),
        MethodSpec(
            name="calibrate_temperature",
            version="1",
            summary="Divides a classifier's scores by one number that is fitted to labelled calibration rows, so that it is "
            "as often right as it says; which class comes first never changes, and nothing is saved.",
            formats=("onnx",),
            parameters=(
                Parameter(
                    name="min_rows",
                    kind="integer",
                    default=100,
                    minimum=20,
                    maximum=1_000_000,
                    summary="Fewer labelled calibration rows than this are refused.",
                ),
            ),
            module="compression_engine.methods.calibrate_temperature",
            needs_calibration=True,
            shrinks=False,
        ),
    )
}

__all__ = ["METHODS", "MethodSpec", "Parameter"]
