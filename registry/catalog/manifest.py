"""What a list of files must be before it may become a version: named well, present, and what they claim to be by their bytes.

Rules:
- the paths and roles are those of FORMATS section 3; the bytes of every file are here;
- at least one file holds weights; all weights have one format (ONNX, safetensors, .pt2), told by content;
- a pickle is refused under every name and role;
- ONNX external data must be a file of the manifest with the role external_data; a file of that role must be used;
- a file whose name says a weights format is checked as one, whatever its role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from compression_engine.errors import FileRefused
from compression_engine.inspect import FORMATS, Inspection, inspect_file
from registry import storage
from registry.digests import CanonicalError, is_digest, sha256, version_document
from registry.errors import Invalid

METHOD = {"name": "inspect", "version": "1"}


@dataclass(frozen=True)
class FileSpec:
    """One file of a version to be: its path in the manifest, its role, the digest of bytes that are in the store."""

    path: str
    role: str
    digest: str


@dataclass(frozen=True)
class ManifestFile:
    """A file with its measured size."""

    path: str
    role: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """Files that passed every rule, the version document over them, and what looking at their structure found."""

    files: tuple[ManifestFile, ...]
    document: bytes
    digest: str
    format: str
    inspections: tuple[tuple[str, Inspection], ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def check_manifest(files: Sequence[FileSpec]) -> Manifest:
    """All rules at the top; Invalid names the file. Reads the weights once: call it before a unit is open."""
    measured = tuple(sorted((_measure(spec) for spec in files), key=lambda file: file.path))
    rows = [vars(file) for file in measured]
    try:
        document = version_document(rows)
    except CanonicalError as error:
        raise Invalid(str(error), hint="Correct the list of files.", code="manifest") from None
    inspections = _inspect_all(measured)
    weights = {file.path for file in measured if file.role == "weights"}
    formats = sorted({found.format for path, found in inspections if path in weights})
    if not formats:
        raise Invalid("No file has the role weights.", hint="Give the model file the role 'weights'.", code="manifest")
    if len(formats) > 1:
        raise Invalid(
            f"The weights have several formats: {', '.join(formats)}.",
            hint="Register one version for each format.",
            code="manifest",
        )
    return Manifest(measured, document, sha256(document), formats[0], inspections)


def _measure(spec: FileSpec) -> ManifestFile:
    if not is_digest(spec.digest):
        raise Invalid(f"The digest of {spec.path!r} is none.", hint="Give 'sha256:' and 64 hexadecimal digits.")
    try:
        size_bytes = storage.path_of(spec.digest).stat().st_size
    except FileNotFoundError:
        raise Invalid(
            f"The bytes of {spec.path!r} ({spec.digest}) are not here.",
            hint="Upload the file first.",
            code="not-uploaded",
        ) from None
    return ManifestFile(spec.path, spec.role, spec.digest, size_bytes)


def _inspect_all(files: Sequence[ManifestFile]) -> tuple[tuple[str, Inspection], ...]:
    found: list[tuple[str, Inspection]] = []
    used: set[str] = set()
    roles = {file.path: file.role for file in files}
    sizes = {file.path: file.size_bytes for file in files}
    known: dict[tuple[str, str], Inspection] = {}
    for file in files:
        # one file under thousands of names is looked into once; what refers to files beside it, wherever it lies
        key = (file.digest, PurePosixPath(file.path).suffix.lower())
        inspection = known.get(key) or _inspect(file, sizes)
        if inspection is not None:
            if not inspection.external_files:
                known[key] = inspection
            found.append((file.path, inspection))
            used |= _external_paths(file, inspection, roles)
    unused = [file.path for file in files if file.role == "external_data" and file.path not in used]
    if unused:
        raise Invalid(
            f"{unused[0]!r} has the role external_data, but no weights file refers to it.",
            hint="Upload the model that uses it with it, or give the file the role 'other'.",
            code="manifest",
            path=unused[0],
        )
    return tuple(found)


def _inspect(file: ManifestFile, sizes: Mapping[str, int]) -> Inspection | None:
    strict = file.role == "weights" or PurePosixPath(file.path).suffix.lower() in FORMATS
    try:
        return inspect_file(storage.path_of(file.digest), name=file.path, siblings=_Beside(file.path, sizes))
    except FileRefused as error:
        if not strict and error.code != "pickle_refused":
            return None  # a tokenizer, a configuration, raw external data: no format of weights is expected
        raise Invalid(
            f"{file.path}: {error.message}", hint=error.hint, code=error.code.replace("_", "-"), path=file.path
        ) from None


class _Beside(Mapping[str, int]):
    """Sizes of the other files by their paths from the folder of one, never of what lies above it. Asked, not written out."""

    def __init__(self, path: str, sizes: Mapping[str, int]) -> None:
        self._path, self._sizes = path, sizes
        self._folder = path[: path.rfind("/") + 1]

    def __getitem__(self, name: str) -> int:
        whole = self._folder + name
        if whole == self._path:
            raise KeyError(name)
        return self._sizes[whole]

    def __iter__(self) -> Iterator[str]:
        others = (path for path in self._sizes if path != self._path)
        return (path[len(self._folder) :] for path in others if path.startswith(self._folder))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _external_paths(file: ManifestFile, inspection: Inspection, roles: Mapping[str, str]) -> set[str]:
    folder = PurePosixPath(file.path).parent
    paths = {str(folder / name) for name in inspection.external_files}
    for path in sorted(paths):
        if roles[path] != "external_data":
            raise Invalid(
                f"{file.path} keeps tensors in {path!r}, whose role is {roles[path]!r}.",
                hint="Give that file the role 'external_data'.",
                code="manifest",
                path=path,
            )
    return paths
