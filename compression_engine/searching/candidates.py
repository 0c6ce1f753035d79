"""The recipes that are tried on a whole model, before any weight is treated apart: methods by widths.

Rules:
- one that looks at data is tried only where calibration rows are given; of blocks the sizes that pay (docs/decisions/0022);
- what fails is mended family by family, from gentle to aggressive; a rung is what a more aggressive family is mended with.
"""

from __future__ import annotations

from dataclasses import dataclass

from compression_engine.recipe import Step, Value
from compression_engine.searching.budget import FASTEST


@dataclass(frozen=True)
class Family:
    """Steps that differ in how they round alone."""

    method: str
    bits: int | None = None
    is_rung: bool = True
    is_wanted: bool = False
    """Whether it is what is hoped for: then mixtures with gentler rungs are tried even where it passes."""

    def holds(self, step: Step) -> bool:
        """Whether a step is one of them."""
        return step.method == self.method and (self.bits is None or step.parameters["bits"] == self.bits)


def families(then: str) -> list[Family]:
    """What is mended, the gentlest first."""
    found = [Family("convert_fp16"), Family("quantize_weights", 8)]
    if then == FASTEST:
        products = (Family(method, is_rung=False, is_wanted=True) for method in ("quantize_dynamic", "quantize_static"))
        return [*found, *products]
    return [*found, Family("quantize_weights", 4, is_wanted=True)]


def whole_model(then: str, *, calibrated: bool) -> list[Step]:
    """Steps that each make a recipe by themselves, the gentlest first."""
    steps = [Step("convert_fp16"), Step("quantize_weights"), Step("quantize_dynamic")]
    if calibrated:
        steps.append(Step("quantize_static"))
    if then == FASTEST:
        return steps
    steps += [_four_bits("mse"), _four_bits("mse", symmetric=False)]
    if calibrated:
        steps += [
            _four_bits("gptq"),
            _four_bits("gptq", symmetric=False),
            _four_bits("gptq", symmetric=False, block_size=128),
        ]
    return steps


def _four_bits(rounding: str, *, symmetric: bool = True, block_size: int = 32) -> Step:
    given: dict[str, Value] = {"bits": 4, "granularity": "block", "rounding": rounding}
    return Step("quantize_weights", given | {"symmetric": symmetric, "block_size": block_size})


def cheaper(step: Step) -> Step:
    """The same step without its look at data, to order weights by in less time; as it is where it has no such form."""
    if step.method == "quantize_weights" and step.parameters["rounding"] == "gptq":
        return Step(step.method, dict(step.parameters) | {"rounding": "mse"})
    return step


def without(step: Step, names: frozenset[str]) -> Step:
    """The same step that leaves these weights as they are."""
    return Step(step.method, dict(step.parameters) | {"exclude": tuple(sorted(names))})
