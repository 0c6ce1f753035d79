"""Pages about data: all datasets, and one with its versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.access.queries import get_readable
from registry.desk import queries
from registry.desk.http import Context, Page
from registry.events import Caller


class Datasets(Page):
    """Every dataset of the reader's teams."""

    template = "provenance/datasets.html"
    section = "datasets"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        return {"datasets": queries.datasets(caller)[: queries.LIST_ROWS]}


class DatasetPage(Page):
    """One dataset: what each version is, whence it came, and what is not known about it."""

    template = "provenance/dataset.html"
    section = "datasets"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        dataset = get_readable(queries.datasets(caller), caller, team__slug=kwargs["team"], slug=kwargs["dataset"])
        return {"dataset": dataset}
