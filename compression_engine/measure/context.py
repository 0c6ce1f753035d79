"""What a measure is given and what it gives back: one question, one file, one function `measure(context) -> list[Found]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compression_engine.answers.outputs import Outputs
from compression_engine.data import Encoder
from compression_engine.plan import Plan
from compression_engine.price_sheet import PriceSheet
from compression_engine.progress import Progress, silent
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from compression_engine.stage_store import StageStore


@dataclass(frozen=True)
class Context:
    """The answers, the plan, and, while models are at hand, the models and rows themselves.

    `models`, `paths` and `encoder` are empty when figures are computed again from stored outputs: a measure that has to run a
    model then gives nothing.
    """

    outputs: Outputs
    plan: Plan
    seed: int = 0
    progress: Progress = silent
    models: Mapping[str, Model] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)
    encoder: Encoder | None = None
    out_of_distribution: Encoder | None = None
    threads: int = 1
    rounds: int = 60
    memory_repeats: int = 3
    price_sheet: PriceSheet | None = None
    found: Sequence[Found] = ()
    """What the measures before this one found, in their order: cost rests on size, timing, memory and energy."""
    stages: StageStore = field(default_factory=StageStore)
    """Where a measure keeps what it need not do again after a kill; its keys rest on models, rows, plan, seed and libraries."""
    run_cpu_seconds: float | None = None
    """What making the version took, where whoever asks knows it."""


@dataclass(frozen=True)
class Found:
    """Figures that become one evidence document. `seed` is None where nothing was drawn.

    `kind` says what they are about; figures against another model stand in a kind of their own that ends with its role
    (`comparison-parent`, `comparison-incumbent`, `comparison-first`).
    """

    kind: str
    method: str
    measurements: Sequence[Measurement]
    seed: int | None = None
    method_version: str = "1"
    facts: Sequence[tuple[str, str]] = ()
    """What the figures rest on beside the plan, for the document's environment: a price sheet, a way to read energy."""
