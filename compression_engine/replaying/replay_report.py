"""What a replay says: its words, figures and report (`pressmark/replay/1`), from how far two models are apart.

Rules:
- bit-exact: the same bytes; within tolerance: the same graph, every tensor as `tensor_differences` allows; else it differs, and the
  tensor that is furthest apart is named first;
- where steps looked at data and other kernels alone may be why it differs (see `kernels`), the outcome is cannot-be-told: no word
  about the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compression_engine.canonical import JSON, canonical, decimal_text
from compression_engine.data.rows import Rows
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import EngineError
from compression_engine.facts import LICENCE, WRITTEN_BY, check_licence, check_version
from compression_engine.mapping.quantization_map import entry
from compression_engine.methods.report import Stored
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe
from compression_engine.replaying.kernels import only_by_kernels, other_kernels
from compression_engine.replaying.tensor_differences import TOLERANCE, Differences, TensorDifference
from compression_engine.result import Evidence, Measurement
from compression_engine.steps.training_files import TrainingMaterial

REPLAY_TYPE = "pressmark/replay/1"
KIND = "replay"
BIT_EXACT, WITHIN, DIFFERS, UNTOLD = "bit-exact", "within-tolerance", "differs", "cannot-be-told"
_SHOWN_MAX = 200
_SLICES_MAX = 5
_NAME_CHARACTERS_MAX = 200
_EXACT = "a comparison of all numbers has no interval"


@dataclass(frozen=True)
class Asked:
    """What a replay was given to make again by, beside the models."""

    recipe: Recipe
    rows: Rows | None
    plan: Plan | None
    licence: str | None
    recorded_on: Mapping[str, str] | None
    """The environment in which the recorded model was made, by name; None where that is not known."""
    training: TrainingMaterial | None = None


@dataclass(frozen=True)
class Laid:
    """The two models beside each other: their digests, and what the recorded one says of itself."""

    parent_digest: str
    recorded_digest: str
    made_digest: str
    same: bool
    """Whether all files have the same bytes."""
    found: Differences
    marks: list[Stored]
    said: Mapping[str, str]


@dataclass(frozen=True)
class Rederived:
    """What came out: the report, and in one sentence what it says."""

    document: dict[str, JSON]
    plain: str

    def canonical(self) -> bytes:
        """The bytes of the report."""
        return canonical(self.document)


def report(laid: Laid, asked: Asked) -> Rederived:
    """The report of a replay."""
    outcome, why = _outcome(laid, asked)
    found, written_by = laid.found, written_by_of(laid.said)
    other_licence = laid.said.get(LICENCE, asked.licence) != licence_of(laid.said, asked.licence)
    plain = _sentence(outcome, found, written_by, other_licence, why)
    evidence = Evidence(
        KIND, "rederive", None, _facts(outcome, found, written_by), _measurements(outcome, found, plain)
    )
    document: dict[str, JSON] = {
        "calibration": None if asked.rows is None else asked.rows.record("calibration"),
        "engine": {"name": "compression_engine", "version": ENGINE_VERSION},
        "evidence": [evidence.entry()],
        "graph_same": found.graph_same,
        "made_digest": laid.made_digest,
        "outcome": outcome,
        "parent_digest": laid.parent_digest,
        "plan_digest": None if asked.plan is None else asked.plan.digest(),
        "quantization_map": [entry(mark) for mark in laid.marks],
        "recipe_digest": asked.recipe.digest(),
        "recorded_digest": laid.recorded_digest,
        "tensor_count": len(found.tensors),
        "tensors": [_tensor(one) for one in found.tensors[:_SHOWN_MAX]],
        "tolerance": decimal_text(TOLERANCE),
        "type": REPLAY_TYPE,
    }
    if asked.training is not None:
        document["training"] = asked.training.rows.rows.record("training")
    return Rederived(document, plain)


def _outcome(laid: Laid, asked: Asked) -> tuple[str, str]:
    """The word, and of UNTOLD what of the environment is another."""
    if laid.same:
        return BIT_EXACT, ""
    if laid.found.within:
        return WITHIN, ""
    other = other_kernels(asked.recorded_on, None if asked.training is None else asked.training.device)
    differing = [one for one in laid.found.tensors if not one.same]
    form_same = laid.found.graph_same and all(one.reason is None for one in differing)
    names = [one.name for one in differing]
    if other and names and only_by_kernels(asked.recipe, laid.marks, names, form_same=form_same):
        return UNTOLD, other
    return DIFFERS, ""


def written_by_of(said: Mapping[str, str]) -> str:
    """Which engine the recorded file names; ours where it names none."""
    try:
        return check_version(said.get(WRITTEN_BY, ENGINE_VERSION))
    except EngineError:
        return ENGINE_VERSION


def licence_of(said: Mapping[str, str], stated: str | None) -> str | None:
    """The stated licence, or none where the recorded file has none: it was made before one was stated."""
    return None if stated is None or LICENCE not in said else check_licence(stated)


def _sentence(outcome: str, found: Differences, written_by: str, other_licence: bool, why: str) -> str:
    """What came out; of a model of another version of the engine also that."""
    told = _told(outcome, found, other_licence)
    if outcome == UNTOLD:
        told += (
            f" Whether it is what its recipe makes cannot be told on this processor ({why}): a step looked at data, and such sums "
            "depend on the processor."
        )
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
        Measurement("within_tolerance", float(outcome in (BIT_EXACT, WITHIN)), "share", 1, plain, reason=_EXACT),
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


def _short(name: str) -> str:
    return name[:_NAME_CHARACTERS_MAX].replace("\0", "\N{REPLACEMENT CHARACTER}")
