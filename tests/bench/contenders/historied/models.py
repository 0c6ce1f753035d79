"""django-simple-history: a copy of the row through signals."""

from __future__ import annotations

from django.db import models
from simple_history.models import HistoricalRecords

from tests.bench.contenders.columns import ItemColumns, LineColumns, PlainKey


class Line(LineColumns, PlainKey):
    pass


class Item(ItemColumns, PlainKey):
    line = models.ForeignKey(Line, on_delete=models.PROTECT)
    history = HistoricalRecords()
