"""The evidence of one run, ready to be asked: documents by kind, figures by metric and slice.

Rules:
- only what the run itself brought stands here; older or newer evidence of the version is another evaluation's;
- who the other models are is told by the documents' subjects, and named only for readers who may see them;
- data that training or calibration saw is marked by the documents' environment, and never overlooked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry import storage
from registry.catalog.evidence import ALL_ROWS, DISTINCT_ROWS, SCORES_DOUBTED, left_out
from registry.catalog.models import Evidence, ModelVersion
from registry.catalog.queries import EvidenceReader
from registry.compression.models import Run, RunState
from registry.compression.queries import Names, data_by_role, evidence_of_run, judged_version, result_of
from registry.desk import queries
from registry.desk.figures import Figure, Where, count_text, where_of
from registry.desk.metrics import kind_order
from registry.digests import CanonicalError, parse_canonical
from registry.errors import NotFound
from registry.events import Caller

PARENT, INCUMBENT, FIRST = "parent", "incumbent", "first"
OTHERS = (PARENT, INCUMBENT, FIRST)
WHO = {PARENT: "its parent", INCUMBENT: "the incumbent", FIRST: "the first approved version"}
_SEEN = ("seen_rows", "seen_data")
_NONE_SEEN = ("", "0", "false", "no", "none")
_COPIES = (
    "Each other row stands in the data again, and every n, interval and p below counts it once more: they look surer than they "
    "are. A gate that asks for a number of rows counts only those that differ."
)
_MISNAMED = (
    "Every row is then taken for the second class, and what leans on the scores says nothing: accuracy, calibration, groups. Gates "
    "do not accept these figures. Say in the plan what the scores are, and evaluate again."
)


@dataclass(frozen=True)
class Document:
    """One evidence document of the run."""

    row: Evidence
    body: Mapping[str, Any]

    @property
    def figures(self) -> Sequence[Figure]:
        figures: Sequence[Figure] = self.body["figures"]
        return figures

    def environment(self, name: str) -> str:
        """What the environment says under a name; empty where it says nothing."""
        return next((str(part["value"]) for part in self.body["environment"] if part["name"] == name), "")


@dataclass(frozen=True)
class Sheet:
    """The figures of one kind, in the order of the document."""

    figures: Sequence[Figure] = ()

    def get(self, metric: str, where: Where = ()) -> Figure | None:
        """One figure; None where there is none, or none with a value."""
        found = (f for f in self.figures if f["metric"] == metric and where_of(f) == where)
        return next((f for f in found if f["value"] is not None), None)

    def sliced(self, metric: str, *names: str) -> list[Figure]:
        """The figures of a metric in slices, with a value; `names` are the columns that the slice must be of."""
        rows = (f for f in self.figures if f["metric"] == metric and f["slice"] and f["value"] is not None)
        return [f for f in rows if not names or tuple(name for name, _ in where_of(f)) == names]

    def __bool__(self) -> bool:
        return bool(self.figures)


@dataclass(frozen=True)
class DataRows:
    """How many rows of some data counted, and why others did not, as the engine says it."""

    role: str
    digest: str
    rows: int
    broken: Sequence[str]
    """The first rows that could not be used, by name, then how many more there are."""
    left_out: int = 0
    unlisted: Sequence[Mapping[str, Any]] = ()
    """Labels that are none of the plan's classes, with the number of their rows; no word where the reader may not read the data."""

    @property
    def given(self) -> int:
        """All rows of the file."""
        return self.rows + self.left_out


@dataclass(frozen=True)
class Doubt:
    """What makes every figure of a run worth less, and what follows."""

    what: str
    why: str
    is_grave: bool = True


@dataclass(frozen=True)
class Record:
    """A succeeded run with everything that it measured about one version."""

    run: Run
    version: ModelVersion
    documents: Sequence[Document]
    others: Mapping[str, ModelVersion] = field(default_factory=dict)
    """The other models, by role, that the reader may know by name."""
    plan: Mapping[str, Any] | None = None
    data: Sequence[DataRows] = ()
    reduced: bool = False
    """Whether groups stand by number, because the reader may not read the data."""

    @property
    def broken(self) -> int:
        """How many rows could not be used."""
        return sum(rows.left_out for rows in self.data)

    @property
    def unlisted(self) -> list[str]:
        """Labels that the plan's classes do not hold, each with its rows, in words."""
        return [_unlisted_text(entry) for rows in self.data for entry in rows.unlisted]

    @property
    def is_thinned(self) -> bool:
        """Whether of some data more than one in a hundred could not be used: what is left may be easier, and gates refuse it."""
        return any(100 * rows.left_out > rows.given for rows in self.data)

    def sheet(self, kind: str) -> Sheet:
        """All figures of a kind; an empty sheet where it was not measured."""
        return Sheet([figure for d in self.documents if d.row.kind == kind for figure in d.figures])

    @property
    def kinds(self) -> set[str]:
        return {document.row.kind for document in self.documents}

    @property
    def seen(self) -> str:
        """How many rows training or calibration saw, as the documents say it; empty where none is said to be."""
        said = (document.environment(name) for document in self.documents for name in _SEEN)
        return next((value for value in said if value.lower() not in _NONE_SEEN), "")

    @property
    def doubts(self) -> list[Doubt]:
        """Rows that repeat, and scores that the plan most likely misnames, as the documents say it."""
        distinct, total, scores = (self._fact(name) for name in (DISTINCT_ROWS, ALL_ROWS, SCORES_DOUBTED))
        found = []
        if distinct:
            few = bool(total) and 2 * int(distinct) < int(total)
            of = f" of {int(total):,}" if total else ""
            found.append(Doubt(f"{'Only ' if few else ''}{int(distinct):,}{of} rows differ.", _COPIES, few))
        return [*found, Doubt(f"The scores are most likely misnamed: {scores}.", _MISNAMED)] if scores else found

    @property
    def plan_digest(self) -> str:
        return self._fact("plan")

    def _fact(self, name: str) -> str:
        """What the first document says that says anything under the name."""
        return next((said for d in self.documents if (said := d.environment(name))), "")

    @property
    def first_setting(self) -> Where:
        """Batch and threads of the timings that name none: the first of the plan."""
        plan = self.plan or {}
        batch, threads = ((plan.get(name) or [1])[0] for name in ("batch_sizes", "thread_counts"))
        return (("batch", str(batch)), ("threads", str(threads)))

    def subject(self, role: str) -> str:
        """The digest of another model, whoever may know its name."""
        kind = f"-{role}" if role != PARENT else ""
        for document in self.documents:
            if kind and not document.row.kind.endswith(kind):
                continue
            for subject in document.body["subjects"]:
                if subject["role"] == (PARENT if role == PARENT else INCUMBENT):
                    return str(subject["digest"])
        return ""


def _unlisted_text(entry: Mapping[str, Any]) -> str:
    label = "a label that you may not read" if entry["label"] is None else f"label '{entry['label']}'"
    return f"{label}: {count_text(entry['rows'])} row{'' if entry['rows'] == 1 else 's'}, is none of the plan’s classes"


def record_of(caller: Caller, version: ModelVersion, run: Run) -> Record:
    """What a run that the caller may see measured about the version; NotFound when it measured none of it."""
    if run.state != RunState.SUCCEEDED or judged_version(run) != version:
        raise NotFound(f"This run is no evaluation of {version}, or it has not ended.")
    reader = EvidenceReader(caller)
    rows = evidence_of_run(run)
    documents = [Document(row, reader.document(row)) for row in rows]
    documents.sort(key=lambda document: kind_order(document.row.kind))
    found = Record(run, version, documents)
    others, plan, data = _others(caller, found), _plan(found.plan_digest), _data(caller, run)
    return Record(run, version, documents, others, plan, data, not all(map(reader.reads, rows)))


def evaluation_runs(caller: Caller, version: ModelVersion) -> list[Run]:
    """The runs that measured a version, newest first."""
    rows = queries.runs(caller).filter(model=version.model_id, state=RunState.SUCCEEDED)
    return [run for run in rows if judged_version(run) == version]


def _others(caller: Caller, record: Record) -> dict[str, ModelVersion]:
    digests = {role: record.subject(role) for role in OTHERS}
    rows = queries.versions(caller).filter(digest__in=[digest for digest in digests.values() if digest])
    by_digest: dict[str, ModelVersion] = {}
    for row in rows:  # the same bytes may stand in several models: the version's own model comes first
        if row.digest not in by_digest or row.model_id == record.version.model_id:
            by_digest[row.digest] = row
    return {role: by_digest[digest] for role, digest in digests.items() if digest in by_digest}


def _data(caller: Caller, run: Run) -> list[DataRows]:
    """The rows by role, from what the engine handed back; nothing where that is not kept."""
    names, data = Names(caller), data_by_role(run)
    result = result_of(run)
    if result is None:
        return []
    return [
        DataRows(
            row["role"],
            row["digest"],
            row["rows"],
            names.broken_rows(data.get(row["role"]), row["broken"]),
            left_out(row["broken"]),
            names.unlisted_labels(data.get(row["role"]), row.get("unlisted_labels", ())),
        )
        for row in result.document["data"]
    ]


def _plan(digest: str) -> Mapping[str, Any] | None:
    """The plan's document, where its bytes are here."""
    if not digest.startswith("sha256:") or not storage.is_stored(digest):
        return None
    try:
        document = parse_canonical(storage.read_bytes(digest))
    except CanonicalError:
        return None
    return document if isinstance(document, dict) else None
