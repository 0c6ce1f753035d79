"""How near a child's answers are to its parent's on generated inputs, output by output, whatever an output is made of.

Rules:
- an output is cut into arrays (sequences and maps too); floats are compared by cosine and largest difference, all else by equality;
- what the parent itself answers otherwise when asked again, and what has another form, is not compared, and is counted;
- a number of the child that is none where the parent's is one is refused (output_not_finite).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compression_engine.checking.generated_apart import Apart
from compression_engine.data import Array
from compression_engine.errors import OutputRefused
from compression_engine.result import Measurement

_UNIT = "output_unit"
_ON = "on generated inputs, which say nothing about real ones"


@dataclass
class Agreement:
    """What has been compared so far."""

    random: frozenset[str] = frozenset()
    """Outputs that the parent answers otherwise when asked again."""
    runs: int = 0
    other_form: int = 0
    largest: float = 0.0
    cosines: list[float] = field(default_factory=list)
    equal: int = 0
    entries: int = 0
    apart: Apart = field(default_factory=Apart)

    def add(self, names: list[str], ours: list[Any], theirs: list[Any]) -> None:
        """One call of both models; raises OutputRefused."""
        self.runs += 1
        for name, our, their in zip(names, ours, theirs, strict=True):
            if name in self.random:
                continue
            arrays, others = list(_arrays(our)), list(_arrays(their))
            if [(a.shape, a.dtype) for a in arrays] != [(b.shape, b.dtype) for b in others]:
                self.other_form += 1
                continue
            for a, b in zip(arrays, others, strict=True):
                self._compare(name, a, b)

    def figures(self) -> list[Measurement]:
        """What was found, in figures whose names say what they were found on."""
        said = f"It loads and runs {_ON}: {self.runs} calls beside the original, with the same inputs and outputs."
        least = min(self.cosines, default=None)
        found = [Measurement("generated_runs", self.runs, "count", self.runs, said), self.apart.figure(least)]
        if self.cosines:
            found += self._of_floats()
        if self.entries:
            share = self.equal / self.entries
            plain = f"{self.equal:,} of {self.entries:,} entries that are no floats are the same {_ON}."
            found.append(Measurement("generated_entries_equal", share, "share", self.entries, plain))
        if self.other_form:
            plain = f"{self.other_form} outputs had another form than the original's and are not compared {_ON}."
            found.append(Measurement("generated_other_form", self.other_form, "count", self.runs, plain))
        if self.random:
            plain = f"{len(self.random)} outputs are random, the original's too, and are not compared."
            found.append(Measurement("generated_random_outputs", len(self.random), "count", self.runs, plain))
        return found

    def _of_floats(self) -> list[Measurement]:
        n, mean, least = len(self.cosines), float(np.mean(self.cosines)), min(self.cosines)
        same = (
            " They are the same to the last bit, so such inputs may not reach what was changed."
            if self.largest == 0
            else ""
        )
        return [
            Measurement(
                "generated_cosine_mean", mean, "cosine", n, f"Outputs agree to {mean:.4f} on average {_ON}.{same}",
                spread=float(np.std(self.cosines)), reason="generated inputs are no sample of anything",
            ),
            Measurement(
                "generated_cosine_min", least, "cosine", n, f"The least agreement of an output is {least:.4f} {_ON}.",
                reason="generated inputs are no sample of anything",
            ),
            Measurement(
                "generated_max_abs_difference", self.largest, _UNIT, n,
                f"No number is further from the original's than {self.largest:.4g} {_ON}.",
                reason="generated inputs are no sample of anything",
            ),
        ]  # fmt: skip

    def _compare(self, name: str, ours: Array, theirs: Array) -> None:
        if ours.dtype.kind != "f":
            equal = int(np.count_nonzero(ours == theirs))
            self.apart.add_entries(equal, ours.size)
            self.equal, self.entries = self.equal + equal, self.entries + ours.size
            return
        a, b = ours.astype(np.float64).reshape(-1), theirs.astype(np.float64).reshape(-1)
        usable = np.isfinite(b)
        if not np.isfinite(a[usable]).all():
            hint = "The recipe breaks this model; use another method, or leave out the weights that it changes."
            message = (
                f"The output {name!r} of the compressed model holds NaN or infinity where the original's does not."
            )
            raise OutputRefused("output_not_finite", message, hint)
        if not usable.any():
            return
        a, b = a[usable], b[usable]
        self.largest = max(self.largest, float(np.abs(a - b).max()))
        self.cosines.append(_cosine(a, b))
        self.apart.add_floats(a, b, theirs.shape, self.cosines[-1])


def differing(names: list[str], one: list[Any], other: list[Any]) -> frozenset[str]:
    """Outputs that two calls answer otherwise."""
    return frozenset(
        name for name, a, b in zip(names, one, other, strict=True) if not _same(list(_arrays(a)), list(_arrays(b)))
    )


def held(outputs: list[Any]) -> bool:
    """Whether an answer holds anything that can be compared."""
    return any(array.size for output in outputs for array in _arrays(output))


def _same(one: list[Array], other: list[Array]) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(one, other, strict=True)
    )


def _arrays(output: Any) -> Iterator[Array]:
    """What an output is made of: a tensor, a sequence of anything, a map, or nothing."""
    if isinstance(output, dict):
        yield np.array(list(output))
        yield np.array(list(output.values()))
    elif isinstance(output, list):
        for entry in output:
            yield from _arrays(entry)
    elif output is not None:
        yield np.asarray(output)


def _cosine(a: Array, b: Array) -> float:
    if np.array_equal(a, b):
        return 1.0
    scale = max(float(np.abs(a).max()), float(np.abs(b).max()))
    a, b = a / scale, b / scale
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 else 0.0
