"""An exported program as a module of torch: its calls, one after the other, of operators that stand in a table.

Weights keep the names that they had in the model; what an operator may be is decided before anything runs (`exported_operators`).
"""

from __future__ import annotations

import re
from typing import Any

import torch

from compression_engine.carrying.exported_operators import (
    DROPOUT,
    IN_PLACE,
    PLAIN,
    SKIPPED,
    VIEWING,
    arithmetic,
    by_sizes,
)
from compression_engine.carrying.exported_program import Argument, Call, Program, Stored, numbers_of
from compression_engine.carrying.refusing import cannot_be_carried

_DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
_SETTINGS = frozenset({"as_memory_format", "as_layout", "as_device"})
_PLAIN_KINDS = frozenset(
    {"as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string", "as_strings"}
)
_OPERATOR = re.compile(r"aten\.([A-Za-z0-9_]{1,80})\.([A-Za-z0-9_]{1,80})\Z")
_FREE = frozenset({"pin_memory", "non_blocking", "generator"})


class Replayed(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """Takes and gives what the program does, in its order."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program, self._special = program, by_sizes()
        _check_changes(program)
        self._calls = [(call, self._function(call)) for call in program.calls if not _is_check(call)]
        for name, stored in program.tensors.items():
            _put(self, name, tensor_of(stored))

    def forward(self, *given: torch.Tensor) -> Any:
        """One pass."""
        values: dict[str, Any] = {
            port.value: value for port, value in zip(self._program.inputs, given, strict=True)
        }  # fmt: skip
        values |= {value: _get(self, name) for value, name in self._program.held.items()}
        for call, function in self._calls:
            _perform(call, function, values)
        answers = tuple(values[port.value] for port in self._program.outputs)
        return answers[0] if len(answers) == 1 else answers

    def _function(self, call: Call) -> Any:
        """What a call calls; raises EngineError (cannot_be_carried)."""
        known = arithmetic(call.operator)
        if known is not None:
            return known
        named = _OPERATOR.match(call.operator)
        base, overload = named.groups() if named else ("", "")
        if base in DROPOUT and any(one.name == "train" and one.value is True for one in call.arguments):
            hint = "Export it after .eval(): torch.export.export(model.eval(), ...)."
            raise cannot_be_carried(f"its dropout ({call.node}) is on", hint)
        if base in self._special:
            return self._special[base]
        base = base.removesuffix("_") if base in IN_PLACE else base
        if base not in PLAIN:
            raise cannot_be_carried(
                f"{call.operator[:80]} ({call.node[:80]}) is not among the operators that are carried"
            )
        return getattr(getattr(torch.ops.aten, base), overload)


def tensor_of(stored: Stored) -> torch.Tensor:
    """A stored tensor, copied."""
    kind = _DTYPES.get(stored.dtype)
    if kind is None:
        raise cannot_be_carried(f"one of its tensors has torch's type number {stored.dtype}")
    if kind == torch.bfloat16:
        return torch.from_numpy(numbers_of(stored, "<i2")).view(torch.bfloat16)
    return torch.from_numpy(numbers_of(stored, torch.empty(0, dtype=kind).numpy().dtype))


def dtype_of(number: int) -> torch.dtype:
    """torch's type by its number in the schema; raises EngineError (cannot_be_carried)."""
    found = _DTYPES.get(number)
    if found is None:
        raise cannot_be_carried(f"it takes or gives numbers of torch's type {number}")
    return found


def _changed(call: Call) -> str | None:
    """The name of the tensor that a call changes in place; None where it changes none."""
    named = _OPERATOR.match(call.operator)
    if named is None or named.group(1) not in IN_PLACE or not call.arguments:
        return None
    first = call.arguments[0]
    return str(first.value["name"]) if first.kind == "as_tensor" else None


def _check_changes(program: Program) -> None:
    """Changes in place are carried where one name has the tensor, and it was calculated; raises EngineError (cannot_be_carried)."""
    calculated: set[str] = set()
    shared: set[str] = set()
    for call in program.calls:
        named, changed = _OPERATOR.match(call.operator), _changed(call)
        if changed is not None and (changed not in calculated or changed in shared):
            own = changed not in calculated
            hint = (
                "Export it after .eval()." if own else "Export it with modules that are not in place (inplace=False)."
            )
            what = "changes its own state or input" if own else "changes a tensor in place that others look at"
            raise cannot_be_carried(f"it {what} ({call.operator[:80]}, {call.node[:80]})", hint)
        if named is None or named.group(1) in VIEWING:
            shared.update(call.outputs_known())
            shared.update(str(one.value["name"]) for one in call.arguments if one.kind == "as_tensor")
        calculated.update(call.outputs_known())


def _is_check(call: Call) -> bool:
    named = _OPERATOR.match(call.operator)
    return named is not None and named.group(1) in SKIPPED


def _perform(call: Call, function: Any, values: dict[str, Any]) -> None:
    places: list[Any] = []
    names: dict[str, Any] = {}
    for one in call.arguments:
        if one.kind in _SETTINGS or one.name in _FREE:
            continue
        value = _value(one, values)
        if one.by_name:
            names[one.name] = value
        else:
            places.append(value)
    try:
        made = function(*places, **names)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise cannot_be_carried(
            f"{call.operator} ({call.node}) does not take what it is given: {lines[0]:.200}"
        ) from error
    several = call.gives_list or len(call.outputs) > 1
    changed = _changed(call)
    if changed is not None:
        values[changed] = made
    found = zip(call.outputs, made if several else [made], strict=False)
    values.update({name: value for name, value in found if name is not None})


def _value(one: Argument, values: dict[str, Any]) -> Any:
    """An argument; texts name values, and nothing else is ever looked up by them."""
    kind, value = one.kind, one.value
    if kind in _PLAIN_KINDS:
        return value
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return values[value["name"]]
    if kind == "as_tensors":
        return [values[entry["name"]] for entry in value]
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return _size(value, values)
    if kind == "as_sym_ints":
        return [_size(entry, values) for entry in value]
    if kind == "as_optional_tensor":
        return None if "as_none" in value else values[value["as_tensor"]["name"]]
    if kind == "as_optional_tensors":
        return [None if "as_none" in entry else values[entry["as_tensor"]["name"]] for entry in value]
    if kind == "as_scalar_type":
        return dtype_of(int(value))
    raise cannot_be_carried(f"an argument is of the kind {kind[:60]}")


def _size(entry: Any, values: dict[str, Any]) -> Any:
    if isinstance(entry, int | float):
        return entry
    ((kind, value),) = entry.items()
    return values[value] if kind == "as_name" else value


def _put(module: torch.nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Puts a tensor under a dotted name, so that ONNX calls it so."""
    *path, last = name.split(".")
    try:
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        if tensor.is_floating_point():
            module.register_parameter(last, torch.nn.Parameter(tensor, requires_grad=False))
        else:
            module.register_buffer(last, tensor)
    except KeyError as error:
        raise cannot_be_carried(f"a tensor cannot be called {name[:80]!r}") from error


def _get(module: torch.nn.Module, name: str) -> torch.Tensor:
    *path, last = name.split(".")
    for part in path:
        module = module._modules[part]
    found = module._parameters.get(last)
    return module._buffers[last] if found is None else found
