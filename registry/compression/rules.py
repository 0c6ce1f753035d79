"""What a recipe means to the registry, and why a run did not succeed. Pure: no Django, no clock.

Rules:
- a recipe fits a model when every step takes the model's format;
- a list of names is told by its first three and how many there are;
- each method is one operation of the vocabulary, told by the first word of its name; a step that changed nothing is none;
- data count as used for making only where a step needs calibration data;
- whatever way the engine ended, the reason has a stable code, one sentence of cause and one of remedy;
- the engine's own words may quote a row, a label or a column: over data of another team they stand in the log alone, which only
  readers of the data open, since every reader of the model reads the reason;
- a queued run is woken again after a while, less often the longer it waits.
"""

from __future__ import annotations

import datetime
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compression_engine.errors import RecipeError
from compression_engine.recipe import Recipe
from registry.errors import Invalid

_OPERATIONS = {
    "calibrate": "converted",
    "convert": "converted",
    "distill": "distilled",
    "fine": "fine-tuned",
    "low": "factorised",
    "merge": "merged",
    "prune": "pruned",
    "quantize": "quantized",
}
_CODE = re.compile(r"[a-z][a-z0-9_]{0,59}")
# what libraries say when an allocation is refused: C++, Python, the loader, OpenBLAS, protobuf, onnxruntime
_MEMORY_SIGNS = re.compile(
    r"bad_alloc|MemoryError|cannot allocate memory|out of memory|alloc\w*( still)? failed|failed to (allocate|map segment)",
    re.IGNORECASE,
)
_RESEND_LEAST = datetime.timedelta(seconds=30)
_RESEND_MOST = datetime.timedelta(seconds=300)
_RAISE_TIME = "Raise PRESSMARK_RUN_TIME_LIMIT_SECONDS, or use a smaller model or fewer rows."
_TEXT_CHARACTERS = 4000
_NAMED_MOST = 3
_READ_LOG = "Read the log of the run."


@dataclass(frozen=True)
class Failure:
    """Why a run did not succeed."""

    code: str
    message: str
    hint: str = ""

    @property
    def text(self) -> str:
        """What a person reads: cause, then remedy in a line of its own."""
        parts = (self.message, self.hint)
        return "\n".join(plain(part, _TEXT_CHARACTERS) for part in parts if part)


_OUT_OF_MEMORY = Failure(
    "out_of_memory",
    "The engine needed more memory than a run may have.",
    "Raise PRESSMARK_RUN_MEMORY_LIMIT_BYTES, or use a smaller model or fewer rows.",
)


def plain(text: str, limit: int) -> str:
    """Words of a child process as one line that every database takes: no control characters, no half of a pair."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])


def misfits(recipe: Recipe, model_format: str) -> list[str]:
    """One sentence for each step that does not take the format; empty when the recipe fits."""
    return [
        f"Step {number}, {step.method}, takes {' or '.join(step.spec.formats)}; the parent is {model_format}."
        for number, step in enumerate(recipe.steps, start=1)
        if model_format not in step.spec.formats
    ]


def check_measurable(model_format: str) -> None:
    """Raises Invalid where a run could make a child of this format, and nothing could run it on the evaluation data."""
    if model_format == "safetensors":
        hint = (
            "Compress it in a shell (python -m compression_engine compress), where its tensors are compared instead, and register "
            "the output with pressmark register-version --base ... --result RESULT.json; or register the model as ONNX, as a .pt2 "
            "archive, or with the architecture of its tensors (architecture.json or config.json beside model.safetensors)."
        )
        message = "A run measures its child on data; safetensors holds tensors without a graph, which nothing runs."
        raise Invalid(message, hint=hint, code="recipe-does-not-fit")


def parsed_recipe(source: bytes | Mapping[str, Any]) -> Recipe:
    """A recipe as it is on record; Invalid where an engine of before took what this one refuses, such as steps in a wrong order."""
    try:
        return Recipe.parse(source)
    except RecipeError as error:
        raise Invalid(
            f"The engine of today refuses this recipe. {error.message}",
            hint=error.hint,
            code=error.code.replace("_", "-"),
        ) from None


def operations(recipe: Recipe, told: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The operation of each step, in order, as an edge of the lineage names it. KeyError for a method without one.

    `told`: what the engine said of each step. One that trained, found nothing better and changed nothing is left out.
    """
    by_step = told or [{}] * len(recipe.steps)
    did = [step for step, one in zip(recipe.steps, by_step, strict=True) if one.get("changed") != []]
    return [_OPERATIONS[step.method.partition("_")[0]] for step in did]


def parameter_text(value: object) -> str:
    """The value of a parameter in a recipe document, as pages and reports say it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, list):
        return str(value)
    if not value:
        return "none"
    more = f" and {len(value) - _NAMED_MOST} more" if len(value) > _NAMED_MOST else ""
    return ", ".join(map(str, value[:_NAMED_MOST])) + more


def needs_calibration(recipe: Recipe) -> bool:
    """Whether some step looks at data to make the child."""
    return any(step.needs_calibration for step in recipe.steps)


def worker_lost(attempt: int) -> Failure:
    """The reason when the last allowed attempt lost its worker."""
    return Failure(
        "worker_lost",
        f"The worker was lost in attempt {attempt}, the last one allowed.",
        "Look for a worker that is killed by the system, most often for want of memory; then request the run again.",
    )


def disk_full() -> Failure:
    """The reason when a worker could not write for want of room."""
    return Failure(
        "disk_full",
        "The disk of the worker is full; nothing that was stored is harmed.",
        "Make room where `runs/` and `store/` lie, then request the run again.",
    )


def time_limit(seconds: int) -> Failure:
    """The reason when the engine was stopped by the clock."""
    return Failure("time_limit", f"The engine was stopped after {seconds} seconds, the limit of a run.", _RAISE_TIME)


def failure_of(
    exit_code: int, last_line: Mapping[str, object] | None, said: str, *, foreign_data: bool = False
) -> Failure:
    """Why the engine process did not end with a result.

    `exit_code` is negative for a signal; `last_line` is the last JSON object it printed; `said` is the end of its standard error;
    `foreign_data`: rows of another team than the model's were used, so its words are left to the log.
    """
    if last_line is not None and last_line.get("type") == "error":
        told = _told(last_line, said)
        return _unquoted(told.code) if foreign_data and told != _OUT_OF_MEMORY else told
    if _MEMORY_SIGNS.search(said):
        return _OUT_OF_MEMORY
    if exit_code == -signal.SIGXCPU:
        return Failure("time_limit", "The engine used more processor time than a run may have.", _RAISE_TIME)
    if exit_code == -signal.SIGKILL:
        return Failure(
            "killed", "The engine was killed by the system, most often for want of memory.",
            "Give the machine more memory, or use a smaller model.",
        )  # fmt: skip
    if exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
        return Failure("engine_crashed", f"The engine crashed ({name}).", _READ_LOG)
    if exit_code == 2:
        return Failure(
            "wrong_call",
            "The engine did not understand the call.",
            "Check that registry and engine are of one version.",
        )
    return Failure("no_result", f"The engine ended with exit code {exit_code} and without a result.", _READ_LOG)


def _told(error: Mapping[str, object], said: str) -> Failure:
    """The engine's own reason; where a library ran out of memory and hid it in an error of its own, that."""
    code, message = str(error.get("code")), str(error.get("message", ""))
    where = message + said if code == "internal" else message
    if code == "out_of_memory" or _MEMORY_SIGNS.search(where):
        return _OUT_OF_MEMORY
    return Failure(code if _CODE.fullmatch(code) else "engine_error", message, str(error.get("hint", "")))


def _unquoted(code: str) -> Failure:
    """The reason without the engine's words."""
    return Failure(
        code,
        f"The engine refused ({code}); what it says may quote data of another team, and stands in the log of the run.",
        "Whoever may read the data opens the log.",
    )


def due_again(requested_at: datetime.datetime, woken_at: datetime.datetime | None, now: datetime.datetime) -> bool:
    """Whether a queued run should be woken again: at once when nobody ever woke it, then after 30 s to 5 min."""
    if woken_at is None:
        return True
    patience = min(max(_RESEND_LEAST, (now - requested_at) / 4), _RESEND_MOST)
    return now - woken_at >= patience
