"""Wiring: the two tables have record types like any of the product's."""

from __future__ import annotations

from django.apps import AppConfig


class GovernedConfig(AppConfig):
    name = "tests.bench.contenders.governed"
    label = "governed"

    def ready(self) -> None:
        from registry import images
        from tests.bench.contenders.governed.models import Item, Line

        images.register_records(
            [
                images.RecordType("bench.line", 1, Line, lambda key, row: f"team:{key}"),
                images.RecordType("bench.item", 1, Item, lambda key, row: f"team:{row['line_id']}"),
            ]
        )
