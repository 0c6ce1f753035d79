"""Where what was made goes: a folder that appears by one rename, or a file of a chosen name with its result beside it.

Rules:
- a path that ends in `.onnx` (`.safetensors`) is the weights file, with the result of OUT.onnx as OUT.RESULT.json beside it; any
  other is a folder;
- nothing that is there is overwritten, not even what appeared in the meantime (output_exists);
- everything is written in a hidden folder beside the target first; of files the weights come last, so where they are, all is;
- when anything goes wrong, nothing of it stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compression_engine.canonical import shown
from compression_engine.errors import EngineError
from compression_engine.result import RESULT_NAME

_SUFFIXES = (".onnx", ".safetensors")


@dataclass(frozen=True)
class Place:
    """A folder to write in, and the names that weights and result have there."""

    folder: Path
    weights_name: str
    result_name: str

    @property
    def weights(self) -> Path:
        """Where the weights are written."""
        return self.folder / self.weights_name

    @property
    def result(self) -> Path:
        """Where the result is written."""
        return self.folder / self.result_name


def is_file(target: Path) -> bool:
    """Whether an output is meant to be a weights file, not a folder with one."""
    return target.suffix.lower() in _SUFFIXES and not target.is_dir()


def result_path(target: Path) -> Path:
    """Where the result of an output is found in the end."""
    return target.with_name(f"{target.stem}.{RESULT_NAME}") if is_file(target) else target / RESULT_NAME


@contextmanager
def place(target: Path, weights_name: str, *, with_result: bool = True) -> Iterator[Place]:
    """A place to write in that becomes `target` at the end, or vanishes when anything goes wrong.

    `weights_name` is what the weights are called in a folder; `with_result` says whether a result is to stand beside them.
    Raises EngineError (output_exists, not_found, result_invalid, format_mismatch).
    """
    if Path(weights_name).name != weights_name or weights_name in ("", ".", ".."):
        hint = "Give the RESULT.json that compress wrote, unchanged."
        raise EngineError("result_invalid", f"{weights_name!r} is no name of a file beside its result.", hint)
    for path in (target, target.parent / weights_name):
        _check_name(path)
    names = (target.name, result_path(target).name) if is_file(target) else (weights_name, RESULT_NAME)
    if not is_file(target):
        with whole_folder(target) as folder:
            yield Place(folder, *names)
        return
    suffix = Path(weights_name).suffix.lower()
    if suffix in _SUFFIXES and suffix != target.suffix.lower():
        message = f"The parent is {weights_name}, and a model stays of its format; {target.name} would be of another."
        raise EngineError("format_mismatch", message, f"Give a name that ends in {suffix}, or a folder.")
    wanted = (target, result_path(target)) if with_result else (target,)
    taken = [path for path in wanted if path.exists() or path.is_symlink()]
    if taken:
        raise _exists(taken[0], "Give a new name.")
    with _hidden_beside(target) as folder:
        yield Place(folder, *names)
        _give_files(folder, target)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write in that becomes `target` at the end, whatever it is called, or vanishes when anything goes wrong.

    Raises EngineError (output_exists, not_found).
    """
    _check_name(target)
    if target.is_symlink():
        # a folder is not renamed over a link, wherever that leads: told now, not after all the work
        raise EngineError("output_exists", f"{target} is a link.", "Give the folder that it leads to, or a new one.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise _exists(target, "Give a new folder, or an empty one.")
    with _hidden_beside(target) as folder:
        yield folder
        try:
            folder.rename(target)
        except OSError as error:
            raise _no_place(target, error) from error


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A file to write that becomes `target` at the end, whatever it is called, or vanishes when anything goes wrong.

    Raises EngineError (output_exists, not_found).
    """
    _check_name(target)
    if target.exists() or target.is_symlink():
        raise _exists(target, "Give a new name.")
    with _hidden_beside(target) as folder:
        yield folder / target.name
        _give_name(folder / target.name, target)


@contextmanager
def _hidden_beside(target: Path) -> Iterator[Path]:
    """An empty hidden folder that is gone afterwards, unless it was given another name."""
    folder = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise _no_place(target, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give_files(folder: Path, target: Path) -> None:
    """Gives every file its name beside the target, the weights last; a name that was taken meanwhile stays whose it is."""
    given: list[Path] = []
    try:
        for path in sorted(folder.iterdir(), key=lambda found: found.name == target.name):
            final = target.parent / path.name
            _give_name(path, final)
            given.append(final)
    except BaseException:
        for final in given:
            final.unlink(missing_ok=True)
        raise


def _give_name(path: Path, final: Path) -> None:
    try:
        os.link(path, final)
    except FileExistsError as error:
        raise _exists(final, "Give a new name.") from error
    except OSError:
        # a file system without hard links: the name is taken first, so that nobody else's file is replaced
        try:
            os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError as error:
            raise _exists(final, "Give a new name.") from error
        path.replace(final)


def _check_name(path: Path) -> None:
    """Whether there can be a file of this name, and room for what is put before and behind it; raises EngineError (not_found)."""
    try:
        for name in (f".{path.name}.partial-{os.getpid()}", f"{path.name}.{RESULT_NAME}"):
            (path.parent / name).exists()
    except (OSError, ValueError) as error:
        message = f"{shown(str(path))} cannot be the name of an output: {getattr(error, 'strerror', None) or error}."
        raise EngineError("not_found", message, "Name another place for the output.") from error


def _no_place(target: Path, error: OSError) -> EngineError:
    message = f"{target} cannot be written: {error.strerror or error}."
    return EngineError("not_found", message, "Name another place for the output.")


def _exists(path: Path, hint: str) -> EngineError:
    return EngineError("output_exists", f"{path} exists already.", hint)
