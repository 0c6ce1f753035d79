"""The quantisation map of a child: what its steps stored, and what of its parent's map still holds.

Rules:
- steps follow each other: where a later one stored a scale of an earlier one in its turn, the entry names and digests what the file
  holds at the end;
- a child holds what its parent held: entries of the parent's own map go on where they are true of the child, tensor by tensor,
  and are left out where they are not; nothing that the parent's file says is taken unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import onnx

from compression_engine import facts
from compression_engine.errors import EngineError
from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.mapping.map_reading import still_true
from compression_engine.mapping.quantization_map import from_file, in_order
from compression_engine.methods.report import Parts, Stored, digest_of_tensors


def map_of_child(model: onnx.ModelProto, marks: Sequence[Stored]) -> list[Stored]:
    """The entries of a model that all steps have changed, before its facts are written; `marks` of all steps, in order."""
    held = {tensor.name: tensor for graph in graphs_of(model.graph) for tensor in graph.initializer}
    later = {mark.tensor: mark.parts.values for mark in marks if mark.parts.values is not None}
    made = [_settled(mark, held, later) for mark in marks]
    known = {mark.tensor for mark in made}
    inherited = [mark for mark in _of_parent(model) if mark.tensor not in known]
    return in_order([*made, *still_true(model, inherited)])


def _of_parent(model: onnx.ModelProto) -> Iterable[Stored]:
    """What the metadata still say of the parent; nothing where that cannot be read."""
    text = facts.map_text({one.key: one.value for one in model.metadata_props})
    try:
        return [] if text is None else from_file(text)
    except EngineError:
        return []


def _settled(mark: Stored, held: Mapping[str, onnx.TensorProto], later: Mapping[str, str]) -> Stored:
    """A mark that names tensors of the file as it is at the end."""
    named = (mark.parts.values, mark.parts.scale, mark.parts.zero)
    if all(name is None or name in held for name in named):
        return mark
    values, scale, zero = (name if name is None or name in held else later[name] for name in named)
    scales = [held[name] for name in (scale, zero) if name is not None]
    return replace(
        mark,
        parts=Parts(values, scale, zero),
        values_digest=None if values is None else digest_of_tensors([held[values]]),
        scale_digest=digest_of_tensors(scales) if scales else None,
    )
