"""Makes a recorded model again from its parent and recipe, and says how far the two are apart: `pressmark/replay/1`.

Rules:
- what is given decides and nothing that is written in the recorded file: the parent, the recipe, the rows that steps look at, the
  licence; the file only chooses between the stated licence and none, and which engine's facts are written beside the tensors
  (see `facts`): what was made says the same of itself, or it is not bit-exact;
- bit-exact: the same bytes; within tolerance: the same graph, every tensor as `tensor_differences` allows; else it differs, and the
  tensor that is furthest apart is named first;
- a difference is an answer, not an error; an error is a recipe that does not fit, or rows that are missing;
- the same inputs on the same libraries give the same bytes of the report; what was made is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compression_engine.canonical import JSON, canonical, decimal_text
from compression_engine.data.rows import Rows
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import EngineError
from compression_engine.facts import LICENCE, WRITTEN_BY, check_licence, check_version
from compression_engine.formats import onnx_io
from compression_engine.formats.spool import spooling
from compression_engine.limits import scratch
from compression_engine.made_again import write_as_recorded
from compression_engine.pipeline import calibration_rows, make
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.quantization_map import entry
from compression_engine.recipe import Recipe
from compression_engine.result import Evidence, Measurement
from compression_engine.tensor_differences import TOLERANCE, Differences, TensorDifference, differences

REPLAY_TYPE = "pressmark/replay/1"
KIND = "replay"
BIT_EXACT, WITHIN, DIFFERS = "bit-exact", "within-tolerance", "differs"
_SHOWN_MAX = 200
_SLICES_MAX = 5
_NAME_CHARACTERS_MAX = 200
_EXACT = "a comparison of all numbers has no interval"


@dataclass(frozen=True)
class Rederived:
    """What came out: the report, and in one sentence what it says."""

    document: dict[str, JSON]
    plain: str

    def canonical(self) -> bytes:
        """The bytes of the report."""
        return canonical(self.document)


def rederive(
    recorded: Path,
    *,
    parent: Path,
    recipe: Recipe,
    calibration: Path | None = None,
    plan: Plan | None = None,
    licence: str | None = None,
    progress: Progress = silent,
) -> Rederived:
    """Compares `recorded` with what `recipe` makes of `parent` now. `plan` says how calibration rows are read.

    `licence` is what is stated of the parent: a file that says another is not bit-exact. Raises EngineError with the codes of
    `compress` before anything is measured.
    """
    progress("read", 0, 1, "reading parent and recorded model")
    loaded, known = (onnx_io.load(onnx_io.weights_file(path)) for path in (parent, recorded))
    material = calibration_rows(recipe, calibration, plan, parent)
    progress("read", 1, 1, f"{loaded.inspection.parameter_count:,} parameters")
    said = {one.key: one.value for one in known.model.metadata_props}
    written_by, licence = _written_by(said), _licence(said, licence)
    with scratch("pressmark-replay-") as folder, spooling(folder):
        made = make(loaded, recipe, progress, material, licence=licence, written_by=written_by)
        files = write_as_recorded(made.model, folder / known.path.name, apart=bool(known.external))
        progress("check", 0, 1, "comparing tensor by tensor")
        found = differences(known.model, made.model)
    same = [file.digest for file in files] == [known.digest, *(file.digest for file in known.external)]
    outcome = BIT_EXACT if same else WITHIN if found.within else DIFFERS
    progress("check", 1, 1, outcome)
    plain = _sentence(outcome, found, written_by, said.get(LICENCE, licence) != licence)
    rows = None if material is None else material.rows
    known_facts = _facts(outcome, found, written_by)
    evidence = Evidence(KIND, "rederive", None, known_facts, _measurements(outcome, found, plain))
    document: dict[str, JSON] = {
        "calibration": _record(rows),
        "engine": {"name": "compression_engine", "version": ENGINE_VERSION},
        "evidence": [evidence.entry()],
        "graph_same": found.graph_same,
        "made_digest": files[0].digest,
        "outcome": outcome,
        "parent_digest": loaded.digest,
        "plan_digest": None if plan is None else plan.digest(),
        "quantization_map": [entry(mark) for mark in made.marks],
        "recipe_digest": recipe.digest(),
        "recorded_digest": known.digest,
        "tensor_count": len(found.tensors),
        "tensors": [_tensor(one) for one in found.tensors[:_SHOWN_MAX]],
        "tolerance": decimal_text(TOLERANCE),
        "type": REPLAY_TYPE,
    }
    return Rederived(document, plain)


def _written_by(said: Mapping[str, str]) -> str:
    """Which engine the recorded file names; ours where it names none."""
    try:
        return check_version(said.get(WRITTEN_BY, ENGINE_VERSION))
    except EngineError:
        return ENGINE_VERSION


def _licence(said: Mapping[str, str], stated: str | None) -> str | None:
    """The stated licence, or none where the recorded file has none: it was made before one was stated."""
    return None if stated is None or LICENCE not in said else check_licence(stated)


def _sentence(outcome: str, found: Differences, written_by: str, other_licence: bool) -> str:
    """What came out; of a model of another version of the engine also that."""
    told = _told(outcome, found, other_licence)
    if written_by == ENGINE_VERSION:
        return told
    why = " Another version may make other bytes of the same recipe." if outcome != BIT_EXACT else ""
    return f"{told} Its file names engine {written_by} as its maker; this is {ENGINE_VERSION}.{why}"


def _told(outcome: str, found: Differences, other_licence: bool) -> str:
    count, worst = len(found.tensors), found.worst
    if outcome == BIT_EXACT:
        return f"Made again, the model is the same to the byte ({count} tensors)."
    if worst is None:
        rest = "what tools wrote about themselves differs" if found.graph_same else "the graph around them differs"
        if other_licence:
            rest += "; its file names another licence than is stated"
        return f"Made again, all {count} tensors are the same; {rest}."
    told = _apart(worst)
    if outcome == WITHIN:
        return f"Made again, every tensor lies within the tolerance of {decimal_text(TOLERANCE)}; furthest is {told}."
    others = sum(not tensor.within for tensor in found.tensors) - (not worst.within)
    more = f", and {others} more of {count}" if others > 0 else ""
    if worst.within:
        return f"Made again, the graph around the tensors differs; of these the furthest apart is {told}."
    return f"Made again, the model differs: the tensor {told}{more}."


def _apart(worst: TensorDifference) -> str:
    name = repr(_short(worst.name))
    if worst.reason is not None:
        return f"{name} ({worst.reason})"
    relative = "" if worst.max_relative is None else f", {worst.max_relative:.3g} of its largest value"
    return f"{name} ({worst.differing:,} of {worst.elements:,} numbers, by at most {worst.max_abs:.3g}{relative})"


def _facts(outcome: str, found: Differences, written_by: str) -> list[dict[str, JSON]]:
    facts = [*environment(1), {"name": "replay_outcome", "value": outcome}]
    facts.append({"name": "replay_tolerance", "value": decimal_text(TOLERANCE)})
    if written_by != ENGINE_VERSION:
        facts.append({"name": "recorded_engine", "value": written_by})
    if found.worst is not None:
        facts.append({"name": "worst_tensor", "value": _short(found.worst.name)})
    return sorted(facts, key=lambda fact: str(fact["name"]))


def _measurements(outcome: str, found: Differences, plain: str) -> list[Measurement]:
    n = len(found.tensors)
    same = sum(one.same for one in found.tensors)
    within = sum(one.within for one in found.tensors)
    relative = [one.max_relative for one in found.tensors if one.max_relative is not None]
    largest = [one.max_abs for one in found.tensors if one.max_abs is not None]
    measured = [
        Measurement("bit_exact", float(outcome == BIT_EXACT), "share", 1, plain, reason=_EXACT),
        Measurement("within_tolerance", float(outcome != DIFFERS), "share", 1, plain, reason=_EXACT),
    ]
    if n:
        measured += [
            Measurement(
                "tensors_same_share", same / n, "share", n, f"{same} of {n} tensors are the same.", reason=_EXACT
            ),
            Measurement(
                "tensors_within_share", within / n, "share", n, f"{within} of {n} tensors are within.", reason=_EXACT
            ),
        ]
    if relative and largest:
        measured += [
            Measurement(
                "weight_difference_max_relative", max(relative), "ratio", n,
                f"No number is further off than {max(relative):.3g} of its tensor's largest.", reason=_EXACT,
            ),
            Measurement(
                "weight_difference_max", max(largest), "weight_unit", n,
                f"No number is further off than {max(largest):.3g}.", reason=_EXACT,
            ),
        ]  # fmt: skip
    for one in [tensor for tensor in found.tensors if not tensor.same][:_SLICES_MAX]:
        why = one.reason or (_EXACT if one.max_relative is not None else "the recorded tensor is all zeros")
        entry = Measurement(
            "weight_difference_max_relative", one.max_relative, "ratio", one.elements, f"{_apart(one)}.", reason=why,
            slice=(("tensor", _short(one.name)),),
        )  # fmt: skip
        measured.append(entry)
    return measured


def _tensor(one: TensorDifference) -> dict[str, JSON]:
    return {
        "differing": one.differing,
        "elements": one.elements,
        "max_abs_difference": None if one.max_abs is None else decimal_text(one.max_abs),
        "max_relative_difference": None if one.max_relative is None else decimal_text(one.max_relative),
        "name": _short(one.name),
        "reason": one.reason,
        "within": one.within,
    }


def _record(rows: Rows | None) -> dict[str, JSON] | None:
    return None if rows is None else rows.record("calibration")


def _short(name: str) -> str:
    return name[:_NAME_CHARACTERS_MAX].replace("\0", "\N{REPLACEMENT CHARACTER}")
