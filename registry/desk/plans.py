"""What a person typed about an evaluation: a plan by plain fields or as a document, and prices. Pure; services judge them.

Rules:
- fields or document, never both: which of them counts would not be seen afterwards;
- what is not filled in is not written into the draft, so that the engine's defaults complete it;
- a document that is no JSON object is refused with the place where reading stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PLAN_TYPE = "pressmark/evaluation_plan/1"
MAX_CHARACTERS = 200_000
TASKS = {
    "classification": "classify: one of several answers is right",
    "regression": "predict a number",
    "embedding": "embed: alike rows stand close together",
    "sequence": "write down a sequence: speech or text recognition",
    "language-model": "continue text",
    "none": "none of these: compare answers only",
}
Draft = dict[str, Any]


class PlanError(ValueError):
    """What was typed is no plan; the text says why and what to do."""


def draft_of(fields: Mapping[str, str], document: str) -> Draft | None:
    """The draft of a plan; None where nothing was typed. PlanError when both were, or the document cannot be read."""
    task = fields.get("task", "")
    typed = {name: fields[name].strip() for name in ("label", "slices", "protected") if fields.get(name, "").strip()}
    if document.strip():
        if task or typed:
            raise PlanError("Fill in the fields or give a document, not both: clear one of them.")
        return {"type": PLAN_TYPE, **json_object(document, "The plan")}
    if not task and not typed:
        return None
    if not task:
        raise PlanError("Say what the model does, or clear the fields of labels and groups.")
    draft: Draft = {"task": task, "type": PLAN_TYPE}
    if "label" in typed:
        draft["label"] = typed["label"]
    protected = columns(typed.get("protected", ""))
    slices = list(dict.fromkeys([*columns(typed.get("slices", "")), *protected]))
    return draft | ({"slices": slices} if slices else {}) | ({"protected": protected} if protected else {})


def columns(text: str) -> list[str]:
    """Names of columns, parted by commas or lines, each once."""
    return list(dict.fromkeys(name for part in text.replace("\n", ",").split(",") if (name := part.strip())))


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
