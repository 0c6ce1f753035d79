"""What a window said, for people: each feature beside its baseline as drawing, sentence and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from registry.desk import svg
from registry.desk.figures import rounded
from registry.monitoring.models import Window
from registry.monitoring.queries import document_of


@dataclass(frozen=True)
class Bin:
    """One bin of a feature, as shares of its rows in hundredths of a percent."""

    span: str
    baseline: int
    baseline_share: str
    window: int
    window_share: str


@dataclass(frozen=True)
class FeatureView:
    """One feature of a window."""

    name: str
    moved: bool
    sentence: str
    effect: str
    limit: str
    drawing: SafeString
    bins: Sequence[Bin]


@dataclass(frozen=True)
class WindowView:
    """A window with what the judgement says; `features` is empty where there was no baseline to hold it against."""

    row: Window
    summary: str
    features: Sequence[FeatureView]

    @property
    def moved(self) -> list[FeatureView]:
        return [feature for feature in self.features if feature.moved]

    @property
    def still(self) -> list[FeatureView]:
        return [feature for feature in self.features if not feature.moved]


def window_view(window: Window) -> WindowView:
    """The judgement document of a window, drawn. What moved stands first."""
    judgement = document_of(window.judgement_digest)
    counted = {f["name"]: f for f in document_of(window.digest)["distribution"]["features"]}
    frozen = {f["name"]: f for f in document_of(window.baseline.digest)["features"]} if window.baseline else {}
    judged = sorted(judgement.get("features", []), key=lambda f: (not f["drifted_by"], f["name"]))
    features = [
        _feature(index, f, frozen[f["name"]], counted[f["name"]])
        for index, f in enumerate(judged)
        if f["name"] in frozen and f["name"] in counted
    ]
    return WindowView(window, judgement.get("summary", ""), features)


def _feature(
    index: int, judged: Mapping[str, Any], frozen: Mapping[str, Any], counted: Mapping[str, Any]
) -> FeatureView:
    moved = bool(judged["drifted_by"])
    drawing = svg.histogram(
        f"feature-{index}", judged["sentence"], frozen["edges"], frozen["counts"], counted["counts"], moved=moved
    )
    return FeatureView(
        name=judged["name"],
        moved=moved,
        sentence=judged["sentence"],
        effect=_number(judged["effect"]),
        limit=_number(judged["limit"]),
        drawing=mark_safe(drawing),  # noqa: S308  svg escapes everything that came from data
        bins=_bins(frozen, counted),
    )


def _number(value: str | None) -> str:
    return "none" if value is None else rounded(Decimal(value))


def _bins(frozen: Mapping[str, Any], counted: Mapping[str, Any]) -> list[Bin]:
    edges = svg.told_apart(frozen["edges"])
    spans = [f"{low} to {high}" for low, high in zip(["lowest", *edges], [*edges, "highest"], strict=True)]
    then, now = svg.shares(frozen["counts"]), svg.shares(counted["counts"])
    return [
        Bin(span, frozen["counts"][i], f"{then[i] * 100:.1f} %", counted["counts"][i], f"{now[i] * 100:.1f} %")
        for i, span in enumerate(spans)
    ]
