"""What a call that works on the ONNX form of a torch model knows of the model behind it: for the length of that call alone.

Rules:
- `through_the_door` hands the ONNX form on as the parent; what asks for the parent's name gets that of the torch file;
- outside of such a call, and for a parent that is ONNX itself, nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from compression_engine.canonical import JSON
from compression_engine.carrying.door import Carried, carried
from compression_engine.data import Rows
from compression_engine.formats import onnx_io
from compression_engine.plan import Plan
from compression_engine.result import Evidence

_Work = TypeVar("_Work", bound=Callable[..., Any])
_DOOR: ContextVar[Carried | None] = ContextVar("door", default=None)


def through_the_door(work: _Work) -> _Work:
    """Makes a function whose first argument is a parent take models of torch as well; raises what `carried` does."""

    @wraps(work)
    def entering(parent: Path, *given: Any, **named: Any) -> Any:
        with carried(parent) as door:
            token = _DOOR.set(door)
            try:
                return work(parent if door is None else door.path, *given, **named)
            finally:
                _DOOR.reset(token)

    return cast(_Work, entering)


def entered() -> Carried | None:
    """The torch model that the call works for; None where the parent is ONNX."""
    return _DOOR.get()


def as_given(loaded: onnx_io.Loaded) -> onnx_io.Loaded:
    """A parent under the digest of the file that was given."""
    door = _DOOR.get()
    return loaded if door is None else door.named(loaded)


def described(loaded: onnx_io.Loaded) -> dict[str, JSON]:
    """How a result names the parent, and what lies beside it."""
    door = _DOOR.get()
    if door is not None:
        return dict(door.record)
    record: dict[str, JSON] = {"digest": loaded.digest, "path": loaded.path.name, "size_bytes": loaded.size_bytes}
    return record | ({"external_data": [file.document() for file in loaded.external]} if loaded.external else {})


def agreement(rows: Rows | None, plan: Plan | None, environment: list[dict[str, JSON]]) -> list[Evidence]:
    """Evidence of how near the ONNX form is to the torch model; empty where the parent is ONNX. Raises EngineError."""
    door = _DOOR.get()
    return [] if door is None else [door.agreement(rows, plan, environment)]
