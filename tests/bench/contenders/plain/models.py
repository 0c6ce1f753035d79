"""Nobody records anything: what a save costs by itself."""

from __future__ import annotations

from django.db import models

from tests.bench.contenders.columns import ItemColumns, LineColumns, PlainKey


class Line(LineColumns, PlainKey):
    pass


class Item(ItemColumns, PlainKey):
    line = models.ForeignKey(Line, on_delete=models.PROTECT)
