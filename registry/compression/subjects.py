"""What a run's evidence is about: the digests of versions, data and documents that each document of it names.

Rules:
- every document names version, data and, where one stood beside, the parent; a compression also its recipe;
- what was measured by an evaluation names the answers of its models (`outputs`), from which its figures can be computed again;
- a kind that ends in `-incumbent` or `-first` compares with that version and names it in the role incumbent: the first approved
  version of a line is its first incumbent. So does what holds figures of its own about one; the environment says which is which
  (`incumbent_version`, `first_version`);
- a kind that ends in `-teacher` or `-student` is about a model that was learned from or begun with, and one that ends in `-version`
  about the version alone: none names the parent; which model it is says the environment (`teacher_version`, `student_version`);
- rows that the version was made with are said in the environment (`seen_rows`): by the engine where it found them among the rows,
  here where the whole data stand in the lineage;
- rows that could not be used are said (`left_out_rows`), and of how many the others are: what is left may be easier;
- where the data have several files, the digest of the one whose rows were read is said (`evaluation_file`);
- where the engine says that rows repeat (`distinct_rows`), of how many is said beside it (`evaluated_rows`): a gate can then tell
  how many of a part surely differ.
"""

from __future__ import annotations

from typing import Any

from registry.catalog import distributions
from registry.catalog.evidence import ALL_ROWS, DISTINCT_ROWS, JUDGED_FILE, LEFT_OUT, SEEN_ROWS, EvidenceSpec, left_out
from registry.catalog.models import ModelVersion
from registry.compression.material import judging_file, judging_rows_seen
from registry.compression.models import Run, RunKind
from registry.compression.results import EngineResult, named_evidence
from registry.provenance.models import Source

INCUMBENT_KINDS = {"-incumbent": "incumbent", "-first": "first"}
"""How a kind ends that compares with another version than the parent, and the column of the run that names it."""

LEARNED_KINDS = {"-teacher": "teacher", "-student": "student"}
"""How a kind ends that is about a model that the version came from and is not compared with, and the column that names it."""
ALONE = "-version"


def replay_spec(run: Run, document: dict[str, Any]) -> EvidenceSpec:
    """The document of a replay with its subjects: the version that was made again, from what and by what."""
    assert run.rederives is not None
    assert run.recipe is not None
    subjects = [("version", run.rederives.digest), ("parent", run.parent.digest), ("recipe", run.recipe.digest)]
    subjects += [("dataset", data.bound_digest) for data in (run.calibration, run.training) if data is not None]
    named = named_evidence(document, subjects)
    return EvidenceSpec(document["kind"], Source.MEASURED, named, run.parent, run.calibration)


def evidence_spec(run: Run, version: ModelVersion, result: EngineResult, document: dict[str, Any]) -> EvidenceSpec:
    """A document of a run with its subjects, and the rows that it speaks about. `result`: the run's last, which measured."""
    if run.kind == RunKind.REPLAY:
        return replay_spec(run, document)
    kind = document["kind"]
    counted = kind == distributions.KIND
    data = run.distribution_data if counted else run.judging_data
    subjects = [("version", version.digest), ("dataset", data.bound_digest)]
    against = beside_in(run, kind)
    learned = _learned(run, kind)
    parent = run.original if against is None and not learned and not kind.endswith(ALONE) else None
    subjects += [] if parent is None else [("parent", parent.digest)]
    named = _beside_figures(run, document) if against is None else {str(_column(kind)): against}
    subjects += [("incumbent", beside.digest) for beside in named.values()]
    if run.recipe is not None:
        subjects.append(("recipe", run.recipe.digest))
    if kind.startswith("out-of-distribution") and run.out_of_distribution is not None:
        subjects.append(("dataset", run.out_of_distribution.bound_digest))
    if result.outputs_digest is not None and kind in {evaluated["kind"] for evaluated in result.evidence}:
        subjects.append(("outputs", result.outputs_digest))
    said = _with_facts(document, {f"{column}_version": one.digest for column, one in (named | learned).items()})
    said = said if counted else _with_seen_rows(run, result, _with_all_rows(result, said))
    said = _with_file(run, said) if data == run.evaluation else said
    return EvidenceSpec(kind, Source.MEASURED, named_evidence(said, subjects), parent, data)


def beside_in(run: Run, kind: str) -> ModelVersion | None:
    """The version other than the parent that evidence of this kind compares with."""
    column = _column(kind)
    return None if column is None else getattr(run, column)


def _learned(run: Run, kind: str) -> dict[str, ModelVersion]:
    columns = [column for ending, column in LEARNED_KINDS.items() if kind.endswith(ending)]
    return {column: version for column in columns if (version := getattr(run, column)) is not None}


def _column(kind: str) -> str | None:
    return next((column for ending, column in INCUMBENT_KINDS.items() if kind.endswith(ending)), None)


def _beside_figures(run: Run, document: dict[str, Any]) -> dict[str, ModelVersion]:
    """The versions whose own figures stand in the document: `incumbent_accuracy`, `first_latency_p50_ms`."""
    found = {"incumbent": run.incumbent, "first": run.first}
    metrics = [figure["metric"] for figure in document["figures"]]
    return {
        column: version
        for column, version in found.items()
        if version is not None and any(metric.startswith(f"{column}_") for metric in metrics)
    }


def _with_facts(document: dict[str, Any], facts: dict[str, str]) -> dict[str, Any]:
    """The document with facts that it does not name yet."""
    known = {row["name"] for row in document["environment"]}
    added = [{"name": name, "value": value} for name, value in sorted(facts.items()) if name not in known]
    return {**document, "environment": [*document["environment"], *added]}


def _with_seen_rows(run: Run, result: EngineResult, document: dict[str, Any]) -> dict[str, Any]:
    if not run.allow_seen or not judging_rows_seen(run):
        return document
    return _with_facts(document, {SEEN_ROWS: _evaluated(result)})


def _with_file(run: Run, document: dict[str, Any]) -> dict[str, Any]:
    if run.evaluation_file is None:
        return document
    return _with_facts(document, {JUDGED_FILE: judging_file(run).digest})


def _with_all_rows(result: EngineResult, document: dict[str, Any]) -> dict[str, Any]:
    repeats = any(fact["name"] == DISTINCT_ROWS for fact in document["environment"])
    left = left_out(_rows(result)["broken"])
    facts = {LEFT_OUT: str(left)} if left else {}
    return _with_facts(document, facts | {ALL_ROWS: _evaluated(result)}) if repeats or left else document


def _evaluated(result: EngineResult) -> str:
    return str(_rows(result)["rows"])


def _rows(result: EngineResult) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in result.document["data"] if row["role"] == "evaluation")
    return found
