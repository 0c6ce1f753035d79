"""English sentences of many documents, and judged searches in documents that nothing was trained on.

Documents are the help topics of Python's own documentation, the descriptions in the metadata of installed packages, and the prose
in the docstrings of the standard library's and installed packages' modules, read as text and never imported. A document belongs
to training or to evaluation as a whole, by the digest of its name; a sentence that stands in both is judged nowhere.

Judged searches (what is right comes from whoever wrote the documents, not from a model):
- `neighbour`: a sentence is asked for by the one that stands before it in the same paragraph, among all such sentences;
- `purpose`: a function or class is asked for by the first sentence of its docstring, among the spelled-out names of all.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics

from compression_engine.samples.language import sentences

_EVALUATION_OF = 8
"""One document of so many is kept for evaluation."""
_MODULE_BYTES_MOST = 1_000_000
_QUERIES_MOST = 1_500
_PACKAGES_LEFT = frozenset({"pip", "setuptools", "pkg_resources"})


@dataclass(frozen=True)
class Search:
    """Questions and what is searched, both texts; the right find of question i is text i."""

    name: str
    questions: tuple[str, ...]
    searched: tuple[str, ...]


@dataclass(frozen=True)
class Texts:
    """Sentences to train on, and the judged searches over documents that none of them comes from."""

    training: tuple[str, ...]
    searches: tuple[Search, ...]
    documents: tuple[int, int]
    """How many documents gave sentences to training, and to evaluation."""


@dataclass(frozen=True)
class _Document:
    name: str
    paragraphs: tuple[tuple[str, ...], ...]
    purposes: tuple[tuple[str, str], ...]
    """(first sentence of a docstring, the name spelled out)"""


def collect(most: int | None = None) -> Texts:
    """All sentences of this machine's documents, the same for the same installed packages; at most so many for training."""
    training: dict[str, None] = {}
    judged: list[_Document] = []
    count = 0
    for document in _documents():
        if not any(document.paragraphs) and not document.purposes:
            continue
        if int(hashlib.sha256(document.name.encode()).hexdigest(), 16) % _EVALUATION_OF == 0:
            judged.append(document)
        else:
            count += 1
            training.update((text, None) for paragraph in document.paragraphs for text in paragraph)
            training.update((text, None) for text, _ in document.purposes)
    kept = sorted(training, key=_digest)[:most]
    searches = (_neighbours(judged, training), _purposes(judged, training))
    return Texts(tuple(kept), searches, (count, len(judged)))


def write_rows(texts: Texts, path: Path) -> Path:
    """The sentences of training as rows for the engine."""
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts.training)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _neighbours(documents: list[_Document], trained: dict[str, None]) -> Search:
    pairs: dict[str, str] = {}
    answers: set[str] = set()
    for document in documents:
        for paragraph in document.paragraphs:
            for one, other in zip(paragraph[::2], paragraph[1::2], strict=False):
                fresh = not {one, other} & trained.keys() and one != other
                if fresh and one not in pairs and other not in answers:
                    pairs[one] = other
                    answers.add(other)
    return _search("neighbour", list(pairs.items()))


def _purposes(documents: list[_Document], trained: dict[str, None]) -> Search:
    pairs: dict[str, str] = {}
    names: set[str] = set()
    for document in documents:
        for text, name in document.purposes:
            if text not in trained and text not in pairs and name not in names:
                pairs[text] = name
                names.add(name)
    return _search("purpose", list(pairs.items()))


def _search(name: str, pairs: list[tuple[str, str]]) -> Search:
    chosen = sorted(pairs, key=lambda pair: _digest(pair[0]))[:_QUERIES_MOST]
    return Search(name, tuple(one for one, _ in chosen), tuple(other for _, other in chosen))


def _documents() -> Iterator[_Document]:
    for topic in sorted(topics.topics):
        yield _Document(f"topic {topic}", _paragraphs(topics.topics[topic]), ())
    found = {entry.metadata["Name"]: entry for entry in importlib.metadata.distributions()}
    for name in sorted(found):
        text = found[name].metadata.get_payload()  # type: ignore[attr-defined]
        yield _Document(f"package {name}", _paragraphs(text if isinstance(text, str) else ""), ())
    paths = sysconfig.get_paths()
    for root in (Path(paths["stdlib"]), Path(paths["purelib"])):
        for path in sorted(root.rglob("*.py")):
            within = path.relative_to(root)
            parts = within.parts
            if {"site-packages", "tests", "test", "idlelib"} & set(parts[:-1]) or parts[0] in _PACKAGES_LEFT:
                continue
            if path.stat().st_size <= _MODULE_BYTES_MOST:
                yield _module(within.as_posix(), path)


def _module(name: str, path: Path) -> _Document:
    """The prose of a module's docstrings; nothing of it is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in strings of others
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError):
        return _Document(name, (), ())
    paragraphs: list[tuple[str, ...]] = []
    purposes: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node)
        if text:
            found = _paragraphs(text)
            paragraphs += found
            spelled = "" if isinstance(node, ast.Module) else _spelled(node.name)
            if found and len(spelled.split()) > 1:
                purposes.append((found[0][0], spelled))
    return _Document(name, tuple(paragraphs), tuple(purposes))


def _paragraphs(text: str) -> tuple[tuple[str, ...], ...]:
    """The prose sentences of a text, paragraph by paragraph."""
    found = (tuple(sentences(part)) for part in re.split(r"\n\s*\n", text.replace("``", "").replace("`", "")))
    return tuple(part for part in found if part)


def _spelled(name: str) -> str:
    """A name of a program as words: `read_csv` and `ReadCsv` are "read csv"."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)).lower()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
