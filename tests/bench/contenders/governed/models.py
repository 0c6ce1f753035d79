"""Ours: a governed table, guarded and sealed in the ledger."""

from __future__ import annotations

from django.db import models

from registry.governed import GovernedModel
from tests.bench.contenders.columns import ItemColumns, LineColumns


class Line(LineColumns, GovernedModel):
    pass


class Item(ItemColumns, GovernedModel):
    mutable = ("state", "note_digest")

    line = models.ForeignKey(Line, on_delete=models.PROTECT)
