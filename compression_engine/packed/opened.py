"""Lets a call name packed models wherever it names models: they are unpacked into a folder that goes when the call ends.

Rules:
- what a file is, its first bytes say, not its name;
- what is unpacked counts against the limit of the call like everything that it writes;
- a tokenizer beside the packed file lies beside the unpacked one.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from compression_engine.limits import limits, scratch
from compression_engine.packed.header import SUFFIX, is_packed
from compression_engine.progress import Progress

MODELS = ("parent", "child", "model", "incumbent", "first", "second", "teacher", "student", "file", "recorded")
"""The arguments of the shell that name a model."""
_TOKENIZER = "tokenizer.json"


@contextmanager
def unpacked(options: argparse.Namespace, progress: Progress) -> Iterator[None]:
    """Puts the path of the unpacked model in the place of each packed one. Raises EngineError, FileRefused."""
    with ExitStack() as stack:
        for name in MODELS if options.command != "pack" else ():
            given = getattr(options, name, None)
            if isinstance(given, Path) and (found := packed_in(given)) is not None:
                folder = stack.enter_context(scratch("pressmark-unpacked-"))
                setattr(options, name, _unpacked(found, folder, progress))
        yield


def packed_in(given: Path) -> Path | None:
    """The packed model that a path names: itself, or `model.onnx.packed` in a folder without `model.onnx`."""
    if given.is_dir():
        inside = given / f"model.onnx{SUFFIX}"
        return inside if not (given / "model.onnx").exists() and is_packed(inside) else None
    return given if given.is_file() and is_packed(given) else None


def _unpacked(packed: Path, folder: Path, progress: Progress) -> Path:
    from compression_engine.packed.unpacking import unpack_into

    made = unpack_into(packed, folder, progress)
    beside = packed.parent / _TOKENIZER
    if beside.is_file() and not (made.parent / _TOKENIZER).exists():
        limits().count(made.parent / _TOKENIZER, beside.stat().st_size)
        shutil.copyfile(beside, made.parent / _TOKENIZER)
    return made
