"""Asks every question that fits about a model, beside its parent, the incumbent and the first approved version.

Rules:
- the models answer all rows first; questions of statistics are put to those answers, not to the models again;
- without a plan the questions are those that need no label; a plan asks all that fit, or those that it names;
- rows that training or calibration saw are refused, unless they are allowed, and then every figure says so;
- where rows repeat one another, every figure's environment says how many differ;
- every figure's environment names preprocessing and plan; figures that no model is needed for can be computed again from the
  stored answers alone, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from compression_engine import seen
from compression_engine.answers.answering import answer, identity_of, usable
from compression_engine.answers.outputs import FIRST, INCUMBENT, PARENT, VERSION, Outputs
from compression_engine.answers.outputs_file import write_outputs
from compression_engine.canonical import JSON, canonical, digest_of
from compression_engine.carrying.door import carried_all
from compression_engine.data import Encoder, Rows, read_rows
from compression_engine.environment import environment
from compression_engine.errors import EngineError
from compression_engine.limits import scratch
from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.finite import check_finite
from compression_engine.measure.rounds import ROUNDS
from compression_engine.opening import ModelFile, Opened, model_files, open_models, other_records, other_rows
from compression_engine.plan import Plan
from compression_engine.price_sheet import PriceSheet
from compression_engine.progress import Progress, silent
from compression_engine.result import Evidence, Result
from compression_engine.runtime import CPU
from compression_engine.stage_store import StageStore

Facts = list[dict[str, JSON]]
MEMORY_REPEATS = 3
OUT_OF_DISTRIBUTION = "out-of-distribution"


@dataclass(frozen=True)
class Question:
    """One measure: the module whose `measure(context)` answers it, and whether all of its figures need the models."""

    about: str
    module: str
    needs_models: bool
    asked_without_plan: bool = False

    def ask(self, context: Context) -> list[Found]:
        """What the measure finds; nothing where it does not apply."""
        measure: Callable[[Context], list[Found]] = import_module(self.module).measure
        return measure(context)


_CARRIED = {PARENT: "carried", VERSION: "carried-version", INCUMBENT: "carried-incumbent", FIRST: "carried-first"}
"""Of which kind evidence is that the ONNX form of a torch model answers as it does, by the model's role."""
_HOME = "compression_engine.measure"
MEASURES: Mapping[str, Question] = {
    "size": Question("how large the weights are", f"{_HOME}.size", True, True),
    "fidelity": Question("how close the answers are to another model's", f"{_HOME}.fidelity", False, True),
    "quality": Question("how good the answers are by the labels", f"{_HOME}.quality", False),
    "comparison": Question("what was lost and won, and for whom", f"{_HOME}.comparison", False),
    "fairness": Question("how groups of people fare against each other", f"{_HOME}.fairness", False),
    "calibration": Question("whether confidence can be trusted", f"{_HOME}.calibration", False),
    "robustness": Question("what is left on damaged inputs", f"{_HOME}.robustness", True),
    "adversarial": Question("which answers stand when rows are moved against the model", f"{_HOME}.adversarial", True),
    "out-of-distribution": Question("whether foreign rows are told apart", f"{_HOME}.out_of_distribution", True),
    "timing": Question("how long an answer takes", f"{_HOME}.timing", True, True),
    "memory": Question("how much memory serving needs", f"{_HOME}.memory", True, True),
    "energy": Question("how much energy an answer takes", f"{_HOME}.energy", True),
    "cost": Question("what serving costs and what the version saves", f"{_HOME}.cost", True),
}
"""The questions in the order in which they are asked: later ones may rest on what earlier ones found."""


@dataclass(frozen=True)
class Settings:
    """How to measure: threads of the runtime, rounds of latency, repeats of memory, seed of intervals, execution provider."""

    seed: int = 0
    threads: int = 1
    rounds: int = ROUNDS
    memory_repeats: int = MEMORY_REPEATS
    provider: str = CPU


@dataclass(frozen=True)
class Beside:
    """What else an evaluation is given."""

    out_of_distribution: Path | None = None
    outputs: Path | None = None
    """Where the answers are to be kept."""
    work: Path | None = None
    """Where an evaluation that was killed goes on."""
    price_sheet: PriceSheet | None = None
    seen: Sequence[Path] = ()
    allow_seen: bool = False
    run_cpu_seconds: float | None = None


@dataclass(frozen=True)
class Judged:
    """What was found, the rows that it was found on, and the file of answers."""

    evidence: list[Evidence]
    rows: Rows
    out_of_distribution: Rows | None = None
    outputs_file: dict[str, JSON] | None = None

    def data(self, calibration: Rows | None = None) -> list[dict[str, JSON]]:
        """How a result names the files of rows."""
        found = [] if calibration is None else [calibration.record("calibration")]
        found.append(self.rows.record("evaluation"))
        other = self.out_of_distribution
        return found if other is None else [*found, other.record(OUT_OF_DISTRIBUTION)]


def evaluate(
    child: Path,
    *,
    data: Path,
    parent: Path | None = None,
    incumbent: Path | None = None,
    first: Path | None = None,
    plan: Plan | None = None,
    beside: Beside | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Result:
    """Measures a model on rows, against each other model that is given; compresses nothing.

    Models are ONNX files, folders with model.onnx, or models of torch (`carrying`); `data` is a file of rows, see `data.reading`.
    Raises EngineError with a stable code; answers that were kept in `beside.work` stay there then.
    """
    settings = settings or Settings()
    progress("read", 0, 1, "reading the rows")
    rows = read_rows(data, plan)
    with carried_all({VERSION: child, PARENT: parent, INCUMBENT: incumbent, FIRST: first}) as doors:
        files = doors.named(model_files(doors.paths))
        progress("read", 1, 1, f"{len(rows)} rows")
        judged = judge(files, rows, plan, beside or Beside(), settings, progress)
        around = environment(settings.threads, provider=settings.provider)
        carried_as = doors.agreement(_CARRIED, rows, plan, around)
    return Result(
        command="evaluate",
        seed=settings.seed,
        environment=around,
        outputs=[files[VERSION].record() | {"role": "weights"}],
        parent=files[PARENT].record() if PARENT in files else None,
        others=other_records(files),
        data=judged.data(),
        evidence=[*judged.evidence, *carried_as],
        plan=plan,
        outputs_file=judged.outputs_file,
    )


def judge(
    files: Mapping[str, ModelFile],
    rows: Rows,
    plan: Plan | None,
    beside: Beside,
    settings: Settings,
    progress: Progress,
    *,
    leaving_out: Sequence[str] = (),
) -> Judged:
    """Opens the models, has them answer, and asks every question but some by name; raises EngineError."""
    if plan is not None:
        plan.check()
    names = [name for name in questions(plan, beside) if name not in leaving_out]
    progress("check", 0, 1, "opening the models")
    opened = open_models(files, rows, plan, settings.threads, settings.provider)
    asked = plan or Plan()
    found, facts = refuse_seen(opened, plan, beside, progress)
    encoder = usable(opened.models, opened.encoder, asked)
    progress("check", 1, 1, "every model loads and runs")
    strange = None if beside.out_of_distribution is None else other_rows(opened, beside.out_of_distribution, plan)
    with _work(beside.work) as folder:
        identity = identity_of(opened.models, encoder, asked, {role: file.content for role, file in files.items()})
        around = digest_of(canonical(environment(settings.threads)))
        outputs = answer(
            opened.models, encoder, asked, folder=folder, progress=progress, identity=identity, surroundings=around
        )
        check_finite(outputs, asked)
        doubt = scores.doubted(outputs, asked)
        facts |= {} if doubt is None else {"scores_doubted": doubt}
        facts |= _repeated(encoder, outputs, asked, progress)
        context = Context(
            outputs=outputs,
            plan=asked,
            seed=settings.seed,
            progress=progress,
            models=opened.models,
            paths={role: file.path for role, file in files.items()},
            encoder=encoder,
            out_of_distribution=strange,
            threads=settings.threads,
            rounds=settings.rounds,
            memory_repeats=settings.memory_repeats,
            price_sheet=beside.price_sheet,
            stages=_stages(beside.work, [identity, around, str(settings.seed)]),
            run_cpu_seconds=beside.run_cpu_seconds,
        )
        found += ask(names, context)
        named = _environment(encoder, plan, settings, facts)
        judged = Judged(evidence_of(found, named), encoder.rows, None if strange is None else strange.rows)
        if beside.outputs is None:
            return judged
        progress("write", 0, 1, "keeping the answers")
        header = _Header(files, names, plan, settings.seed, named, judged.data()).document()
        return replace(judged, outputs_file=write_outputs(beside.outputs, outputs, asked, header))


def questions(plan: Plan | None, beside: Beside | None = None) -> list[str]:
    """The names of the questions that are asked; EngineError (plan_invalid) where one is not there."""
    if plan is None:
        priced = ("energy", "cost") if beside is not None and beside.price_sheet is not None else ()
        return [name for name, question in MEASURES.items() if question.asked_without_plan or name in priced]
    strangers = [name for name in plan.measures if name not in MEASURES]
    if strangers:
        hint = f"Use some of: {', '.join(MEASURES)}."
        raise EngineError("plan_invalid", f"This version of the engine has no measure {strangers[0]!r}.", hint)
    return [name for name in MEASURES if not plan.measures or name in plan.measures]


def ask(names: Sequence[str], context: Context) -> list[Found]:
    """Puts the questions in their order; each is given what those before it found."""
    found: list[Found] = []
    for name in names:
        context.progress(name, 0, 1, MEASURES[name].about)
        found += MEASURES[name].ask(replace(context, found=tuple(found)))
    return found


def evidence_of(found: Sequence[Found], named: Mapping[str, str]) -> list[Evidence]:
    """An evidence document for each finding that has figures, in the named environment and with its own facts."""
    documents = []
    for entry in found:
        values = dict(named) | dict(entry.facts)
        facts: Facts = [{"name": name, "value": values[name]} for name in sorted(values)]
        if entry.measurements:
            made = (entry.kind, entry.method, entry.seed, facts, entry.measurements, entry.method_version)
            documents.append(Evidence(*made))
    return documents


@dataclass(frozen=True)
class _Header:
    """What stands in the file of answers beside them."""

    files: Mapping[str, ModelFile]
    names: Sequence[str]
    plan: Plan | None
    seed: int
    named: Mapping[str, str]
    data: list[dict[str, JSON]] = field(default_factory=list)

    def document(self) -> dict[str, JSON]:
        return {
            "data": self.data,
            "environment": [{"name": name, "value": self.named[name]} for name in sorted(self.named)],
            "measures": list(self.names),
            "models": [file.record() | {"role": role} for role, file in self.files.items()],
            "plan_given": self.plan is not None,
            "seed": self.seed,
        }


def _environment(encoder: Encoder, plan: Plan | None, settings: Settings, facts: Mapping[str, str]) -> dict[str, str]:
    """Machine, libraries, preprocessing, plan, and what else every figure rests on."""
    preprocessing = encoder.preprocessing or "arrays as they are"
    named = {
        str(entry["name"]): str(entry["value"])
        for entry in environment(settings.threads, preprocessing, settings.provider)
    }
    return named | ({} if plan is None else {"plan": plan.digest()}) | dict(facts)


def refuse_seen(
    opened: Opened, plan: Plan | None, beside: Beside, progress: Progress
) -> tuple[list[Found], dict[str, str]]:
    """Refuses rows that were seen (evaluation_seen), or says how many there are."""
    if not beside.seen:
        return [], {}
    # which sequence a row was in does not matter here, and data of training need not say it
    bare = None if plan is None else replace(plan, sequence=None)
    others = [other_rows(opened, path, bare) for path in beside.seen]
    found = seen.seen_rows(opened.encoder, others, progress)
    if found.same.any() and not beside.allow_seen:
        raise seen.refusal(opened.encoder, found, beside.seen)
    facts = {"seen_rows": str(int(found.same.sum()))} if found.same.any() else {}
    return [seen.measured(found)], facts


def _repeated(encoder: Encoder, outputs: Outputs, plan: Plan, progress: Progress) -> dict[str, str]:
    """How many rows differ, where not all do: every n counts the others again."""
    count = seen.distinct_rows(encoder, outputs.sequences if plan.states else None, progress)
    return {"distinct_rows": str(count)} if count < len(encoder.rows) else {}


def _stages(work: Path | None, rests_on: list[str]) -> StageStore:
    """Where stages are kept; nowhere without a folder to go on in."""
    return StageStore() if work is None else StageStore(work / "stages", digest_of(canonical(rests_on)))


@contextmanager
def _work(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with scratch("pressmark-answers-") as made:
        yield made
