"""What a person typed about an evaluation: a plan by plain fields or as a document, and prices. Pure; services judge them.

Rules:
- fields or document, never both: which of them counts would not be seen afterwards;
- what is not filled in is not written into the draft, so that the engine's defaults complete it;
- names of classes keep their order, for it says which number each stands for; none is cut, changed or left out;
- a document that is no JSON object is refused with the place where reading stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PLAN_TYPE = "pressmark/evaluation_plan/1"
MAX_CHARACTERS = 200_000
MAX_CLASSES = 10_000
MAX_CLASS_CHARACTERS = 200
TASKS = {
    "classification": "classify: one of several answers is right",
    "regression": "predict a number",
    "embedding": "embed: alike rows stand close together",
    "sequence": "write down a sequence: speech or text recognition",
    "language-model": "continue text",
    "none": "none of these: compare answers only",
}
WITH_CLASSES = ("classification", "sequence")
Draft = dict[str, Any]


class PlanError(ValueError):
    """What was typed is no plan; the text says why and what to do."""


class ClassNamesError(PlanError):
    """The names of the classes are none; the text says which, and what to do."""


def draft_of(fields: Mapping[str, str], document: str) -> Draft | None:
    """The draft of a plan; None where nothing was typed. PlanError when both were, or the document cannot be read."""
    task = fields.get("task", "")
    named = ("label", "classes", "slices", "protected")
    typed = {name: fields[name].strip() for name in named if fields.get(name, "").strip()}
    if document.strip():
        if task or typed:
            raise PlanError("Fill in the fields or give a document, not both: clear one of them.")
        return {"type": PLAN_TYPE, **json_object(document, "The plan")}
    if not task and not typed:
        return None
    if not task:
        raise PlanError("Say what the model does, or clear the fields of labels, classes and groups.")
    draft: Draft = {"task": task, "type": PLAN_TYPE}
    if "label" in typed:
        draft["label"] = typed["label"]
    if "classes" in typed:
        if task not in WITH_CLASSES:
            raise ClassNamesError(
                "Only a model that classifies, or that writes a sequence, has classes: clear their names."
            )
        draft["classes"] = class_names(typed["classes"])
    protected = columns(typed.get("protected", ""))
    slices = list(dict.fromkeys([*columns(typed.get("slices", "")), *protected]))
    return draft | ({"slices": slices} if slices else {}) | ({"protected": protected} if protected else {})


def columns(text: str) -> list[str]:
    """Names of columns, parted by commas or lines, each once."""
    return list(dict.fromkeys(name for part in text.replace("\n", ",").split(",") if (name := part.strip())))


def class_names(text: str) -> list[str]:
    """Names of classes in the order of their numbers, from a JSON list as they stand there, or one on each line.

    ClassNamesError says which is wrong. A symbol that is a space, as alphabets have it, can only be written in a list.
    """
    names = _listed(text) if text.lstrip().startswith("[") else [line.strip() for line in text.strip().split("\n")]
    if len(names) > MAX_CLASSES:
        raise ClassNamesError(
            f"There are {len(names):,} names of classes; the form takes {MAX_CLASSES:,}. Give a whole plan."
        )
    if len(names) < 2:
        raise ClassNamesError("One class is no choice: name all of them, in the order of the model's outputs.")
    numbers: dict[str, int] = {}
    for number, name in enumerate(names):
        _check_name(number, name)
        if name in numbers:
            both = f"The classes {numbers[name]} and {number}"
            raise ClassNamesError(f"{both} (counted from 0) are both called {name!r}: give each a name of its own.")
        numbers[name] = number
    return names


def _check_name(number: int, name: Any) -> None:
    which = f"class {number} (counted from 0)"
    if not isinstance(name, str):
        raise ClassNamesError(f"The {which} is {json.dumps(name)[:40]} and no name: write it in quotation marks.")
    if not name or not name.isprintable():
        raise ClassNamesError(
            f"The {which} has no name that can be read: give every class one, without empty lines between."
        )
    if len(name) > MAX_CLASS_CHARACTERS:
        raise ClassNamesError(f"The name of {which} has more than {MAX_CLASS_CHARACTERS} characters.")


def _listed(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" in line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ClassNamesError(f"The names of the classes begin as a JSON list and are none{where}.") from None
    assert isinstance(found, list)
    return found


def prices_of(document: str) -> Draft | None:
    """A price sheet as it was typed; None where nothing was. PlanError when it cannot be read."""
    return json_object(document, "The price sheet") if document.strip() else None


def json_object(document: str, what: str) -> Draft:
    """The JSON object in a text; PlanError that says why it is none. `what` it is begins the sentence."""
    if len(document) > MAX_CHARACTERS:
        raise PlanError(f"{what} has more than {MAX_CHARACTERS:,} characters; it is a short document, not the data.")
    try:
        found = json.loads(document)
    except json.JSONDecodeError as error:
        raise PlanError(f"{what} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise PlanError(f"{what} is no JSON that can be read: it nests too deep.") from None
    if not isinstance(found, dict):
        raise PlanError(f'{what} is no JSON object; it begins with "{{".')
    return found
