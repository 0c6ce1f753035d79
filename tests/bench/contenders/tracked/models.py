"""django-pghistory: a copy of the row through triggers of PostgreSQL."""

from __future__ import annotations

import pghistory
from django.db import models

from tests.bench.contenders.columns import ItemColumns, LineColumns, PlainKey


class Line(LineColumns, PlainKey):
    pass


@pghistory.track()
class Item(ItemColumns, PlainKey):
    line = models.ForeignKey(Line, on_delete=models.PROTECT)
