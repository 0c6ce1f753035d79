"""The one table of facts: what the rules of a framework pack may name."""

from __future__ import annotations

from audit.facts import data, evaluation, governance, measurement, operation, origin
from audit.facts.base import FactSpec

FACTS: dict[str, FactSpec] = {
    spec.name: spec
    for spec in (*governance.FACTS, *origin.FACTS, *data.FACTS, *measurement.FACTS, *evaluation.FACTS, *operation.FACTS)
}
