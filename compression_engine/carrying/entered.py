"""What a call that works on the ONNX forms of torch models knows of the models behind them: for the length of that call alone.

Rules:
- `through_the_door` hands ONNX forms on, as the parent and in every other role (incumbent, first approved version, teacher,
  student); what asks for a model's name gets that of the torch file;
- how near each form is to its model is evidence of a kind of its own: `carried` of the parent, `carried-ROLE` of another one;
- a call within a call goes on with the forms of the outer one;
- outside of such a call, and for models that are ONNX themselves, nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from compression_engine.canonical import JSON
from compression_engine.carrying.door import KIND, Carried, carried
from compression_engine.data import Rows
from compression_engine.formats import onnx_io
from compression_engine.opening import ModelFile
from compression_engine.plan import Plan
from compression_engine.result import Evidence

_Work = TypeVar("_Work", bound=Callable[..., Any])
_BESIDE, _LEARNED = ("incumbent", "first"), ("teacher", "student")
"""Roles beside the parent, by the names of arguments; the second ones are members of the argument `training`."""


@dataclass(frozen=True)
class _Forms:
    """The torch models that a call works for, by role; None for a parent that is ONNX."""

    parent: Carried | None = None
    beside: Mapping[str, Carried] = field(default_factory=dict)

    def of(self, path: Path) -> Carried | None:
        """The model whose ONNX form lies there."""
        every = [self.parent, *self.beside.values()]
        return next((one for one in every if one is not None and one.path == path), None)


_FORMS: ContextVar[_Forms] = ContextVar("forms", default=_Forms())  # noqa: B039  frozen


def through_the_door(work: _Work) -> _Work:
    """Makes a function whose first argument is a parent take models of torch, also as `incumbent`, `first` and in `training`.

    Raises what `carried` does.
    """

    @wraps(work)
    def entering(parent: Path, *given: Any, **named: Any) -> Any:
        with ExitStack() as stack:
            forms, others = _opened(stack, parent, named)
            token = _FORMS.set(forms)
            try:
                return work(parent if forms.parent is None else forms.parent.path, *given, **others)
            finally:
                _FORMS.reset(token)

    return cast(_Work, entering)


def _opened(stack: ExitStack, parent: Path, named: Mapping[str, Any]) -> tuple[_Forms, dict[str, Any]]:
    """The forms, and the arguments with them in the place of what was given. A file in two roles is carried once."""
    outer, known = _FORMS.get(), dict[Path, Carried | None]()

    def form(path: Path) -> Carried | None:
        if path not in known:
            known[path] = outer.of(path) or stack.enter_context(carried(path))
        return known[path]

    training: Any = named.get("training")
    given = {role: named.get(role) for role in _BESIDE} | {role: getattr(training, role, None) for role in _LEARNED}
    door = form(parent)
    found = {role: one for role, path in given.items() if path is not None and (one := form(path)) is not None}
    others = dict(named) | {role: one.path for role, one in found.items() if role in _BESIDE}
    learned = {role: one.path for role, one in found.items() if role in _LEARNED}
    if learned:
        others["training"] = replace(training, **learned)
    return _Forms(door, found), others


def entered() -> Carried | None:
    """The torch model that the call works for; None where the parent is ONNX."""
    return _FORMS.get().parent


def named(file: ModelFile) -> ModelFile:
    """A model under the name of the torch file that it is a form of."""
    form = _FORMS.get().of(file.path)
    return file if form is None else replace(file, carried=form.record)


def as_given(loaded: onnx_io.Loaded) -> onnx_io.Loaded:
    """A parent under the digest of the file that was given."""
    door = entered()
    return loaded if door is None else door.named(loaded)


def described(loaded: onnx_io.Loaded) -> dict[str, JSON]:
    """How a result names the parent, and what lies beside it."""
    door = entered()
    if door is not None:
        return dict(door.record)
    record: dict[str, JSON] = {"digest": loaded.digest, "path": loaded.path.name, "size_bytes": loaded.size_bytes}
    return record | ({"external_data": [file.document() for file in loaded.external]} if loaded.external else {})


def agreement(rows: Rows | None, plan: Plan | None, environment: list[dict[str, JSON]]) -> list[Evidence]:
    """Evidence of how near each ONNX form is to its torch model; empty where all are ONNX. Raises EngineError."""
    forms = _FORMS.get()
    kinds = {KIND: forms.parent} | {f"{KIND}-{role}": one for role, one in forms.beside.items()}
    return [one.agreement(rows, plan, environment, kind) for kind, one in kinds.items() if one is not None]
