"""Measures a model on the host that serves it, with onnxruntime and numpy alone, and binds the figures to all they depend on.

Rules:
- what is measured is one version: its manifest's files are hashed again, or only the weights' digest is claimed;
- figures are bound to host and serving settings by a digest of each: another host or other settings make them stale;
- threads, graph optimisation and execution provider are those of serving, and every session that measures is opened so;
- fidelity needs no labels here: those of a plan are left aside, and so are its slices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from compression_engine.answers.answering import answer
from compression_engine.answers.outputs import PARENT, VERSION
from compression_engine.canonical import JSON, digest_of_stream
from compression_engine.data import Encoder, read_rows
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import DataError, EngineError
from compression_engine.host import digest_of_facts, host_facts
from compression_engine.limits import scratch
from compression_engine.manifest import version_digest
from compression_engine.measure import energy, fidelity, memory, size, timing
from compression_engine.measure.context import Context, Found
from compression_engine.measure.rounds import ROUNDS
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.result import Evidence, Measurement
from compression_engine.runtime import CPU, OPTIMISATIONS, Model

TARGET_TYPE, KIND, METHOD = "pressmark/target_measurement/1", "target", "measured_where_it_serves"
_MODEL_NAME, _TOKENIZER_NAME = "model.onnx", "tokenizer.json"
_NAME = re.compile(r"[a-z0-9_]{1,64}")
_VALUE_CHARACTERS_MAX = 2000


@dataclass(frozen=True)
class Serving:
    """How the model is served. `named` is what else the caller says about it: container, instance type, replicas."""

    threads: int = 1
    optimisation: str = "all"
    provider: str = CPU
    named: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> list[dict[str, JSON]]:
        """Names and values, sorted by name; raises EngineError (setting_invalid)."""
        found = {
            "execution_provider": self.provider,
            "graph_optimisation": self.optimisation,
            "spinning": "off",
            "threads": str(self.threads),
        }
        for name, value in self.named.items():
            if not _NAME.fullmatch(name) or not value or len(value) > _VALUE_CHARACTERS_MAX:
                hint = "Write NAME=VALUE; a name is made of a-z, 0-9 and _, a value is not empty."
                raise EngineError("setting_invalid", f"The setting {name!r} cannot be kept.", hint)
            found[f"setting_{name}"] = value
        return [{"name": name, "value": found[name]} for name in sorted(found)]


def measure_target(
    model: Path,
    *,
    data: Path,
    parent: Path | None = None,
    plan: Plan | None = None,
    serving: Serving | None = None,
    rounds: int = ROUNDS,
    memory_repeats: int = memory.REPEATS,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, JSON]:
    """The `pressmark/target_measurement/1` document of a model file or folder; raises EngineError with a stable code."""
    serving, asked = serving or Serving(), _without_labels(plan or Plan())
    settings, host = serving.facts(), host_facts()
    progress("read", 0, 1, "reading files and rows")
    paths = {VERSION: _weights(model)} | ({} if parent is None else {PARENT: _weights(parent)})
    versions = {role: version_digest(path) for role, path in paths.items()}
    rows = read_rows(data, asked)
    progress("read", 1, 1, f"{len(rows)} rows")
    models = {role: _opened(role, path, serving) for role, path in paths.items()}
    _check_same(models)
    encoder = Encoder(rows, models[VERSION].inputs(), _tokenizer(list(paths.values())), asked)
    with scratch("pressmark-answers-") as folder:
        outputs = answer(models, encoder, asked, folder=folder / "answers", progress=progress)
        context = Context(
            outputs, asked, seed, progress, models, paths, encoder,
            threads=serving.threads, rounds=rounds, memory_repeats=memory_repeats,
        )  # fmt: skip
        evidence = _evidence(_found(context), encoder, plan, serving, seed)
    return {
        "data": rows.record("evaluation"),
        "engine": {"name": "compression_engine", "version": ENGINE_VERSION},
        "evidence": [evidence.entry()],
        "host": host,
        "host_digest": digest_of_facts(host),
        "parent": {"version_digest": versions[PARENT], "weights": _file(paths[PARENT])} if PARENT in paths else None,
        "plan": None if plan is None else plan.document(),
        "plan_digest": None if plan is None else plan.digest(),
        "seed": seed,
        "settings": settings,
        "settings_digest": digest_of_facts(settings),
        "type": TARGET_TYPE,
        "version_digest": versions[VERSION],
        "weights": _file(paths[VERSION]),
    }


def _found(context: Context) -> list[Found]:
    """Every measure that a serving host can take, each given what those before it found."""
    found: list[Found] = []
    for measure in (size.measure, fidelity.measure, timing.measure, memory.measure, energy.measure):
        found += measure(replace(context, found=tuple(found)))
    return found


def _evidence(found: Sequence[Found], encoder: Encoder, plan: Plan | None, serving: Serving, seed: int) -> Evidence:
    """All figures in one document, with the facts that any of them rests on."""
    named = {str(e["name"]): str(e["value"]) for e in environment(serving.threads, encoder.preprocessing)}
    if plan is not None:
        named["plan"] = plan.digest()
    measurements: list[Measurement] = []
    for entry in found:
        measurements += entry.measurements
        named |= dict(entry.facts)
    facts: list[dict[str, JSON]] = [{"name": name, "value": named[name]} for name in sorted(named)]
    return Evidence(KIND, METHOD, seed, facts, measurements)


def _without_labels(plan: Plan) -> Plan:
    return replace(plan, label=None, slices=(), protected=(), favourable=None, thread_counts=(1,))


def _weights(given: Path) -> Path:
    path = given / _MODEL_NAME if given.is_dir() else given
    if not path.is_file():
        hint = f"Give a model file, or a folder with {_MODEL_NAME}, such as `pressmark pull` makes."
        raise EngineError("not_found", f"There is no model file {path}.", hint)
    return path


def _opened(role: str, path: Path, serving: Serving) -> Model:
    what = "The original" if role == PARENT else "The model"
    return Model(path, serving.threads, what=what, optimisation=serving.optimisation, provider=serving.provider)


def _check_same(models: Mapping[str, Model]) -> None:
    if len({tuple(entry[:2] for entry in model.signature) for model in models.values()}) > 1:
        hint = "Compare a model with the one that it came from."
        raise DataError("models_differ", "The model takes or gives something else than its parent.", hint)


def _tokenizer(paths: Sequence[Path]) -> Path | None:
    found = (path.parent / _TOKENIZER_NAME for path in paths)
    return next((path for path in found if path.is_file()), None)


def _file(path: Path) -> dict[str, JSON]:
    with path.open("rb") as file:
        digest = digest_of_stream(file)
    return {"digest": digest, "path": path.name, "size_bytes": size.weights_bytes(path)}


__all__ = ["OPTIMISATIONS", "TARGET_TYPE", "Serving", "measure_target"]
