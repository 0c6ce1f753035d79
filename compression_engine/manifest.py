"""The manifest that `pressmark pull` leaves beside the files of a version: which files they are, and the version's digest.

Rules:
- the manifest is the `pressmark/version/1` document itself, in a hidden file, so that registering the folder leaves it out;
- a version is what its manifest names only when every file is there and hashes to what the manifest says; else it is refused,
  since figures would otherwise be bound to a version that was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compression_engine.canonical import JSON, CanonicalError, digest_of, digest_of_stream, parse_canonical
from compression_engine.errors import EngineError

MANIFEST_NAME = ".pressmark-version.json"
VERSION_TYPE = "pressmark/version/1"
_LEVELS_UP = 4
_PULL_AGAIN = "Pull the version again into an empty folder."


def version_digest(weights: Path) -> str | None:
    """The digest of the version that these weights belong to, every file hashed again; None where no manifest lies beside them.

    Raises EngineError (version_differs) where a file is missing, differs, or the weights are none of the version's files.
    """
    folder = next((one for one in weights.resolve().parents[:_LEVELS_UP] if (one / MANIFEST_NAME).is_file()), None)
    if folder is None:
        return None
    data = (folder / MANIFEST_NAME).read_bytes()
    named = {_path(entry): entry for entry in _files(data)}
    if weights.resolve().relative_to(folder).as_posix() not in named:
        raise _differs(f"{weights.name} is no file of the version whose manifest lies beside it.")
    for path, entry in named.items():
        _check(folder / path, path, entry)
    return digest_of(data)


def _files(data: bytes) -> list[Mapping[str, JSON]]:
    try:
        document = parse_canonical(data)
    except CanonicalError as error:
        raise _differs(f"The manifest {MANIFEST_NAME} was changed: {error}.") from error
    files = document.get("files") if isinstance(document, Mapping) and document.get("type") == VERSION_TYPE else None
    if not isinstance(files, list) or not all(isinstance(entry, Mapping) for entry in files):
        raise _differs(f"{MANIFEST_NAME} is no manifest of a version.")
    return files


def _path(entry: Mapping[str, JSON]) -> str:
    path = entry.get("path")
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        raise _differs(f"The manifest names the path {path!r}.")
    return path


def _check(file: Path, path: str, entry: Mapping[str, JSON]) -> None:
    if not file.is_file():
        raise _differs(f"{path} of the version is not here.")
    with file.open("rb") as opened:
        found = digest_of_stream(opened)
    if found != entry.get("digest"):
        raise _differs(f"{path} is not what the version's manifest says: {found}.")


def _differs(message: str) -> EngineError:
    return EngineError("version_differs", message, _PULL_AGAIN)
