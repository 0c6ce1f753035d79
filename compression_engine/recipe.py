"""A recipe: the steps that someone intends, as a document whose digest stands for it. Standard library only.

Rules of `pressmark/recipe/1`:
- members name, seed, steps, type, all present, no others; canonical JSON (FORMATS section 1);
- name is a slug; seed is an integer from 0 to 2^32 - 1; 1 to 32 steps;
- a step has `method`, one of METHODS, and `parameters`: a list of {"name","value"} sorted by name;
- the document holds every parameter of the method. A draft may leave out what has a default: `parse` fills it in, so a
  later change of a default never changes what an old recipe means;
- a parameter that came after recipes were sealed is in the document only where it is not its default, which never changes: what
  was sealed keeps its digest;
- names of weights are a list of texts, each once; a draft may give them in any order, the document holds them sorted;
- steps stand in an order in which each finds something to work on (`recipe_order`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType

from compression_engine.canonical import JSON, CanonicalError, canonical, digest_of, parse_json, shown
from compression_engine.errors import RecipeError
from compression_engine.methods import METHODS, MethodSpec, Parameter
from compression_engine.methods.spec import Above, OneOf, Wanted
from compression_engine.recipe_order import check_order

RECIPE_TYPE = "pressmark/recipe/1"
_SLUG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\Z")
_STEPS_MAX = 32
_SEED_LIMIT = 2**32

_NAMES_MOST = 10_000
_NAME_CHARACTERS_MOST = 1_000

Value = int | bool | str | tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One method with its parameters; missing ones take their default, wrong ones raise RecipeError."""

    method: str
    parameters: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = METHODS.get(self.method)
        if spec is None:
            raise _invalid(f"There is no method {self.method!r}.", f"Use one of: {', '.join(sorted(METHODS))}.")
        object.__setattr__(self, "parameters", MappingProxyType(_complete(spec, self.parameters)))

    def __hash__(self) -> int:
        return hash((self.method, tuple(sorted(self.parameters.items()))))

    @property
    def spec(self) -> MethodSpec:
        """What the table of methods says about this step's method."""
        return METHODS[self.method]

    @property
    def needs_calibration(self) -> bool:
        """Whether this step looks at data to make the child: its method always does, or does so with these parameters."""
        return self.spec.needs_calibration or any(
            self.parameters[name] == value for name, value in self.spec.calibrated_by
        )

    @property
    def needs_training(self) -> bool:
        """Whether this step trains on rows to make the child: its method always does, or does so with these parameters."""
        return self.spec.needs_training or self._has_any(self.spec.trained_by)

    @property
    def takes_teacher(self) -> bool:
        """Whether a model that is handed in as the teacher is asked anything."""
        return self.needs_training and (self.spec.always_taught or self._has_any(self.spec.taught_by))

    @property
    def takes_student(self) -> bool:
        """Whether a model that is handed in is what the child begins as."""
        return self._has_any(self.spec.student_by)

    def _has_any(self, wanted: Sequence[tuple[str, Wanted]]) -> bool:
        """Whether a parameter has one of these values; one that the method does not have has none."""
        return any(
            value.holds(self.parameters[name]) if isinstance(value, Above | OneOf) else self.parameters[name] == value
            for name, value in wanted
            if name in self.parameters
        )

    def document(self) -> dict[str, JSON]:
        """The step as part of a recipe document."""
        left_out = {entry.name: entry.default for entry in self.spec.parameters if entry.added_later}
        parameters = [
            {"name": name, "value": list(value) if isinstance(value, tuple) else value}
            for name, value in sorted(self.parameters.items())
            if name not in left_out or value != left_out[name]
        ]
        return {"method": self.method, "parameters": parameters}


@dataclass(frozen=True)
class Recipe:
    """Steps in order, under a name, with the seed of whatever they draw at random."""

    name: str
    steps: tuple[Step, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not isinstance(self.name, str) or not _SLUG.match(self.name) or ".." in self.name:
            raise _invalid(f"The name {self.name!r} is not a slug.", "Use 1 to 63 of a-z, 0-9, '.', '_' and '-'.")
        if not _is_integer(self.seed) or not 0 <= self.seed < _SEED_LIMIT:
            raise _invalid(f"The seed {self.seed!r} is not allowed.", "Use an integer from 0 to 4294967295.")
        if not 1 <= len(self.steps) <= _STEPS_MAX:
            raise _invalid(f"The recipe has {len(self.steps)} steps.", f"Give 1 to {_STEPS_MAX} steps.")
        check_order(self.steps)

    @classmethod
    def parse(cls, source: bytes | str | Mapping[str, JSON]) -> Recipe:
        """A recipe from JSON text or a parsed document. A RecipeError names step, parameter and what is allowed."""
        document = source if isinstance(source, Mapping) else _read(source)
        _members(document, "The recipe", required={"name", "steps", "type"}, optional={"seed"})
        if document["type"] != RECIPE_TYPE:
            raise _invalid(f"The type is {document['type']!r}.", f"It must be {RECIPE_TYPE!r}.")
        steps = document["steps"]
        if not isinstance(steps, list):
            raise _invalid("'steps' is not a list.", "Give a list of steps, each with 'method' and 'parameters'.")
        parsed = tuple(_parse_step(number, step) for number, step in enumerate(steps, start=1))
        return cls(name=document["name"], steps=parsed, seed=document.get("seed", 0))

    def document(self) -> dict[str, JSON]:
        """The whole document, every parameter present."""
        steps = [step.document() for step in self.steps]
        return {"name": self.name, "seed": self.seed, "steps": steps, "type": RECIPE_TYPE}

    def canonical(self) -> bytes:
        """The bytes that the digest is taken of."""
        return canonical(self.document())

    def digest(self) -> str:
        """`sha256:<hex>` of the canonical document."""
        return digest_of(self.canonical())


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that comes with the engine, with one sentence on what it is good for."""

    recipe: Recipe
    description: str


def integer_of(value: Value) -> int:
    """The value of a parameter of the kind integer."""
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no integer")
    return int(value)


def names_of(value: Value) -> frozenset[str]:
    """The value of a parameter of the kind names."""
    if not isinstance(value, tuple):
        raise TypeError(f"{value!r} is no tuple of names")
    return frozenset(value)


def shipped_recipes() -> dict[str, ShippedRecipe]:
    """The recipes that come with the engine, by name."""
    found: dict[str, ShippedRecipe] = {}
    folder = resources.files("compression_engine") / "recipes"
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".json"):
            document = _read(entry.read_bytes())
            recipe = Recipe.parse(document["recipe"])
            found[recipe.name] = ShippedRecipe(recipe=recipe, description=document["description"])
    return found


def recipe_schema() -> JSON:
    """The JSON Schema of `pressmark/recipe/1`."""
    return parse_json((resources.files("compression_engine") / "schemas" / "recipe-1.json").read_bytes())


def _read(source: bytes | str) -> Mapping[str, JSON]:
    try:
        document = parse_json(source.encode() if isinstance(source, str) else source)
    except CanonicalError as error:
        raise _invalid(f"The recipe cannot be read: {error}.", "Give one JSON object; decimals are text.") from error
    if not isinstance(document, dict):
        raise _invalid("The recipe is not a JSON object.", f'Give {{"type":"{RECIPE_TYPE}","name":...,"steps":[...]}}.')
    return document


def _parse_step(number: int, step: JSON) -> Step:
    where = f"Step {number}"
    if not isinstance(step, Mapping):
        raise _invalid(f"{where} is not a JSON object.", "Give {'method':..., 'parameters':[...]}.")
    _members(step, where, required={"method"}, optional={"parameters"})
    parameters: dict[str, Value] = {}
    entries = step.get("parameters", [])
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise _invalid(f"{where}: 'parameters' is not a list.", "Give a list of {'name':..., 'value':...}.")
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != {"name", "value"}:
            raise _invalid(
                f"{where}: a parameter is not written as name and value.", "Write {'name':..., 'value':...}."
            )
        if entry["name"] in parameters:
            raise _invalid(f"{where}: the parameter {entry['name']!r} stands twice.", "Keep one of them.")
        parameters[entry["name"]] = entry["value"]
    if not isinstance(step["method"], str):
        raise _invalid(f"{where}: 'method' is not text.", f"Use one of: {', '.join(sorted(METHODS))}.")
    try:
        return Step(method=step["method"], parameters=parameters)
    except RecipeError as error:
        raise _invalid(f"{where}: {error.message}", error.hint) from error


def _complete(spec: MethodSpec, given: Mapping[str, Value]) -> dict[str, Value]:
    known = {parameter.name: parameter for parameter in spec.parameters}
    for name in given:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise _invalid(f"{spec.name} has no parameter {name!r}.", f"It takes: {allowed}.")
    values = {name: _checked(spec, known[name], given.get(name, known[name].default)) for name in sorted(known)}
    for name, parameter in known.items():
        needed = parameter.only_with
        if needed is not None and not _is(values[needed[0]], needed[1]) and values[name] != parameter.default:
            message = f"The parameter {name!r} of {spec.name} does nothing where {needed[0]} is {values[needed[0]]!r}."
            wanted = str(needed[1]) if isinstance(needed[1], Above | OneOf) else repr(needed[1])
            raise _invalid(message, f"Leave it out, or set {needed[0]} to {wanted}.")
    return values


def _is(value: Value, wanted: Value | Wanted) -> bool:
    return wanted.holds(value) if isinstance(wanted, Above | OneOf) else value == wanted


def _checked(spec: MethodSpec, parameter: Parameter, value: Value) -> Value:
    if parameter.kind == "names":
        return _names(parameter, spec, value)
    what = f"The parameter {parameter.name!r} of {spec.name} is {shown(value)}."
    if parameter.kind == "boolean" and not isinstance(value, bool):
        raise _invalid(what, "Use true or false.")
    if parameter.choices:
        # true is 1 in Python, and no choice here
        if type(value) is not type(parameter.default) or value not in parameter.choices:
            raise _invalid(what, f"Use one of: {', '.join(map(str, parameter.choices))}.")
    elif parameter.kind == "integer":
        low, high = parameter.minimum, parameter.maximum
        whole = integer_of(value) if _is_integer(value) else None
        if whole is None or (low is not None and whole < low) or (high is not None and whole > high):
            raise _invalid(what, f"Use an integer from {low} to {high}.")
    return value


def _names(parameter: Parameter, spec: MethodSpec, value: object) -> tuple[str, ...]:
    """Names as they are kept: sorted, each once."""
    where = f"The parameter {parameter.name!r} of {spec.name}"
    if not isinstance(value, list | tuple):
        raise _invalid(f"{where} is {shown(value)}.", "Use a list of names of weights; empty means none.")
    for name in value:
        if not isinstance(name, str) or not _is_name(name):
            raise _invalid(
                f"{where} has the entry {shown(name)}.", f"A name is text of 1 to {_NAME_CHARACTERS_MOST:,} characters."
            )
    if len(value) > _NAMES_MOST:
        raise _invalid(f"{where} has {len(value):,} names.", f"Give at most {_NAMES_MOST:,}.")
    twice = next((name for name, count in Counter(value).items() if count > 1), None)
    if twice is not None:
        raise _invalid(f"{where} has {shown(twice)} twice.", "Give each name once.")
    return tuple(sorted(value))


def _is_name(text: str) -> bool:
    """Whether a text can stand in a canonical document as a name."""
    try:
        canonical(text)
    except CanonicalError:
        return False
    return 1 <= len(text) <= _NAME_CHARACTERS_MOST


def _members(document: Mapping[str, JSON], where: str, *, required: set[str], optional: set[str]) -> None:
    missing = sorted(required - set(document))
    unknown = sorted(set(document) - required - optional)
    if missing:
        raise _invalid(
            f"{where} lacks {', '.join(missing)}.", f"It has the members {', '.join(sorted(required | optional))}."
        )
    if unknown:
        raise _invalid(
            f"{where} has the unknown member {unknown[0]!r}.", f"Allowed: {', '.join(sorted(required | optional))}."
        )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _invalid(message: str, hint: str) -> RecipeError:
    return RecipeError("recipe_invalid", message, hint)
