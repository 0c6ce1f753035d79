"""Turns a model in safetensors that was stored smaller back into float32, for readers that know nothing of integers and scales.

Rules:
- a stored weight becomes one tensor under its own name and shape, (integer - zero) * scale, in float32 (float64 where its scales
  are); float16 and bfloat16 become float32; all other tensors keep their bytes;
- what the file said of a compression is left out, since it is no longer so; the digest of what was expanded stands instead;
- shards stay shards; memory stays bounded; the same file gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from compression_engine.canonical import JSON
from compression_engine.errors import EngineError
from compression_engine.facts import PREFIX
from compression_engine.formats.safetensors_forms import Form, forms_of
from compression_engine.formats.safetensors_io import NewFile, Planned, TensorFile, as_floats
from compression_engine.formats.safetensors_model import open_model, record, safetensors_path, write_index
from compression_engine.methods.safetensors_weights import flat, rows_at_once, spans
from compression_engine.placing import is_file, place
from compression_engine.progress import Progress, by_name, silent
from compression_engine.structure.safetensors import Entry

_FROM = f"{PREFIX}expanded_from"
_SHORT = ("F16", "BF16")


def expand(given: Path, output: Path, progress: Progress = silent) -> list[dict[str, JSON]]:
    """Writes the expanded model as the file `output`, or into the folder; returns digest, name and size of each file.

    Raises EngineError: not_found, format_unknown, nothing_to_expand, output_exists; FileRefused.
    """
    path = safetensors_path(given)
    if path is None:
        hint = "Models in ONNX expand themselves when they are opened."
        raise EngineError("format_unknown", f"{given.name} is no model in safetensors.", hint)
    with open_model(path) as model:
        if model.index is not None and is_file(output):
            raise EngineError("output_exists", f"{output.name} is one file, the model has shards.", "Give a folder.")
        forms = [forms_of(file) for file in model.files]
        short = sum(entry.dtype in _SHORT for _, entry in model.tensors())
        if not short and not any(forms):
            hint = "It is as large as it was made; give a file that holds integers with scales, or 16-bit floats."
            raise EngineError("nothing_to_expand", f"{path.name} holds nothing that is stored smaller.", hint)
        with place(output, path.name, with_result=False) as target:
            told = by_name(progress, "expand", sum(len(file.entries) for file in model.files))
            written = []
            for file, found in zip(model.files, forms, strict=True):
                written.append(target.folder / (file.path.name if model.index is not None else target.weights_name))
                _expand_file(file, found, written[-1], told)
            if model.index is not None:
                written.append(target.weights)
                write_index(model.index, written[:-1], target.weights)
            return [record(one) for one in written]


def _expand_file(file: TensorFile, forms: dict[str, Form], target: Path, told: Callable[[str], None]) -> None:
    parts = {part.name for form in forms.values() for part in form.parts()}
    kept = [entry for entry in file.entries.values() if entry.name not in parts]
    planned = [Planned(entry.name, "F32" if entry.dtype in _SHORT else entry.dtype, entry.shape) for entry in kept]
    planned += [Planned(form.name, _dtype(form), form.shape) for form in forms.values()]
    texts = {name: text for name, text in file.metadata.items() if not name.startswith(PREFIX)}
    texts[_FROM] = str(record(file.path)["digest"])
    with NewFile(target, planned, texts) as made:
        for entry in kept:
            told(entry.name)
            _keep(file, entry, made)
        for form in forms.values():
            told(form.name)
            _expand(file, form, made)
        made.finish(texts)


def _dtype(form: Form) -> str:
    return "F64" if form.scale_dtype == "F64" else "F32"


def _keep(file: TensorFile, entry: Entry, made: NewFile) -> None:
    place_bytes = 0
    for piece in file.pieces(entry) if entry.dtype not in _SHORT else _widened(file, entry):
        made.write(entry.name, place_bytes, piece)
        place_bytes += len(piece)


def _widened(file: TensorFile, entry: Entry) -> Iterator[bytes]:
    for start, stop in spans(entry):
        yield as_floats(file.rows(flat(entry), start, stop), entry.dtype).astype("<f4").tobytes()


def _expand(file: TensorFile, form: Form, made: NewFile) -> None:
    place_bytes = 0
    step = rows_at_once(form.width)
    for start in range(0, form.rows, step):
        data = form.expanded(file, start, min(form.rows, start + step)).tobytes()
        made.write(form.name, place_bytes, data)
        place_bytes += len(data)
