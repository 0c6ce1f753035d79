"""What a result says beside its bytes, held against what was made again: steps with their curves, rows, models, sizes, budget.

Rules:
- a part is the same, differs, cannot be told here, or was not compared, and says why; only what differs fails a replay;
- steps and curves follow from parent, recipe and rows, to the digit, where processor, torch and device are those on record; where
  a step trained or looked at data elsewhere nothing is said of their sums but that it cannot be told here; they hold no timings;
- whoever names another processor explains sums by that and nothing else: methods, rows, settings, tensors, and numbers of rounds
  are the same wherever these bytes come from, and so are words but for the numbers in them;
- a budget's own words must fit the recipe; whether it was kept, and every figure, rest on evaluation rows: see `figures_again`;
- on what a model was made does not follow from its bytes: no replay shows it, whatever it says;
- another version of the engine may say all of it in another form: nothing is told of its results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compression_engine.canonical import JSON, CanonicalError, canonical, parse_canonical
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import EngineError, RecipeError
from compression_engine.recipe import Recipe
from compression_engine.replaying.kernels import other_kernels

SAME, DIFFERS, UNTOLD, NOT_COMPARED = "same", "differs", "cannot-be-told", "not-compared"
_NAMED_MOST = 5
_SHOWN_CHARACTERS_MAX = 60
_WORDS = {
    SAME: "Made again, and the same",
    UNTOLD: "Cannot be told here",
    NOT_COMPARED: "Not compared",
}
_OF_SUMS = frozenset({"best_epoch", "error_per_million", "lost", "points", "simulated", "updates"})
"""Members of a step whose values sums decide, the number of epochs of a training that ends early among them."""
_WORDED = frozenset({"how", "reason"})
_NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?")
_BESIDE = {
    "others": "other models that it was compared with are not handed in",
    "outputs_file": "the file of answers is not handed in",
    "packed": "what is packed gives the same bytes back, or none: `unpack` shows it",
}


@dataclass(frozen=True)
class Part:
    """One part of a result: SAME, DIFFERS, UNTOLD or NOT_COMPARED, and why."""

    name: str
    outcome: str
    why: str = ""

    def document(self) -> dict[str, JSON]:
        """As the last line of a replay holds it."""
        return {"outcome": self.outcome, "part": self.name, "why": self.why}


@dataclass(frozen=True)
class Again:
    """What follows from what was handed in, in the form of a result."""

    recipe: Recipe
    steps: Sequence[Mapping[str, JSON]]
    outputs: Sequence[Mapping[str, JSON]]
    parent: Mapping[str, JSON]
    data: Sequence[Mapping[str, JSON]] = ()
    """Records of calibration and training rows that were handed in."""
    origins: Sequence[Mapping[str, JSON]] = ()
    plan_digest: str | None = None
    device: str | None = None
    """Where steps trained now; None where none did."""


def parts_of(document: Mapping[str, JSON], again: Again, figures: Sequence[Part] = ()) -> list[Part]:
    """Every part of a result beside what `replay` holds against the bytes themselves; `figures`: of those that rest on rows."""
    facts = said_on(document)
    if facts.get("engine") != ENGINE_VERSION:
        why = f"engine {facts.get('engine', 'unknown')} made it"
        return [Part("steps", UNTOLD, why), Part("evidence", UNTOLD, why), Part("environment", UNTOLD, why)]
    roles = {str(record["role"]) for record in again.data}
    recorded = [one for one in _list(document, "data") if one.get("role") in roles]
    found = [
        _steps(document, again, facts),
        held("rows", recorded, list(again.data), "data"),
        held("models", _unnamed(document.get("origins")), _unnamed(list(again.origins)), "origins"),
        held("outputs", _unnamed(document.get("outputs")), _unnamed(list(again.outputs))),
        held("parent", _unnamed(document.get("parent")), _unnamed(dict(again.parent))),
        held("plan", document.get("plan_digest"), again.plan_digest, "plan_digest"),
        *(figures or [budget_of(document), _evidence(document)]),
        _made_on(facts, again.device),
    ]
    found += [Part(name, NOT_COMPARED, why) for name, why in _BESIDE.items() if document.get(name)]
    return found


def refuse(parts: Sequence[Part], hint: str) -> None:
    """Raises EngineError (replay_said_differs) where a part differs; the difference is named."""
    wrong = [part for part in parts if part.outcome == DIFFERS]
    if wrong:
        told = "; ".join(f"{part.name}: {part.why}" for part in wrong)
        message = f"The bytes are the same, but what the result says beside them is not so. {told}."
        raise EngineError("replay_said_differs", message, hint)


def words_of(parts: Sequence[Part]) -> list[str]:
    """Lines for a person, one for each outcome; reasons behind what is not the same."""
    lines = []
    for outcome, words in _WORDS.items():
        named = [
            part.name + (f" ({part.why})" if part.why and outcome != SAME else "")
            for part in parts
            if part.outcome == outcome
        ]
        if named:
            lines.append(f"{words}: {', '.join(named)}.")
    return lines


def held(name: str, recorded: JSON, made: JSON, where: str = "") -> Part:
    """A part that must be the same; what differs is named by its place in the result."""
    found = list(differences(recorded, _plain(made), where or name))
    if not found:
        return Part(name, SAME)
    more = f", and {len(found) - _NAMED_MOST} more" if len(found) > _NAMED_MOST else ""
    return Part(name, DIFFERS, "; ".join(found[:_NAMED_MOST]) + more)


def differences(recorded: JSON, made: JSON, where: str) -> Iterator[str]:
    """What differs between two values in canonical form, by its place, both values shortened."""
    if isinstance(recorded, dict) and isinstance(made, dict):
        for key in sorted({*recorded, *made}):
            yield from differences(recorded.get(key), made.get(key), f"{where}.{key}")
    elif isinstance(recorded, list) and isinstance(made, list):
        if len(recorded) != len(made):
            yield f"{where} has {len(recorded)} entries on record, {len(made)} made again"
        for place, (one, other) in enumerate(zip(recorded, made, strict=False)):
            yield from differences(one, other, f"{where}[{place}]")
    elif recorded != made or type(recorded) is not type(made):
        yield f"{where} is {_shown(recorded)} on record, {_shown(made)} made again"


def budget_of(document: Mapping[str, JSON]) -> Part:
    """Whether what is told of a budget fits itself and the recipe; whether it was kept is not told by that."""
    budget = document.get("budget")
    rests = "whether it was kept rests on the evaluation rows: give them (in a shell --evaluation FILE)"
    if budget is None:
        return Part("budget", NOT_COMPARED, "none is told; whether one was asked does not follow from the bytes")
    if not isinstance(budget, dict):
        return Part("budget", DIFFERS, "budget is none")
    wrong = _misfit(budget, document.get("recipe"))
    return Part("budget", DIFFERS, wrong) if wrong else Part("budget", NOT_COMPARED, rests)


def _misfit(budget: Mapping[str, JSON], done: JSON) -> str:
    """What of a budget does not fit; "" where all does."""
    try:
        asked = Recipe.parse(canonical(budget.get("asked")))
        finished = Recipe.parse(canonical(done))
    except (RecipeError, CanonicalError):
        return "budget.asked is no recipe"
    if asked.digest() != budget.get("asked_digest"):
        return f"budget.asked_digest is {_shown(budget.get('asked_digest'))} on record, {asked.digest()} by its recipe"
    methods = [step.method for step in asked.steps]
    count = len(finished.steps)
    if finished.document()["steps"] != asked.document()["steps"][:count]:
        return "the steps that were done are not the first of those that were asked"
    ended = budget.get("ended")
    if ended is None:
        return "" if count == len(methods) else "budget.ended is null, and steps that were asked were not done"
    step = ended.get("step") if isinstance(ended, dict) else None
    if not isinstance(step, int) or not count < step <= len(methods):
        return "budget.ended names no step behind those that were done"
    follows: dict[str, JSON] = {
        "method": methods[step - 1],
        "not_done": list(methods[step:]),
        "undone": list(methods[count : step - 1]),
    }
    wrong = [name for name, value in follows.items() if ended.get(name) != value]
    if not wrong:
        return ""
    return f"budget.ended.{wrong[0]} is {_shown(ended.get(wrong[0]))}, and {_shown(follows[wrong[0]])} follows"


def _steps(document: Mapping[str, JSON], again: Again, facts: Mapping[str, str]) -> Part:
    found = held("steps", document.get("steps"), [dict(step) for step in again.steps])
    moved = any(
        step.needs_training or step.needs_calibration or step.spec.sums_by_kernels for step in again.recipe.steps
    )
    other = other_kernels(facts, again.device) if moved else ""
    if not other:
        return found
    anywhere = held("steps", _without_sums(document.get("steps")), _without_sums([dict(step) for step in again.steps]))
    if anywhere.outcome == DIFFERS:
        return Part("steps", DIFFERS, f"{anywhere.why}; another processor ({other}) does not explain it")
    came = "made here they come out equal" if found.outcome == SAME else f"made here: {found.why}"
    return Part("steps", UNTOLD, f"{other}; {came}")


def _without_sums(value: JSON, name: str = "") -> JSON:
    """What is left of steps where nothing is that the order of a sum decides; `name`: of the member that holds the value."""
    if isinstance(value, Mapping):
        return {key: _without_sums(one, key) for key, one in value.items() if key not in _OF_SUMS}
    if isinstance(value, list):
        return [_without_sums(one, name) for one in value]
    return _NUMBER.sub("#", value) if isinstance(value, str) and name in _WORDED else value


def _evidence(document: Mapping[str, JSON]) -> Part:
    judged = [one for one in _list(document, "data") if one.get("role") == "evaluation"]
    if not judged:
        return Part("evidence", NOT_COMPARED, "no rows were judged by")
    why = f"figures rest on the evaluation rows {judged[0].get('digest')}: give them (in a shell --evaluation FILE)"
    return Part("evidence", NOT_COMPARED, why)


def _made_on(facts: Mapping[str, str], device: str | None) -> Part:
    here = {str(one["name"]): str(one["value"]) for one in environment(1, device=device)}
    other = sorted(name for name in facts if name in here and name != "threads" and facts[name] != here[name])
    told = f"; not the same here: {', '.join(other)}" if other else "; what can be compared is the same here"
    return Part("environment", UNTOLD, f"on what it was made does not follow from its bytes{told}")


def _unnamed(records: JSON) -> JSON:
    """Records of files without the names that these had: a file may be handed in, or made again, under another one."""
    if isinstance(records, list):
        return [_unnamed(one) for one in records]
    if isinstance(records, dict):
        return {name: _unnamed(value) for name, value in records.items() if name != "path"}
    return records


def _list(document: Mapping[str, JSON], name: str) -> list[dict[str, JSON]]:
    found = document.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def said_on(document: Mapping[str, JSON]) -> dict[str, str]:
    """The environment by name, the engine that wrote the result among it."""
    found = {str(one.get("name")): str(one.get("value")) for one in _list(document, "environment")}
    engine = document.get("engine")
    return found | ({"engine": str(engine.get("version"))} if isinstance(engine, dict) else {})


def _plain(value: JSON) -> JSON:
    """The value as it is read from a result."""
    plain: JSON = parse_canonical(canonical(value))
    return plain


def _shown(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}..."
