"""Computes figures again from stored answers: whoever holds the file checks what was said, without a model or a row.

Rules:
- the answers are those of the file; seed, plan and environment are the ones under which they were given, so that the same
  library versions give the same documents to the byte;
- a figure that needs a model is not computed again, and not made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compression_engine.answers.outputs import FIRST, INCUMBENT, PARENT, VERSION
from compression_engine.answers.outputs_file import read_outputs
from compression_engine.canonical import JSON, digest_of_stream
from compression_engine.environment import environment
from compression_engine.errors import EngineError
from compression_engine.evaluation import MEASURES, ask, evidence_of
from compression_engine.measure.context import Context
from compression_engine.progress import Progress, silent
from compression_engine.result import Result


def recompute(path: Path, *, measures: Sequence[str] = (), progress: Progress = silent) -> Result:
    """Every figure of the evaluation that needs no model, or those of the named measures.

    Raises EngineError: not_found, outputs_invalid, plan_invalid, measure_unknown, nothing_to_compute.
    """
    progress("read", 0, 1, "reading the answers")
    outputs, plan, header = read_outputs(path)
    told = _Header(header, path.name)
    progress("read", 1, 1, f"{len(outputs)} rows")
    names = [name for name in told.measures if name in MEASURES and not MEASURES[name].needs_models]
    _check(measures)
    chosen = [name for name in names if not measures or name in measures]
    context = Context(outputs=outputs, plan=plan, seed=told.seed, progress=progress)
    evidence = evidence_of(ask(chosen, context), told.named)
    if not evidence:
        hint = f"The file answers: {', '.join(names) or 'nothing'}."
        raise EngineError("nothing_to_compute", f"No figure of {path.name} can be computed without a model.", hint)
    with path.open("rb") as file:
        record = {"digest": digest_of_stream(file), "path": path.name, "size_bytes": path.stat().st_size}
    return Result(
        command="figures",
        seed=told.seed,
        environment=environment(1),
        outputs=[told.model(VERSION) | {"role": "weights"}],
        parent=told.model(PARENT) if PARENT in told.models else None,
        others=[told.model(role) | {"role": role} for role in (INCUMBENT, FIRST) if role in told.models],
        data=told.data,
        evidence=evidence,
        plan=plan if told.plan_given else None,
        outputs_file=record,
    )


class _Header:
    """What the file says about itself beside the answers; EngineError (outputs_invalid) where a member is missing."""

    def __init__(self, header: dict[str, JSON], name: str) -> None:
        try:
            self.seed = int(header["seed"])
            if not 0 <= self.seed < 2**32:
                raise ValueError(f"the seed is {self.seed}")
            self.measures = [str(entry) for entry in header["measures"]]
            self.models: dict[str, dict[str, JSON]] = {entry["role"]: dict(entry) for entry in header["models"]}
            self.named = {str(entry["name"]): str(entry["value"]) for entry in header["environment"]}
            self.data: list[dict[str, Any]] = [dict(entry) for entry in header["data"]]
            self.plan_given = bool(header["plan_given"])
            self.models[VERSION]
        except (KeyError, TypeError, ValueError) as error:
            hint = "Give the outputs file that evaluate wrote, unchanged."
            raise EngineError("outputs_invalid", f"{name} lacks what is needed: {error}.", hint) from error

    def model(self, role: str) -> dict[str, JSON]:
        return {name: self.models[role].get(name) for name in ("digest", "path", "size_bytes")}


def _check(measures: Sequence[str]) -> None:
    for name in measures:
        if name not in MEASURES:
            raise EngineError(
                "measure_unknown", f"There is no measure {name!r}.", f"Use some of: {', '.join(MEASURES)}."
            )
        if MEASURES[name].needs_models:
            free = ", ".join(entry for entry, question in MEASURES.items() if not question.needs_models)
            raise EngineError("measure_unknown", f"{name} needs the models themselves.", f"Without them: {free}.")
