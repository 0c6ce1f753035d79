"""Gathers what two versions are, as one reader may know it, and lays them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from registry.catalog import queries as catalog
from registry.catalog.distributions import KIND as DISTRIBUTION
from registry.catalog.lineage import Lineage
from registry.catalog.models import ModelVersion
from registry.compression.measured_again import evidence_documents
from registry.desk import figures, metrics
from registry.desk.differences import FigureSide, FileSide, Key, Line, Part, compare_figures, side_by_side
from registry.desk.differences import files as compare_files
from registry.events import Caller
from registry.release import queries as release

STRUCTURE = "structure"
Figures = dict[Key, FigureSide]


@dataclass(frozen=True)
class VersionDiff:
    """Two versions, part by part."""

    left: ModelVersion
    right: ModelVersion
    parts: list[Part]

    @property
    def same_bytes(self) -> bool:
        """Whether they hold the same files."""
        return str(self.left.digest) == str(self.right.digest)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        sides = {
            name: {"digest": version.digest, "version": str(version)}
            for name, version in (("left", self.left), ("right", self.right))
        }
        return {**sides, "same_bytes": self.same_bytes, "parts": [part.document() for part in self.parts]}


@dataclass(frozen=True)
class _Side:
    """One version, with what is read of it once."""

    version: ModelVersion
    lineage: Lineage
    figures: Figures
    structure: Figures


def diff_versions(caller: Caller, left: ModelVersion, right: ModelVersion) -> VersionDiff:
    """Two versions that the caller may read; of their lineage and evidence he is told what he may know."""
    sides = (_side(caller, left), _side(caller, right))
    return VersionDiff(left, right, [part for part in _parts(caller, *sides) if part.lines])


def _side(caller: Caller, version: ModelVersion) -> _Side:
    measured, structure = _figures(caller, version)
    return _Side(version, catalog.lineage(caller, version), measured, structure)


def _parts(caller: Caller, left: _Side, right: _Side) -> Iterator[Part]:
    def beside(read: Callable[[_Side], Mapping[str, str]]) -> list[Line]:
        return side_by_side(read(left), read(right))

    yield Part("identity", "What it is", "Its digest, format, size and where it came from.", beside(_identity))
    yield Part("files", "Files", "By path, with role, size and digest.", compare_files(_files(left), _files(right)))
    structure = compare_figures(left.structure, right.structure)
    yield Part("structure", "Structure", "What was read from the weights without running them.", structure)
    yield Part("lineage", "Lineage", "What it was made from directly, in which role and by what.", beside(_parents))
    terms = beside(lambda side: _terms(caller, side.version))
    yield Part("terms", "Licence and terms", "Its licence, and what all licences of its lineage come to.", terms)
    yield Part("data", "Data", "Every dataset of its lineage, with its licence.", beside(_data))
    evidence = compare_figures(left.figures, right.figures)
    yield Part("evidence", "Measured and declared", "The newest figures of each kind; right minus left.", evidence)
    yield Part("verdicts", "What the gate said", "The newest verdict for each alias, rule by rule.", beside(_verdicts))


def _identity(side: _Side) -> dict[str, str]:
    version = side.version
    return {
        "model": str(version.model),
        "version digest": version.digest[:19],
        "format": version.get_format_display(),
        "size": figures.size_text(version.size_bytes),
        "origin": version.get_origin_display().lower(),
        "bytes": "kept" if version.purged_at is None else "purged",
    }


def _files(side: _Side) -> list[FileSide]:
    rows = side.version.artifacts.order_by("path")
    return [FileSide(row.path, row.role, row.size_bytes, row.digest) for row in rows]


def _parents(side: _Side) -> dict[str, str]:
    names = {node.key: node.label or f"something of another team, {node.digest[7:19]}" for node in side.lineage.nodes}
    found: dict[str, str] = {}
    for edge in side.lineage.edges:
        if edge.child == side.lineage.root:
            made = f", {', '.join(edge.operations)}" if edge.operations else ""
            found[f"{edge.role}: {names[edge.parent]}"] = f"{edge.grade}{made}"
    return dict(sorted(found.items()))


def _data(side: _Side) -> dict[str, str]:
    rows = [node for node in side.lineage.nodes if node.kind == "dataset" and node.distance < 0]
    named = {node.label or f"data of another team, {node.digest[7:19]}": node.licence or "unknown" for node in rows}
    return dict(sorted(named.items()))


def _terms(caller: Caller, version: ModelVersion) -> dict[str, str]:
    stated = catalog.stated_in(version)
    effective = catalog.effective_terms(version, caller=caller)
    answers = {term.replace("_", " "): answer for term, answer in effective.answers.items()}
    return {"licence": str(stated.licence), "training data known": stated.training_data, **answers}


def _verdicts(side: _Side) -> dict[str, str]:
    found: dict[str, str] = {}
    seen = set()
    for verdict in release.verdicts_of(side.version):
        if verdict.alias in seen:
            continue
        seen.add(verdict.alias)
        found[f"{verdict.alias}"] = f"{verdict.get_outcome_display().lower()}, under {verdict.policy}"
        results: Any = release.verdict_document(verdict)["results"]
        found |= {f"{verdict.alias}: {result['rule']}": str(result["answer"]) for result in results}
    return dict(sorted(found.items()))


def _figures(caller: Caller, version: ModelVersion) -> tuple[Figures, Figures]:
    """The figures of the newest document of each kind and source, and apart from them those of the structure."""
    measured: Figures = {}
    structure: Figures = {}
    seen = set()
    for row, document in evidence_documents(version, catalog.EvidenceReader(caller)):
        if (row.kind, row.source) in seen or row.kind == DISTRIBUTION:
            continue
        seen.add((row.kind, row.source))
        into = structure if row.kind == STRUCTURE else measured
        for found in figures.rows_of(document["figures"], metrics.other_of(row.kind)):
            key = (row.kind, row.source, found.metric, figures.where_of(found.figure))
            into[key] = _figure_side(found.figure, document)
    return measured, structure


def _figure_side(figure: Mapping[str, Any], document: Mapping[str, Any]) -> FigureSide:
    method = document["method"]
    by_role: dict[str, set[str]] = {}
    for subject in document["subjects"]:
        by_role.setdefault(subject["role"], set()).add(subject["digest"])
    beside = by_role.get("parent", set()) | by_role.get("incumbent", set())
    rows = frozenset(by_role.get("dataset", set()))
    return FigureSide(figure, f"{method['name']} {method['version']}", rows, frozenset(beside))
