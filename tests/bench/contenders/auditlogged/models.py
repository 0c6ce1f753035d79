"""django-auditlog: a difference through signals."""

from __future__ import annotations

from auditlog.registry import auditlog
from django.db import models

from tests.bench.contenders.columns import ItemColumns, LineColumns, PlainKey


class Line(LineColumns, PlainKey):
    pass


class Item(ItemColumns, PlainKey):
    line = models.ForeignKey(Line, on_delete=models.PROTECT)


auditlog.register(Item)
