"""Declared architectures: a document beside `model.safetensors` says which of the modules in this table its tensors are for.

Rules:
- `config.json` as Hugging Face writes it (`model_type` bert or distilbert), or `architecture.json` of ours
  (`{"type": "pressmark/architecture/1", "architecture": "perceptron" | "residual", ...}`); no code is ever taken from a file;
- sizes are whole numbers within limits, and take no room before the tensors were found to have them: a module is made without
  numbers, never of more layers than there are tensors, and an example of its input is never larger than 64 Mi numbers;
- no member stands twice in a document: readers would take either;
- what a document leaves out has the default of that architecture; what it has too much of is refused in ours, and where it would
  change the answers in a config;
- every tensor of the module is in the file in its shape, and no other is: else all that are missing, unknown, otherwise
  shaped or no floats are listed (architecture_does_not_fit). Tensors that say nothing (`position_ids`) may be there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from compression_engine.carrying.bert import ACTIVATIONS as BERT_ACTIVATIONS
from compression_engine.carrying.bert import Bert, DistilBert, Sizes
from compression_engine.carrying.plain_nets import ACTIVATIONS, Perceptron, Residual
from compression_engine.carrying.to_onnx import Source
from compression_engine.errors import EngineError, FileRefused

CONFIG, OWN = "config.json", "architecture.json"
OWN_TYPE = "pressmark/architecture/1"
WEIGHTS = "model.safetensors"
_BYTES_MAX = 1024 * 1024
_SIZE_MAX = 1_000_000
_EXAMPLE_NUMBERS_MOST = 64 * 1024**2
_LISTED = 8
_LAYERS_ANYWAY = 64
"""What does not fit is listed by its tensors, where it is not absurd."""
_INITIALISATION = "torch.nn.init"
Tensors = Mapping[str, torch.Tensor]


class _Undrawn(TorchFunctionMode):  # type: ignore[misc]  # torch has no types here
    """Leaves out what would draw numbers for weights: they come from the file."""

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        if getattr(function, "__module__", None) == _INITIALISATION:
            return (given or [named["tensor"]])[0]
        return function(*given, **(named or {}))


@contextmanager
def _without_numbers() -> Iterator[None]:
    """Modules that are made in here have shapes alone."""
    with torch.device("meta"), _Undrawn():
        yield


@dataclass(frozen=True)
class Declared:
    """What a document says: the module, examples of its inputs, names of outputs, free axes, and how its tensors are called."""

    source: Source
    prefixes: tuple[str, ...] = ("",)
    ignored: tuple[str, ...] = ()


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object of a declaring document. Raises FileRefused (architecture_invalid)."""
    with path.open("rb") as file:
        data = file.read(_BYTES_MAX + 1)
    if len(data) > _BYTES_MAX:
        raise _invalid(f"{path.name} has more than 1 MiB")
    try:
        found = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{path.name} is not JSON") from error
    if not isinstance(found, dict):
        raise _invalid(f"{path.name} is no JSON object")
    return found


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            raise _invalid(f"{name!r:.60} stands twice")
        found[name] = value
    return found


def declared(document: Mapping[str, Any], names: frozenset[str]) -> Declared:
    """The architecture that a document names; `names` are those of the tensors. Raises FileRefused (architecture_invalid)."""
    if document.get("type") == OWN_TYPE:
        return _own(document)
    kind = document.get("model_type")
    found = _CONFIGS.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise _invalid(
            f"the architecture {str(kind)[:60]!r} is not known (known: {', '.join(_CONFIGS)}, or {OWN_TYPE})"
        )
    return found(document, names)


def filled(told: Declared, tensors: Tensors) -> Source:
    """The module with the tensors in it. Raises EngineError (architecture_does_not_fit)."""
    module = told.source.module
    wanted = module.state_dict()
    given: dict[str, torch.Tensor] = {}
    unknown = []
    for name, tensor in tensors.items():
        short = next(
            (
                name.removeprefix(one)
                for one in told.prefixes
                if name.startswith(one) and name.removeprefix(one) in wanted
            ),
            None,
        )
        if short is not None and short not in given:
            given[short] = tensor
        elif not name.endswith(told.ignored or ("\0",)):
            unknown.append(name)
    missing = [name for name in wanted if name not in given]
    shaped = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
        for name, tensor in given.items()
        if tensor.shape != wanted[name].shape
    ]
    integers = [f"{name} ({tensor.dtype})" for name, tensor in given.items() if not tensor.is_floating_point()]
    wrong = [
        (what, found)
        for what, found in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", shaped),
            ("no floats", integers),
        )
        if found
    ]
    if wrong:
        listed = "; ".join(f"{what}: {', '.join(found[:_LISTED])}{_more(found)}" for what, found in wrong)
        hint = "Declare the architecture that the tensors were saved from."
        raise EngineError(
            "architecture_does_not_fit", f"The tensors do not fit the declared architecture; {listed}.", hint
        )
    module.load_state_dict({name: tensor.to(torch.float32) for name, tensor in given.items()}, assign=True)
    return told.source


def _more(found: list[str]) -> str:
    return f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""


def _invalid(what: str) -> FileRefused:
    hint = f"Give a {CONFIG} with a known model_type, or an {OWN} as docs/torch-models.md describes it."
    return FileRefused("architecture_invalid", f"The declared architecture cannot be read: {what}.", hint)


def _whole(document: Mapping[str, Any], name: str, default: int | None = None, least: int = 1) -> int:
    value = document.get(name, default)
    if type(value) is not int or not least <= value <= _SIZE_MAX:
        raise _invalid(f"{name} is {value!r:.60}, not a whole number from {least} to {_SIZE_MAX:,}")
    return value


def _layers(document: Mapping[str, Any], name: str, names: frozenset[str]) -> int:
    """How many layers there are: each has tensors."""
    layers = _whole(document, name)
    if layers > max(len(names), _LAYERS_ANYWAY):
        raise _invalid(f"{name} is {layers:,}, and the file has {len(names):,} tensors")
    return layers


def _chosen(document: Mapping[str, Any], name: str, default: str, known: Mapping[str, Any]) -> str:
    value = document.get(name, default)
    if value not in known:
        raise _invalid(f"{name} is {value!r:.60}, known are {', '.join(known)}")
    return str(value)


def _bert(document: Mapping[str, Any], names: frozenset[str]) -> Declared:
    if document.get("position_embedding_type", "absolute") != "absolute" or document.get("is_decoder") is True:
        raise _invalid("only encoders with absolute positions are carried")
    sizes = Sizes(
        _whole(document, "vocab_size"), _whole(document, "max_position_embeddings", 512),
        _whole(document, "type_vocab_size", 2), _whole(document, "hidden_size"), _whole(document, "intermediate_size"),
        _layers(document, "num_hidden_layers", names), _whole(document, "num_attention_heads"),
        _chosen(document, "hidden_act", "gelu", BERT_ACTIVATIONS), _epsilon(document), _classes(document, names),
        any(name.endswith("pooler.dense.weight") for name in names),
    )  # fmt: skip
    with _without_numbers():
        module = Bert(_divisible(sizes))
    return _encoder(module, sizes, Bert.INPUTS, ("bert.", ""))


def _distilbert(document: Mapping[str, Any], names: frozenset[str]) -> Declared:
    sizes = Sizes(
        _whole(document, "vocab_size"), _whole(document, "max_position_embeddings", 512), 0, _whole(document, "dim"),
        _whole(document, "hidden_dim"), _layers(document, "n_layers", names), _whole(document, "n_heads"),
        _chosen(document, "activation", "gelu", BERT_ACTIVATIONS), 1e-12, _classes(document, names), False,
    )  # fmt: skip
    with _without_numbers():
        module = DistilBert(_divisible(sizes))
    return _encoder(module, sizes, DistilBert.INPUTS, ("distilbert.", ""))


_CONFIGS: dict[str, Callable[[Mapping[str, Any], frozenset[str]], Declared]] = {
    "bert": _bert,
    "distilbert": _distilbert,
}


def _divisible(sizes: Sizes) -> Sizes:
    if sizes.width % sizes.heads:
        raise _invalid(f"{sizes.width} numbers cannot be shared among {sizes.heads} heads")
    return sizes


def _epsilon(document: Mapping[str, Any]) -> float:
    value = document.get("layer_norm_eps", 1e-12)
    if not isinstance(value, float | int) or not 0 < value < 1:
        raise _invalid(f"layer_norm_eps is {value!r:.60}")
    return float(value)


def _classes(document: Mapping[str, Any], names: frozenset[str]) -> int | None:
    """How many classes a classifier tells apart, by its labels; None where the file has none."""
    if "classifier.weight" not in names:
        return None
    labels = document.get("id2label")
    return len(labels) if isinstance(labels, dict) and labels else _whole(document, "num_labels", 2)


def _encoder(module: torch.nn.Module, sizes: Sizes, inputs: tuple[str, ...], prefixes: tuple[str, ...]) -> Declared:
    words = torch.tensor([[0, 1, 2 % sizes.words, 0], [1, 1, 0, 0]]) % sizes.words
    examples = {"input_ids": words, "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])}
    if "token_type_ids" in inputs:
        examples["token_type_ids"] = torch.zeros_like(words)
    free = {0: "rows", 1: "words"}
    outputs = (
        ["logits"] if sizes.classes is not None else ["last_hidden_state", *(["pooler_output"] if sizes.pooled else [])]
    )
    axes = dict.fromkeys(inputs, free) | {name: {0: "rows"} for name in outputs}
    axes |= {"last_hidden_state": free} if sizes.classes is None else {}
    return Declared(Source(module, examples, outputs, axes), prefixes, ("position_ids",))


def _own(document: Mapping[str, Any]) -> Declared:
    kind = document.get("architecture")
    known = {
        "perceptron": {"widths", "activation"},
        "residual": {"channels", "height", "width", "stem", "blocks", "classes"},
    }
    if kind not in known:
        raise _invalid(f"the architecture {str(kind)[:60]!r} is not known (known: {', '.join(known)})")
    strange = sorted({*document} - known[kind] - {"type", "architecture", "input", "output"})
    if strange:
        raise _invalid(f"{kind} has no {strange[0]!r:.60}")
    names = [document.get("input", "x"), document.get("output", "logits")]
    if (
        not all(isinstance(name, str) and name.isidentifier() and len(name) <= 100 for name in names)
        or names[0] == names[1]
    ):
        raise _invalid("input and output must be two plain names")
    module, example = _perceptron(document) if kind == "perceptron" else _residual(document)
    axes = {name: {0: "rows"} for name in names}
    return Declared(Source(module, {names[0]: example}, [names[1]], axes))


def _sizes(value: Any, what: str, least: int) -> list[int]:
    sound = isinstance(value, list) and least <= len(value) <= 256
    if not sound or not all(type(one) is int and 1 <= one <= _SIZE_MAX for one in value):
        raise _invalid(f"{what} is no list of at least {least} sizes")
    return list(value)


def _perceptron(document: Mapping[str, Any]) -> tuple[torch.nn.Module, torch.Tensor]:
    widths = _sizes(document.get("widths"), "widths", 2)
    activation = _chosen(document, "activation", "relu", ACTIVATIONS)
    with _without_numbers():
        module = Perceptron(widths, activation)
    return module, torch.zeros(2, widths[0])


def _residual(document: Mapping[str, Any]) -> tuple[torch.nn.Module, torch.Tensor]:
    found = document.get("blocks")
    if not isinstance(found, list) or not 1 <= len(found) <= 256:
        raise _invalid("blocks is no list of pairs of width and stride")
    blocks = [_sizes(one, "a block", 2) for one in found]
    if any(len(one) != 2 or one[1] > 2 for one in blocks):
        raise _invalid("a block is a pair of width and stride (1 or 2)")
    channels, height, width = (_whole(document, name) for name in ("channels", "height", "width"))
    if 2 * channels * height * width > _EXAMPLE_NUMBERS_MOST:
        raise _invalid(
            f"two pictures of {channels:,} x {height:,} x {width:,} are more than {_EXAMPLE_NUMBERS_MOST:,} numbers"
        )
    stem, classes = _whole(document, "stem"), _whole(document, "classes")
    with _without_numbers():
        module = Residual(channels, stem, blocks, classes)
    return module, torch.zeros(2, channels, height, width)
