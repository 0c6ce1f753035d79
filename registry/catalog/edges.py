"""What an edge of the lineage may say. The vocabulary is frozen; the rules are checked before a child is written.

Rules:
- an edge has one parent: a version of this registry, a dataset version of it, or a digest of something outside;
- the role `data` belongs to datasets (here or outside), the other roles to versions;
- operations are an ordered list from the vocabulary;
- from outside an edge is declared; `executed` and `re-derived` are said by our own worker alone;
- the same parent in the same role stands once;
- what began as a student has no base: none of another model's numbers are in it (decision 28).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.catalog.models import EdgeRole, Grade, ModelVersion
from registry.digests import is_digest
from registry.errors import Invalid
from registry.provenance.models import DatasetVersion

OPERATIONS = ("fine-tuned", "pruned", "distilled", "quantized", "factorised", "merged", "converted")
MAX_EDGES = 100


@dataclass(frozen=True)
class EdgeSpec:
    """Where a version came from: one parent, in one role, by an ordered list of operations."""

    role: str
    operations: Sequence[str] = ()
    grade: str = Grade.DECLARED.value
    parent: ModelVersion | None = None
    dataset_version: DatasetVersion | None = None
    parent_digest: str | None = None

    @property
    def digest(self) -> str:
        """The digest of the parent, wherever it is."""
        if self.parent is not None:
            return str(self.parent.digest)
        if self.dataset_version is not None:
            return self.dataset_version.bound_digest
        return str(self.parent_digest)


def check_edges(edges: Sequence[EdgeSpec], *, from_outside: bool) -> None:
    """Refuse edges that break a rule; Invalid says which."""
    if len(edges) > MAX_EDGES:
        raise _wrong(f"{len(edges)} edges are given; at most {MAX_EDGES} are kept.")
    for edge in edges:
        _check_parent(edge)
        _check_words(edge, from_outside)
    keys = [(edge.role, edge.digest) for edge in edges]
    doubled = next((key for key in keys if keys.count(key) > 1), None)
    if doubled is not None:
        raise _wrong(f"The parent {doubled[1]} stands twice in the role {doubled[0]}.")
    if {EdgeRole.BASE.value, EdgeRole.STUDENT_START.value} <= {edge.role for edge in edges}:
        raise Invalid(
            "What began as a student (student-start) has no base: its numbers were the student's.",
            hint="Name the model that taught it as its teacher; weights of several models that were put together are merge-input.",
            code="edges",
        )


def _check_parent(edge: EdgeSpec) -> None:
    if edge.parent is not None and edge.dataset_version is not None:
        raise _wrong("An edge has one parent: a version or a dataset version.")
    if edge.parent is None and edge.dataset_version is None and not is_digest(edge.parent_digest):
        raise _wrong("An edge names no parent: give a version, a dataset version, or the digest of what is outside.")
    if edge.parent_digest is not None and edge.parent_digest != edge.digest:
        raise _wrong(f"The parent has the digest {edge.digest}, not {edge.parent_digest}.")
    if edge.role == EdgeRole.DATA and edge.parent is not None:
        raise _wrong("The role data belongs to datasets; a model cannot stand there.")
    if edge.role != EdgeRole.DATA and edge.dataset_version is not None:
        raise _wrong(f"A dataset cannot stand in the role {edge.role}; its role is data.")


def _check_words(edge: EdgeSpec, from_outside: bool) -> None:
    if edge.role not in EdgeRole.values:
        raise _wrong(f"The role {edge.role!r} is not known; roles are {', '.join(EdgeRole.values)}.")
    unknown = [word for word in edge.operations if word not in OPERATIONS]
    if unknown:
        raise _wrong(f"The operation {unknown[0]!r} is not known; operations are {', '.join(OPERATIONS)}.")
    if edge.grade not in Grade.values:
        raise _wrong(f"The grade {edge.grade!r} is not known; grades are {', '.join(Grade.values)}.")
    if from_outside and edge.grade != Grade.DECLARED:
        raise _wrong(f"The grade {edge.grade} is given by our own runs; what comes from outside is declared.")


def _wrong(detail: str) -> Invalid:
    return Invalid(detail, hint="Correct 'edges'.", code="edges")
