"""What a model's line is measured against: what an alias serves now, with an approval or not, and what was approved first.

The room release knows all of it and stands above this one: it registers how to find out when the applications are ready; this
room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.catalog.models import ModelVersion, RegisteredModel

Incumbent = Callable[[RegisteredModel, str], ModelVersion | None]
First = Callable[[RegisteredModel], ModelVersion | None]
DEFAULT_ALIAS = "production"
AliasesWithApproval = Callable[[ModelVersion], list[str]]
_KNOWN: dict[str, tuple[Incumbent, First, AliasesWithApproval]] = {}


def known_by(incumbent: Incumbent, first: First, aliases: AliasesWithApproval) -> None:
    """Say how to find what an alias serves, the first version of a model that was ever approved, and which aliases serve one."""
    _KNOWN["release"] = (incumbent, first, aliases)


def incumbent_of(model: RegisteredModel, alias: str) -> ModelVersion | None:
    """What the alias serves now; None before the first promotion and while suspended."""
    return _KNOWN["release"][0](model, alias)


def first_of(model: RegisteredModel) -> ModelVersion | None:
    """The first version of the model that was ever granted an approval."""
    return _KNOWN["release"][1](model)


def aliases_with_approval(version: ModelVersion) -> list[str]:
    """The aliases that serve the version now and rest on an approval, by name."""
    return _KNOWN["release"][2](version)
