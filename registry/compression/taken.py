"""In which form the engine takes a version: as it is, or, for a model of torch, carried to ONNX first. Pure.

Rules:
- an archive of `torch.export` (`.pt2`) is carried by itself; tensors in safetensors are where a file in the same folder declares
  their architecture: `architecture.json` (ours) or `config.json` (Hugging Face's), the first of these that is there;
- the engine is handed the declaring file, and speaks of the model by the digest of its tensors;
- a declaration names an architecture that the engine knows, or no run is begun with it: the engine's own table says which;
- a declaration of ours says nothing of the child, which is ONNX: it stays with the parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

OWN, DECLARING = "architecture.json", ("architecture.json", "config.json")
ARCHIVE, ONNX, TENSORS = "pt2", "onnx", "safetensors"
_WEIGHTS = "model.safetensors"
OWN_TYPE = "pressmark/architecture/1"
OWN_ARCHITECTURES, MODEL_TYPES = ("perceptron", "residual"), ("bert", "distilbert")
"""What the engine carries: by `architecture` of our own documents, by `model_type` of Hugging Face's."""


def declared_by(format_: str, weights: Sequence[str], others: Sequence[str]) -> str | None:
    """The path of the file that declares the architecture of the tensors; None where none does or none is needed."""
    if format_ != TENSORS or len(weights) != 1 or PurePosixPath(weights[0]).name != _WEIGHTS:
        return None
    folder = PurePosixPath(weights[0]).parent
    return next((path for name in DECLARING if (path := str(folder / name)) in others), None)


def unknown_in(document: Any) -> str | None:
    """What a declaring document calls its architecture, where the engine knows none of that name; None where it does."""
    if not isinstance(document, dict):
        return "no JSON object"
    own = document.get("type") == OWN_TYPE
    called = document.get("architecture" if own else "model_type")
    return None if called in (OWN_ARCHITECTURES if own else MODEL_TYPES) else repr(called)[:60]


def form_of(format_: str, declared: str | None) -> str:
    """The format on which steps work."""
    return ONNX if format_ == ARCHIVE or declared is not None else format_


def first_operations(format_: str, declared: str | None) -> list[str]:
    """What is done to a parent before the first step, as an edge of the lineage names it."""
    return ["converted"] if form_of(format_, declared) != format_ else []


def goes_on(path: str, declared: str | None) -> bool:
    """Whether a file of the parent that is no weights is a file of the child too."""
    return path != declared or PurePosixPath(path).name != OWN
