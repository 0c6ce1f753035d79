"""The grade of an edge rises: a replay made the child again from this parent. It never falls; nothing else of an edge changes."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from registry.catalog.models import Edge, EdgeRole, Grade, ModelVersion
from registry.events import Unit, emit
from registry.provenance.models import DatasetVersion


def raise_grade(
    opened: Unit,
    *,
    version: ModelVersion,
    parent: ModelVersion,
    data: Sequence[DatasetVersion] = (),
    learned: Sequence[ModelVersion] = (),
) -> list[Edge]:
    """Inside the worker's unit: the edges to the parent, the rows that were used, teacher and beginning become re-derived."""
    used = Q(role=EdgeRole.BASE, parent=parent) | Q(role=EdgeRole.DATA, dataset_version__in=list(data))
    used |= Q(role__in=(EdgeRole.TEACHER, EdgeRole.STUDENT_START), parent__in=list(learned))
    edges = list(Edge.objects.select_for_update(no_key=True).filter(used, child=version).order_by("pk"))
    raised = [edge for edge in edges if edge.grade != Grade.REDERIVED]
    for edge in raised:
        edge.grade = Grade.REDERIVED
        edge.save(update_fields=["grade"])
    if raised:
        emit("edge.rederived", *raised, team=version.model.team_id)
    return raised
