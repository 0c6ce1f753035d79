"""An evaluation as its page shows it: the first lines, then worst first, then every figure, and what was not measured.

Rules:
- every figure of the run stands somewhere on the page, whether a drawing was made for it or not;
- a kind that was not measured is named, with what it would have needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.catalog.models import ModelVersion
from registry.compression.models import Run
from registry.desk.evaluations import curves, groups
from registry.desk.evaluations.against import Against, Drawn, comparisons_of
from registry.desk.evaluations.missing import Missing, missing_of
from registry.desk.evaluations.on_target import OnTarget, on_target
from registry.desk.evaluations.record import OTHERS, WHO, Document, Record, Sheet, record_of
from registry.desk.evaluations.said import Said, said_of
from registry.desk.figures import row_of
from registry.desk.measured import Measured, measured_document
from registry.desk.metrics import name_of
from registry.events import Caller

COMPARISON, FIDELITY, INVARIANCE = "comparison", "fidelity", "invariance"


@dataclass(frozen=True)
class Other:
    """A model that the version was compared with, and every part that it plays."""

    who: str
    version: ModelVersion | None
    digest: str


@dataclass(frozen=True)
class Evaluation:
    """Everything that the page and its JSON show."""

    record: Record
    said: Said
    comparisons: Sequence[Against]
    beside: curves.Table
    others: Sequence[Other]
    documents: Sequence[Measured]
    gaps: Drawn | None
    groups: curves.Table
    reliability: curves.Curves | None
    severities: curves.Curves | None
    latencies: curves.Curves | None
    targets: Sequence[OnTarget]
    environment: Sequence[tuple[str, str]]
    missing: Sequence[Missing]

    def _kind(self, kind: str) -> Measured | None:
        return next((d for d in self.documents if d.evidence.kind == kind), None)

    @property
    def main(self) -> Against | None:
        return next(iter(self.comparisons), None)

    @property
    def quality(self) -> Measured | None:
        return self._kind("quality")

    @property
    def fairness(self) -> Measured | None:
        return self._kind("fairness")

    @property
    def calibration(self) -> Measured | None:
        return self._kind("calibration")

    @property
    def robustness(self) -> Measured | None:
        return self._kind("robustness")

    @property
    def out_of_distribution(self) -> Measured | None:
        return self._kind("out-of-distribution")

    def _beside(self, kind: str) -> list[Measured]:
        """The same question asked of the incumbent, and of the first approved version."""
        return [found for other in ("incumbent", "first") if (found := self._kind(f"{kind}-{other}")) is not None]

    @property
    def fairness_beside(self) -> list[Measured]:
        return self._beside("fairness")

    @property
    def calibration_beside(self) -> list[Measured]:
        return self._beside("calibration")

    @property
    def robustness_beside(self) -> list[Measured]:
        return self._beside("robustness")

    @property
    def out_of_distribution_beside(self) -> list[Measured]:
        return self._beside("out-of-distribution")

    @property
    def same(self) -> list[Measured]:
        """How alike the answers are, against each other model, once where one plays several parts; and however one asks."""
        kinds = {FIDELITY, INVARIANCE} | {f"{FIDELITY}-{r}" for r in ("incumbent", "first") if not self._repeats(r)}
        return [d for d in self.documents if d.evidence.kind in kinds]

    def _repeats(self, role: str) -> bool:
        """Whether another model is the parent, or the incumbent, once more."""
        digest = self.record.subject(role)
        return digest != "" and digest in {self.record.subject(r) for r in OTHERS[: OTHERS.index(role)]}

    @property
    def costs(self) -> list[Measured]:
        """Size, speed, memory, energy and money, in this order."""
        return [d for d in self.documents if d.evidence.kind in ("size", "timing", "memory", "energy", "cost")]

    @property
    def rest(self) -> list[Measured]:
        """Kinds that have no part of the page of their own."""
        own = {"quality", "fairness", "calibration", "robustness", "out-of-distribution", "distribution"}
        shown = {d.evidence.pk for d in [*self.same, *self.costs]}
        shown |= {d.evidence.pk for kind in own for d in self._beside(kind)}
        left_out = (COMPARISON, FIDELITY)
        kinds = (d for d in self.documents if not d.evidence.kind.startswith(left_out))
        return [d for d in kinds if d.evidence.kind not in own and d.evidence.pk not in shown]


def evaluation_of(caller: Caller, version: ModelVersion, run: Run) -> Evaluation:
    """The evaluation of a version by a run, both visible to the caller; NotFound where the run measured another one."""
    record = record_of(caller, version, run)
    comparisons = comparisons_of(record)
    common = _common(record.documents)
    return Evaluation(
        record=record,
        said=_said(record, comparisons),
        comparisons=comparisons,
        beside=_beside(record),
        others=_others(record),
        documents=[measured_document(i, d.row, d.body, {}, common) for i, d in enumerate(record.documents)],
        gaps=groups.gaps(record.sheet("fairness")),
        groups=groups.rates(record.sheet("fairness")),
        reliability=curves.reliability(record.sheet("calibration")),
        severities=curves.severities(record.sheet("robustness")),
        latencies=curves.latencies(record.sheet("timing"), record.first_setting),
        targets=on_target(caller, version),
        environment=common,
        missing=missing_of(record),
    )


def said_first(caller: Caller, version: ModelVersion, run: Run) -> Said:
    """The first lines of an evaluation, for a page that only leads to it."""
    record = record_of(caller, version, run)
    return _said(record, comparisons_of(record))


def _said(record: Record, comparisons: Sequence[Against]) -> Said:
    return said_of(comparisons, *(record.sheet(kind) for kind in ("fidelity", "size", "timing", "cost")))


def _common(documents: Sequence[Document]) -> list[tuple[str, str]]:
    """What every document says about where it was measured, in the order of the first."""
    said = [{(part["name"], part["value"]) for part in d.body["environment"]} for d in documents]
    if not said:
        return []
    kept = set.intersection(*said)
    parts = [(part["name"], part["value"]) for part in documents[0].body["environment"]]
    return [part for part in dict.fromkeys(parts) if part in kept]


def _others(record: Record) -> list[Other]:
    """The other models by digest, the parent first."""
    parts: dict[str, list[str]] = {}
    for role in OTHERS:
        if digest := record.subject(role):
            parts.setdefault(digest, []).append(role)
    return [Other(_words([WHO[r] for r in roles]), record.others.get(roles[0]), d) for d, roles in parts.items()]


def _words(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _beside(record: Record) -> curves.Table:
    """The overall figures of all comparisons, one column for each other model."""
    sheets: dict[str, Sheet] = {}
    for role in OTHERS:
        sheet, digest = _against_sheet(record, role), record.subject(role) or role
        if sheet and digest not in sheets:
            sheets[digest] = sheet
    heads = WHO | {other.digest: other.who for other in _others(record)}
    overall = (f["metric"] for sheet in sheets.values() for f in sheet.figures if not f["slice"])
    metrics = [m for m in dict.fromkeys(overall) if not m.startswith("parent_")]
    lines = [curves.Line(name_of(m, "the other"), [_with_n(sheet, m) for sheet in sheets.values()]) for m in metrics]
    return curves.Table.of([heads[d] for d in sheets], [line for line in lines if any(c.shown for c in line.cells)])


def _against_sheet(record: Record, role: str) -> Sheet:
    kind = FIDELITY if role == "parent" else f"{FIDELITY}-{role}"
    return Sheet([*record.sheet(f"{COMPARISON}-{role}").figures, *record.sheet(kind).figures])


def _with_n(sheet: Sheet, metric: str) -> curves.Cell:
    figure = sheet.get(metric)
    if figure is None:
        return curves.Cell("")
    row = row_of(figure)
    parts = [row.interval, f"n {row.n:,}" if row.n is not None else ""]
    return curves.Cell(row.shown, "; ".join(p for p in parts if p), row.exact)
