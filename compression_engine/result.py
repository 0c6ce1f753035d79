"""What the engine hands back: measurements with their plain sentences, evidence documents, and the whole result.

Rules:
- every figure has value or reason, n, spread and an interval where one can be given (FORMATS section 3);
- the registry adds `subjects`: only it knows the digests of versions, datasets and recipes;
- a result holds no time, no path outside its own folder and no name of a machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compression_engine.canonical import JSON, CanonicalError, canonical, decimal_text, parse_canonical
from compression_engine.environment import ENGINE_VERSION
from compression_engine.errors import EngineError
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe

RESULT_TYPE = "pressmark/engine_result/1"
RESULT_NAME = "RESULT.json"
EVIDENCE_TYPE = "pressmark/evidence/1"


@dataclass(frozen=True)
class Measurement:
    """One figure and the sentence that says it. `low` and `high` bound the value with 95 % confidence."""

    metric: str
    value: float | None
    unit: str
    n: int
    plain: str
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    reason: str | None = None
    slice: Sequence[tuple[str, str]] = ()
    """Which rows: names of columns with their values, in the order in which they narrow; empty means all."""

    def figure(self) -> dict[str, JSON]:
        """The figure of an evidence document."""
        return {
            "high": _text(self.high),
            "low": _text(self.low),
            "metric": self.metric,
            "n": self.n,
            "reason": self.reason,
            "slice": [{"name": name, "value": value} for name, value in self.slice],
            "spread": _text(self.spread),
            "unit": self.unit,
            "value": _text(self.value),
        }


@dataclass(frozen=True)
class Evidence:
    """Measurements of one kind, made by one method in one environment."""

    kind: str
    method: str
    seed: int | None
    environment: Sequence[dict[str, JSON]]
    measurements: Sequence[Measurement]
    method_version: str = "1"

    def document(self) -> dict[str, JSON]:
        """The `pressmark/evidence/1` document, with `subjects` left to the registry."""
        return {
            "environment": list(self.environment),
            "figures": [measurement.figure() for measurement in self.measurements],
            "kind": self.kind,
            "method": {"name": self.method, "version": self.method_version},
            "seed": self.seed,
            "source": "measured",
            "subjects": [],
            "type": EVIDENCE_TYPE,
        }

    def entry(self) -> dict[str, JSON]:
        """The document with its plain sentences beside it, as a result lists it."""
        return {"document": self.document(), "plain": [measurement.plain for measurement in self.measurements]}


@dataclass(frozen=True)
class Result:
    """Everything that one call made or measured."""

    command: str
    seed: int
    environment: Sequence[dict[str, JSON]]
    outputs: Sequence[dict[str, JSON]]
    parent: dict[str, JSON] | None = None
    recipe: Recipe | None = None
    """The steps that were done: all that were asked for, unless a budget ended the work."""
    budget: dict[str, JSON] | None = None
    """What was to be left after every step, the recipe as it was asked for, and where the work ended (see `budget_kept`)."""
    data: Sequence[dict[str, JSON]] = ()
    evidence: Sequence[Evidence] = ()
    steps: Sequence[dict[str, JSON]] = ()
    tensors: Sequence[dict[str, JSON]] = ()
    quantization_map: Sequence[dict[str, JSON]] | None = None
    """What is stored or rounded how, tensor by tensor (see `quantization_map`); None where nothing was made."""
    licence: str | None = None
    """The licence expression that the caller stated of the parent; it stands in the output."""
    graph_digest: str | None = None
    others: Sequence[dict[str, JSON]] = ()
    origins: Sequence[dict[str, JSON]] = ()
    """The models beside the parent that the child came from: teacher, student-start."""
    plan: Plan | None = None
    outputs_file: dict[str, JSON] | None = None
    packed: dict[str, JSON] | None = None
    """The child once more, as it is stored and sent (see `packed`); None where nobody asked for it."""
    folder: Path | None = field(default=None, compare=False)

    def document(self) -> dict[str, JSON]:
        """The content of RESULT.json."""
        return {
            "budget": self.budget,
            "command": self.command,
            "data": list(self.data),
            "engine": {"name": "compression_engine", "version": ENGINE_VERSION},
            "environment": list(self.environment),
            "evidence": [evidence.entry() for evidence in self.evidence],
            "graph_digest": self.graph_digest,
            "licence": self.licence,
            "origins": list(self.origins),
            "others": list(self.others),
            "outputs": list(self.outputs),
            "outputs_file": self.outputs_file,
            "packed": self.packed,
            "parent": self.parent,
            "plan": None if self.plan is None else self.plan.document(),
            "plan_digest": None if self.plan is None else self.plan.digest(),
            "quantization_map": None if self.quantization_map is None else list(self.quantization_map),
            "recipe": None if self.recipe is None else self.recipe.document(),
            "recipe_digest": None if self.recipe is None else self.recipe.digest(),
            "seed": self.seed,
            "steps": list(self.steps),
            "tensors": list(self.tensors),
            "type": RESULT_TYPE,
        }

    def canonical(self) -> bytes:
        """The bytes of RESULT.json."""
        return canonical(self.document())

    def value(self, metric: str) -> float | None:
        """The value of a metric, wherever it was measured."""
        for evidence in self.evidence:
            for measurement in evidence.measurements:
                if measurement.metric == metric:
                    return measurement.value
        raise KeyError(metric)


def read_result(path: Path) -> dict[str, JSON]:
    """The content of a RESULT.json; raises EngineError (not_found, result_invalid)."""
    hint = "Give the RESULT.json that compress wrote, unchanged."
    try:
        document = parse_canonical(path.read_bytes())
    except OSError as error:
        raise EngineError("not_found", f"There is no file {path}.", hint) from error
    except CanonicalError as error:
        raise EngineError("result_invalid", f"{path.name} cannot be read: {error}.", hint) from error
    if not isinstance(document, dict) or document.get("type") != RESULT_TYPE:
        raise EngineError("result_invalid", f"{path.name} is not a result of the engine.", hint)
    return document


def _text(number: float | None) -> str | None:
    return None if number is None else decimal_text(number if isinstance(number, int) else float(number))
