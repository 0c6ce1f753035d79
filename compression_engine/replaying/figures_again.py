"""What of a result rests on evaluation rows, made again where these are handed in: figures of the child and its steps, the budget.

Rules:
- the rows are those on record, by their digest; plan, seed, threads and provider are taken from the result;
- figures of one run of the same libraries on the same kind of processor are the same to the digit, with their intervals and their
  sentences; elsewhere nothing is said of them but that it cannot be told here;
- what a clock, a meter or a price decides is never compared (`MEASURED`), nor what files decide that a replay is not handed: other
  models, rows of another kind, rows that were seen elsewhere;
- a budget is held to once more over the steps that were asked for: it has to end the work where it did, by the same figures; where
  those that were not done took a model that is not on record, that is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from compression_engine.answers.outputs import PARENT, VERSION
from compression_engine.canonical import JSON, CanonicalError, canonical
from compression_engine.carrying.entered import agreement
from compression_engine.data import Rows, read_rows
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import EngineError, RecipeError
from compression_engine.evaluation import Beside, Settings, judge
from compression_engine.opening import model_files
from compression_engine.plan import Plan
from compression_engine.progress import Progress
from compression_engine.recipe import Recipe
from compression_engine.replaying.replay_material import check_rows
from compression_engine.replaying.said_again import DIFFERS, NOT_COMPARED, SAME, UNTOLD, Part, budget_of, held, said_on
from compression_engine.result import Evidence
from compression_engine.runtime import CPU
from compression_engine.sparsity import with_sparsity
from compression_engine.steps.budget_kept import StepBudget
from compression_engine.steps.making import Made
from compression_engine.steps.step_evidence import StepJudge, judging
from compression_engine.training.left_out import FACT as LEFT_OUT

MEASURED = ("cost", "energy", "memory", "timing")
"""Questions whose answers depend on when and on what they are asked, by the kinds of their evidence."""
_NOT_HANDED_IN = ("out-of-distribution", "seen")
_PACKED = ("packed_size_bytes", "packed_ratio")
_DECIDES = (
    "blas_kernel", "cpu_flags", "execution_provider", "machine", "numpy", "onnxruntime", "rapidfuzz", "scikit-learn", "scipy",
    "tokenizers",
)  # fmt: skip
_THREADS = re.compile("[1-9][0-9]{0,2}")


@dataclass(frozen=True)
class Evaluated:
    """Evaluation rows that were handed in, and what a result says that it was asked for on them."""

    rows: Rows
    plan: Plan | None
    asked: Recipe
    """The steps that are made again: those that were done, or, where a budget is held to, those that were asked for."""
    budget: StepBudget
    settings: Settings
    looked_at: Sequence[Path]
    """The files that steps look at."""

    @classmethod
    def of(
        cls, document: Mapping[str, JSON], path: Path, plan: Plan | None, asked: Recipe, looked_at: Sequence[Path]
    ) -> Evaluated:
        """Raises DataError, EngineError (replay_data_differs, result_invalid)."""
        rows = read_rows(path, plan)
        recorded = [one["digest"] for one in document["data"] if one["role"] == "evaluation"]
        check_rows("evaluation", rows.digest, recorded)
        budget = _budget(document) if tries_budget(document, asked) else StepBudget()
        return cls(rows, plan, asked, budget, _settings(document), looked_at)

    @contextmanager
    def judging(self, parent: Path, progress: Progress) -> Iterator[StepJudge | None]:
        """Who judges the steps once more; None where none was judged."""
        beside = Beside(seen=self.looked_at, allow_seen=True)
        given = (parent, self.rows, self.plan, self.asked, self.budget, beside, self.settings.seed, progress)
        with judging(*given) as found:
            yield found

    def parts(
        self,
        document: Mapping[str, JSON],
        judge_of_steps: StepJudge | None,
        made: Made,
        child: Path,
        parent: Path,
        progress: Progress,
    ) -> list[Part]:
        """The parts `budget` and `evidence`."""
        by_step = [] if judge_of_steps is None else judge_of_steps.evidence()
        ours, records = list(by_step), list[dict[str, JSON]]()
        if not document.get("others"):
            files = model_files({VERSION: child, PARENT: parent})
            beside = Beside(seen=self.looked_at, allow_seen=True)
            found = judge(files, self.rows, self.plan, beside, self.settings, progress, leaving_out=MEASURED)
            around = environment(self.settings.threads, provider=self.settings.provider)
            ours = [*with_sparsity(found.evidence, made.steps, child, parent), *by_step]
            ours += agreement(self.rows, self.plan, around)
            records = found.data()
        recorded = [one for one in document["data"] if one["role"] == "evaluation"]
        return [
            self._budget_part(document, judge_of_steps),
            *([held("evaluation rows", recorded, list(records), "data")] if records else []),
            *_evidence(document, ours),
        ]

    def _budget_part(self, document: Mapping[str, JSON], judge_of_steps: StepJudge | None) -> Part:
        told = budget_of(document)
        if told.outcome == DIFFERS or document.get("budget") is None:
            return told
        if judge_of_steps is None or not self.budget.is_given:
            why = "steps that were not done took a teacher or a student, which is not on record"
            return Part("budget", NOT_COMPARED, why)
        found = held("budget", document["budget"], self.budget.document(self.asked, judge_of_steps.ended))
        return _elsewhere(document, found)


def asked_of(document: Mapping[str, JSON], done: Recipe) -> Recipe:
    """The steps that are made again to see where a budget ended the work; else those that were done."""
    if budget_of(document).outcome == DIFFERS or document.get("budget") is None:
        return done
    asked = Recipe.parse(canonical(document["budget"]["asked"]))
    undone = asked.steps[len(done.steps) :]
    return done if any(step.takes_teacher or step.takes_student for step in undone) else asked


def tries_budget(document: Mapping[str, JSON], asked: Recipe) -> bool:
    """Whether the steps to be made again are those that the budget was held to."""
    budget = document.get("budget")
    try:
        return isinstance(budget, dict) and Recipe.parse(canonical(budget.get("asked"))) == asked
    except (RecipeError, CanonicalError):
        return False


def check_ended(made: Recipe, recorded: Recipe) -> None:
    """Raises EngineError (replay_said_differs) where the budget lets through another number of steps than are on record."""
    done, said = len(made.steps), len(recorded.steps)
    if done != said:
        message = f"Made again under its budget the work ends after step {done}; on record is step {said}."
        hint = "Its budget was changed, or it was made elsewhere: replay without the evaluation rows to see its bytes."
        raise EngineError("replay_said_differs", message, hint)


def _evidence(document: Mapping[str, JSON], ours: Sequence[Evidence]) -> list[Part]:
    """One part for what can be compared, one for each reason why something cannot."""
    mine = {_key(one.document()): one for one in ours}
    theirs = _recorded(document)
    left = {key for key in theirs if key[0] in (*MEASURED, *_NOT_HANDED_IN)}
    if document.get("others"):
        left |= {key for key in theirs if key[0] != "step"}
    compared = sorted({*mine, *theirs} - left - {key for key in mine if key[0] in _NOT_HANDED_IN})
    found = [
        held(
            "evidence", _told(theirs[key]) if key in theirs else None, _told(mine[key].entry()) if key in mine else None,
            " ".join(["evidence", *filter(None, key)]),
        )
        for key in compared
    ]  # fmt: skip
    wrong = [part.why for part in found if part.outcome == DIFFERS]
    whole = Part("evidence", DIFFERS, "; ".join(wrong)) if wrong else Part("evidence", SAME)
    parts = [_elsewhere(document, whole)]
    kinds = sorted({key[0] for key in left})
    if kinds:
        why = "a clock, a meter, or files that are not handed in decide it"
        parts.append(Part(f"evidence of {', '.join(kinds)}", NOT_COMPARED, why))
    return parts


def _recorded(document: Mapping[str, JSON]) -> dict[tuple[str, str, str], Mapping[str, JSON]]:
    """The evidence on record; EngineError (result_invalid) where it has not the form of evidence, or stands there twice."""
    hint = "Give the RESULT.json that compress wrote, unchanged."
    try:
        found = {_key(entry["document"]): entry for entry in document["evidence"]}
        for entry in found.values():
            _told(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineError("result_invalid", "The result's evidence is none.", hint) from error
    if len(found) != len(document["evidence"]):
        raise EngineError("result_invalid", "The same evidence stands in the result twice.", hint)
    return found


def _key(document: Mapping[str, JSON]) -> tuple[str, str, str]:
    """Kind, method and step: no two documents of a result share all three."""
    facts = {fact["name"]: fact["value"] for fact in document["environment"]}
    return str(document["kind"]), str(document["method"]["name"]), str(facts.get("step", ""))


def _told(entry: Mapping[str, JSON]) -> dict[str, JSON]:
    """What an entry of evidence says, without the machine that it was measured on and what packing adds to it."""
    document = entry["document"]
    named = {str(fact["name"]) for fact in environment(1, "", CPU, "cpu")} - {"preprocessing"} | {
        "blas_kernel",
        "seen_rows",
        LEFT_OUT,
    }
    pairs = zip(document["figures"], entry["plain"], strict=True)
    figures = [(figure, plain) for figure, plain in pairs if figure["metric"] not in _PACKED]
    return {
        "facts": {fact["name"]: fact["value"] for fact in document["environment"] if fact["name"] not in named},
        "figures": [figure for figure, _ in figures],
        "method": document["method"],
        "plain": [plain for _, plain in figures],
        "seed": document["seed"],
    }


def _elsewhere(document: Mapping[str, JSON], found: Part) -> Part:
    """The part as it may be said here: another processor or other libraries may give other figures."""
    facts = said_on(document)
    here = {
        str(one["name"]): str(one["value"]) for one in environment(1, provider=facts.get("execution_provider", CPU))
    }
    other = [
        f"{name} {facts.get(name, 'none')} -> {here.get(name, 'none')}"
        for name in _DECIDES
        if facts.get(name) != here.get(name)
    ]
    if facts.get("engine") != ENGINE_VERSION:
        other.append(f"engine {facts.get('engine', 'none')} -> {ENGINE_VERSION}")
    if not other or found.outcome in (NOT_COMPARED, UNTOLD):
        return found
    came = "made here they come out equal" if found.outcome == SAME else f"made here: {found.why}"
    return Part(found.name, UNTOLD, f"{', '.join(other)}; {came}")


def _budget(document: Mapping[str, JSON]) -> StepBudget:
    """The budget on record; EngineError (result_invalid, budget_invalid)."""
    budget = document["budget"]
    try:
        shares = [None if budget[name] is None else Decimal(budget[name]) for name in ("at_least", "loses_at_most")]
    except (KeyError, TypeError, ArithmeticError, ValueError) as error:
        hint = "Give the RESULT.json that compress wrote, unchanged."
        raise EngineError("result_invalid", "The result's budget is none.", hint) from error
    return StepBudget(*shares)


def _settings(document: Mapping[str, JSON]) -> Settings:
    """How the result says that it was measured; EngineError (result_invalid)."""
    facts, seed = said_on(document), document.get("seed")
    threads = facts.get("threads", "")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32 or not _THREADS.fullmatch(threads):
        hint = "Give the RESULT.json that compress wrote, unchanged."
        raise EngineError("result_invalid", "The result does not say by which seed and threads it was measured.", hint)
    return Settings(seed, int(threads), provider=facts.get("execution_provider", CPU))
