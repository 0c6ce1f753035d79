"""How a model is to be evaluated, as data: the task, which columns are what, which slices, which measures. Standard library only.

Rules of `pressmark/evaluation_plan/1`:
- a plan is a canonical document; its digest stands in every figure's environment, since preprocessing decides figures;
- the document holds every member. A draft may leave out all but `type`: `parse` fills in the defaults, so a later change of a
  default never changes what an old plan means;
- what it leaves open (null, empty) is taken from the rows and the model, and the evidence says what was taken;
- an input that is named several times is made of those columns side by side, in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

from compression_engine.canonical import JSON, CanonicalError, canonical, digest_of, parse_json, shown
from compression_engine.errors import EngineError

PLAN_TYPE = "pressmark/evaluation_plan/1"
TASKS = ("none", "classification", "regression", "embedding", "sequence", "language-model")
MODALITIES = ("image", "audio", "tabular", "text")
SCORES = ("logits", "probabilities")
MEASURE_NAMES = (
    "size",
    "fidelity",
    "quality",
    "comparison",
    "fairness",
    "calibration",
    "robustness",
    "adversarial",
    "out-of-distribution",
    "timing",
    "memory",
    "energy",
    "cost",
)
"""The questions that can be asked, in the order in which they are answered."""
_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}\Z")
_LIST_MAX = {"classes": 100_000, "inputs": 10_000, "slices": 32, "protected": 32, "states": 32, "measures": 64}
_CHOICES = {"task": TASKS, "scores": SCORES, "modality": MODALITIES}
_NUMBERS = {"max_tokens": (1, 1_000_000), "blank": (0, 10_000_000)}
_NUMBER_LISTS = {"batch_sizes": (1, 65_536), "thread_counts": (1, 256)}
_NUMBER_LIST_MAX = 16
_ATTACK = {
    "epsilon_per_mille": (1, 1000),
    "queries": (0, 10_000),
    "restarts": (1, 100),
    "rows": (10, 100_000),
    "steps": (1, 1000),
}
_ATTACK_SCALES = ("automatic", "input", "feature")
_PAIRS = {"inputs": ("name", "column"), "states": ("input", "output")}


@dataclass(frozen=True)
class State:
    """A recurrent model's state: what `output` gave for a row is `input` of the next row of its sequence; zeros at its start."""

    input: str
    output: str


@dataclass(frozen=True)
class PlannedAttack:
    """How rows are moved against a model to see which answers stand (`measure.adversarial`)."""

    epsilon_per_mille: int
    """How far each number may be moved at most, in thousandths of the range that it has in the rows."""
    steps: int = 40
    """Along the gradient, each time."""
    restarts: int = 3
    """How often a row begins anew at another place."""
    queries: int = 300
    """How often a row is asked without a gradient."""
    rows: int = 300
    """How many rows are moved at most."""
    scale: str = "automatic"
    """What a range is taken over: all numbers of an input, each place of a row (feature), or what fits."""

    def document(self) -> dict[str, JSON]:
        """Every member."""
        return {name: getattr(self, name) for name in sorted((*_ATTACK, "scale"))}


@dataclass(frozen=True)
class Plan:
    """A plan. Columns are names of arrays, of Parquet columns or of members of JSON lines."""

    task: str = "none"
    inputs: tuple[tuple[str, str], ...] = ()
    """(input of the model, column); where empty, columns of the same names."""
    text: str | None = None
    """The column that the tokenizer reads; `text` where the rows are text and nothing is said."""
    max_tokens: int = 128
    label: str | None = None
    """Class index or name, number, token ids or string: what is right for a row."""
    output: str | None = None
    """The output that is judged; the first of floats with one entry a row where nothing is said."""
    scores: str | None = None
    """Whether a classifier's output are logits or probabilities; looked at where nothing is said."""
    classes: tuple[str, ...] = ()
    """Names of the classes, or the symbols of a sequence's alphabet, by index."""
    blank: int | None = None
    """For connectionist temporal classification (task sequence): the index of the blank."""
    slices: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    """The slices among which groups are compared for fairness; a subset of `slices`."""
    favourable: str | None = None
    """The class that is good for whom it is decided about (fairness); the class 1 of two where nothing is said."""
    sequence: str | None = None
    """The column that names the sequence of a row, for recurrent models; rows of one sequence follow each other."""
    states: tuple[State, ...] = ()
    modality: str | None = None
    """What corruptions make sense; looked at where nothing is said."""
    measures: tuple[str, ...] = ()
    """Names of measures; all that fit where empty."""
    batch_sizes: tuple[int, ...] = (1,)
    thread_counts: tuple[int, ...] = (1,)
    attack: PlannedAttack | None = None
    """Which moved rows the model is to stand; added later, and no member of the document where nothing is said."""

    @classmethod
    def parse(cls, source: bytes | str | Mapping[str, JSON]) -> Plan:
        """A plan from JSON text or a parsed document; EngineError (plan_invalid) names the member and what is allowed."""
        document = source if isinstance(source, Mapping) else _read(source)
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(document) - known - {"type"})
        if unknown:
            raise _invalid(
                f"The plan has the unknown member {shown(unknown[0])}.", f"Allowed: {', '.join(sorted(known))}."
            )
        if document.get("type") != PLAN_TYPE:
            given_type = f"is of the type {shown(document['type'])}" if "type" in document else "does not say its type"
            raise _invalid(f"The plan {given_type}.", f'Write "type": "{PLAN_TYPE}" into it.')
        given: dict[str, Any] = {name: _member(name, document[name]) for name in sorted(known & set(document))}
        plan = cls(**given)
        plan.check()
        return plan

    def check(self) -> None:
        """Whether the members fit each other; raises EngineError (plan_invalid)."""
        strangers = [name for name in self.protected if name not in self.slices]
        if strangers:
            raise _invalid(
                f"The protected column {shown(strangers[0])} is not among 'slices'.", "Name it in 'slices' as well."
            )
        if self.label is not None and self.task in ("none", "language-model"):
            hint = "Say which task the label is for: classification, regression, embedding or sequence."
            if self.task == "language-model":
                hint = "Leave 'label' out: what is right for a token is the token that follows."
            raise _invalid(f"The plan has a label, and its task is {self.task!r}.", hint)
        if self.blank is not None and self.task != "sequence":
            raise _invalid(
                f"The plan has a blank, and its task is {self.task!r}.", "A blank belongs to the task sequence."
            )
        if self.states and self.sequence is None:
            hint = "Name the column that says which rows follow each other."
            raise _invalid("The plan has 'states' and no 'sequence'.", hint)
        doubled = [name for name, count in Counter(state.input for state in self.states).items() if count > 1]
        if doubled:
            raise _invalid(f"'states' feeds {doubled[0]!r} from two outputs.", "Name one output for each state.")
        if self.favourable is not None and self.classes and self.favourable not in self.classes:
            raise _invalid(
                f"The favourable class {shown(self.favourable)} is not among 'classes'.", "Name one of them."
            )
        if self.measures and (self.attack is not None) != ("adversarial" in self.measures):
            hint = "Give both or neither: 'attack' says how far rows are moved, 'measures' what is asked."
            said = "has no 'attack'" if self.attack is None else "has 'attack', which 'measures' does not ask about"
            raise _invalid(f"The plan {said}, and 'measures' is {shown(', '.join(self.measures))}.", hint)
        if self.text is not None and self.inputs:
            raise _invalid("The plan has 'text' and 'inputs'.", "Rows are text for a tokenizer or columns: keep one.")

    def document(self) -> dict[str, JSON]:
        """The whole document, every member present."""
        members: dict[str, JSON] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "attack":
                if value is not None:
                    members["attack"] = value.document()
                continue
            if entry.name == "inputs":
                value = [{"column": column, "name": name} for name, column in value]
            elif entry.name == "states":
                value = [{"input": state.input, "output": state.output} for state in value]
            elif isinstance(value, tuple):
                value = list(value)
            members[entry.name] = value
        return members | {"type": PLAN_TYPE}

    def canonical(self) -> bytes:
        """The bytes that the digest is taken of."""
        return canonical(self.document())

    def digest(self) -> str:
        """`sha256:<hex>` of the canonical document."""
        return digest_of(self.canonical())

    def columns(self) -> tuple[str, ...]:
        """Every column that the plan names, once each, in the order in which a plan is read."""
        single = [name for name in (self.text, self.label, self.sequence) if name is not None]
        return tuple(dict.fromkeys([*(column for _, column in self.inputs), *single, *self.slices]))


def plan_schema() -> JSON:
    """The JSON Schema of `pressmark/evaluation_plan/1`."""
    return parse_json((resources.files("compression_engine") / "schemas" / "evaluation_plan-1.json").read_bytes())


def _read(source: bytes | str) -> Mapping[str, JSON]:
    try:
        document = parse_json(source.encode() if isinstance(source, str) else source)
    except CanonicalError as error:
        raise _invalid(f"The plan cannot be read: {error}.", "Give one JSON object; numbers are integers.") from error
    except UnicodeEncodeError as error:
        raise _invalid("The plan is not valid text.", "Give one JSON object in UTF-8.") from error
    if not isinstance(document, Mapping):
        raise _invalid("The plan is not a JSON object.", f'Give {{"type":"{PLAN_TYPE}","task":...}}.')
    return document


def _member(name: str, value: JSON) -> Any:
    """One member in its type; raises EngineError (plan_invalid)."""
    if name in _PAIRS:
        return _pairs(name, value)
    if name in _NUMBER_LISTS:
        return _numbers(name, value)
    if name in _LIST_MAX:
        return _names(name, value)
    if value is None and name not in ("task", "max_tokens"):
        return None
    if name == "attack":
        return _attack(value)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise _invalid(f"{name!r} is {shown(value)}.", f"Use one of: {', '.join(_CHOICES[name])}.")
        return value
    if name in _NUMBERS:
        return _number(name, value, *_NUMBERS[name])
    return _text(name, value)


def _attack(value: JSON) -> PlannedAttack:
    if not isinstance(value, Mapping) or "epsilon_per_mille" not in value or not set(value) <= {*_ATTACK, "scale"}:
        hint = (
            'Write {"epsilon_per_mille": ...}, and beside it queries, restarts, rows, scale and steps as you want them.'
        )
        raise _invalid(f"'attack' is {shown(value)}.", hint)
    scale = value.get("scale", PlannedAttack.scale)
    if scale not in _ATTACK_SCALES:
        raise _invalid(f"'attack.scale' is {shown(scale)}.", f"Use one of: {', '.join(_ATTACK_SCALES)}.")
    numbers = {name: _number(f"attack.{name}", value[name], *_ATTACK[name]) for name in _ATTACK if name in value}
    return PlannedAttack(**numbers, scale=scale)


def _pairs(name: str, value: JSON) -> tuple[Any, ...]:
    members = _PAIRS[name]
    spelled = "{" + ", ".join(f"'{member}':..." for member in members) + "}"
    found = []
    for entry in _list(name, value):
        if not isinstance(entry, Mapping) or set(entry) != set(members):
            raise _invalid(f"An entry of {name!r} is not written as {' and '.join(members)}.", f"Write {spelled}.")
        found.append(tuple(_text(f"{name}.{member}", entry[member]) for member in members))
    if len(set(found)) != len(found):
        raise _invalid(f"An entry of {name!r} stands twice.", "Keep one of them.")
    return tuple(State(*pair) for pair in found) if name == "states" else tuple(found)


def _names(name: str, value: JSON) -> tuple[str, ...]:
    found = tuple(_text(name, entry) for entry in _list(name, value))
    if len(set(found)) != len(found):
        doubled = next(entry for entry, count in Counter(found).items() if count > 1)
        raise _invalid(f"{name!r} names {shown(doubled)} twice.", "Name everything once.")
    if name == "measures":
        strangers = [entry for entry in found if entry not in MEASURE_NAMES]
        if strangers:
            raise _invalid(f"There is no measure {shown(strangers[0])}.", f"Use some of: {', '.join(MEASURE_NAMES)}.")
    return found


def _numbers(name: str, value: JSON) -> tuple[int, ...]:
    low, high = _NUMBER_LISTS[name]
    found = tuple(_number(name, entry, low, high) for entry in _list(name, value))
    if not 1 <= len(found) <= _NUMBER_LIST_MAX or len(set(found)) != len(found):
        raise _invalid(f"{name!r} has {len(found)} entries.", f"Give 1 to {_NUMBER_LIST_MAX} different integers.")
    return found


def _list(name: str, value: JSON) -> list[JSON]:
    most = _LIST_MAX.get(name, _NUMBER_LIST_MAX)
    if not isinstance(value, list) or len(value) > most:
        raise _invalid(f"{name!r} is not a list of at most {most} entries.", "Give a list; an empty one for none.")
    return value


def _number(name: str, value: JSON, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _invalid(f"{name!r} is {shown(value)}.", f"Use an integer from {low} to {high}.")
    return value


def _text(name: str, value: JSON) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise _invalid(f"{name!r} holds {shown(value)}.", "Use 1 to 200 characters in one line.")
    return value


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError("plan_invalid", message, hint)
