"""Answers made for tests of figures: drawn from a seed, of models that are right about as often as asked."""

from __future__ import annotations

import numpy as np

from compression_engine.answers.outputs import Array, Field, Outputs
from compression_engine.measure.context import Context
from compression_engine.plan import Plan
from compression_engine.result import Measurement


def classifier(rows: int = 300, classes: int = 4, *, seed: int = 0, noise: float = 1.0, parent: bool = True) -> Outputs:
    """Logits that favour the right class, float32, of a version and of a parent that is a little better."""
    generator = np.random.default_rng(seed)
    right = generator.choice(classes, size=rows, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    base = np.eye(classes)[right] * 1.5 + generator.normal(size=(rows, classes))
    answers = {"parent": base, "version": base + noise * generator.normal(size=(rows, classes))}
    return of({role: answers[role] for role in (("version", "parent") if parent else ("version",))}, right)


def of(answers: dict[str, Array], labels: Array | None = None, **more: Array) -> Outputs:
    """Outputs of arrays [rows, ...] by role; numbers as a model gives them, in float32."""
    models = {role: {"answer": Field(array.astype(np.float32))} for role, array in answers.items()}
    return Outputs(models, None if labels is None else Field(labels), sequences=more.get("sequences"))


def ragged(rows: list[Array]) -> Field:
    """A field of rows that differ in length, flat."""
    offsets = np.concatenate(([0], np.cumsum([row.size for row in rows]))).astype(np.int64)
    return Field(np.concatenate([row.reshape(-1) for row in rows]), offsets)


def context(outputs: Outputs, plan: Plan, seed: int = 0) -> Context:
    """A context without models: what is there when figures are computed again."""
    return Context(outputs, plan, seed)


def by_name(measurements: list[Measurement] | tuple[Measurement, ...]) -> dict[str, Measurement]:
    """The figures over all rows, by metric."""
    return {entry.metric: entry for entry in measurements if not entry.slice}
