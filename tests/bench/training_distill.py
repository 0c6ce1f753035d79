"""Distillation: the sentence encoder with half its layers, trained against the whole one on real sentences.

Quality is that of two judged searches (`training_distill_sentences`): nDCG at 10, what is right being said by those who wrote the
documents and not by a model; no document that is searched was trained on. The student's quality is told as a share of the
teacher's, with an interval over questions (2,000 paired resamplings). Beside it stands the student that only lost its layers.
Processor time is that of the whole call (`compress`): reading, choosing layers, the teacher's answers, training, writing, a run.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.data import Encoder, Rows
from compression_engine.formats import onnx_io
from compression_engine.methods.distillation.blocks import Block, remove_blocks
from compression_engine.plan import Plan
from compression_engine.runtime import BATCH_ROWS, Model, batch_at
from tests.bench.harness import Row, at_least, at_most, reported
from tests.bench.quantization_material import run_engine
from tests.bench.quantization_turns import timed, typical
from tests.bench.training_distill_sentences import Search, Texts, collect, write_rows
from tests.bench.training_material import TrainingMaterial

PARAMETERS: Mapping[str, int] = {"epochs": 2, "learning_rate_per_million": 600, "batch_size": 32}
_ROWS, _QUICK_ROWS = 24_000, 4_000
_TOKENS = 64
_BEST, _AT = 10, "nDCG at 10"
_RESAMPLINGS = 2_000
_MOST_MINUTES, _LEAST_SHARE = 20.0, 0.97
_TIMING_ROUNDS = 100


@dataclass(frozen=True)
class _Judged:
    """A model's embeddings of all that is asked for and searched, by search, and the quality of each question."""

    embeddings: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]
    gains: np.ndarray[Any, Any]

    def cosine(self, other: _Judged) -> float:
        """The mean cosine of all embeddings to another model's of the same texts."""
        pairs = [
            (a, b)
            for name in self.embeddings
            for a, b in zip(self.embeddings[name], other.embeddings[name], strict=True)
        ]
        return float(np.concatenate([(a * b).sum(1) for a, b in pairs]).mean())


def rows(material: TrainingMaterial) -> list[Row]:
    """The rows of this part; `quick` trains on a sixth of the sentences, once."""
    texts = collect(_QUICK_ROWS if material.quick else _ROWS)
    parent = material.sample("minilm") / "model.onnx"
    child, minutes = distilled(material, parent, texts)
    layers = json.loads((child / "RESULT.json").read_bytes())["steps"][0]["training"][0]["student"]
    models = {
        "teacher": parent,
        "dropped": dropped(parent, layers, material.folder / "dropped"),
        "distilled": child / "model.onnx",
    }
    judged = {name: judge(path, parent.parent / "tokenizer.json", texts.searches) for name, path in models.items()}
    return [*_figures(judged, texts), *_cost(models, minutes, texts, parent)]


def distilled(material: TrainingMaterial, parent: Path, texts: Texts) -> tuple[Path, float]:
    """The child's folder, and the minutes of processor time that the whole call took."""
    folder = material.folder / "distilled"
    given = dict(PARAMETERS) | ({"epochs": 1} if material.quick else {})
    steps = [{"method": "distill", "parameters": [{"name": name, "value": value} for name, value in given.items()]}]
    recipe, plan = material.folder / "distill.json", material.folder / "sentences-plan.json"
    recipe.write_text(json.dumps({"type": "pressmark/recipe/1", "name": "half-the-layers", "steps": steps}))
    plan.write_bytes(Plan(task="embedding", max_tokens=_TOKENS).canonical())
    training = write_rows(texts, material.folder / "training.jsonl")
    before = _child_seconds()
    command = ["compress", str(parent), "--recipe", str(recipe), "--training", str(training), "--plan", str(plan)]
    run_engine("compression_engine", [*command, "--output", str(folder), "--quick"])
    return folder, (_child_seconds() - before) / 60


def dropped(parent: Path, layers: dict[str, Any], folder: Path) -> Path:
    """The parent without the layers that the student lacks, not trained."""
    model = onnx_io.load(parent).model
    onnx_io.prepare(model)
    ends, begins = layers["layers_found"], layers["layers_begin"]
    gone = [
        Block(begin, end, 0, (), ())
        for begin, end in zip(begins, ends, strict=True)
        if end not in layers["layers_kept"]
    ]
    remove_blocks(model, gone)
    folder.mkdir()
    onnx_io.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def judge(path: Path, tokenizer: Path, searches: tuple[Search, ...]) -> _Judged:
    """What a model finds."""
    model = Model(path, 1)
    found = {
        search.name: (embedded(model, tokenizer, search.questions), embedded(model, tokenizer, search.searched))
        for search in searches
    }
    return _Judged(found, np.concatenate([gains(*pair) for pair in found.values()]))


def embedded(model: Model, tokenizer: Path, texts: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """Embeddings of length one, [texts, width]."""
    encoder = Encoder(Rows("", texts, {}, ()), model.inputs(), tokenizer, Plan(max_tokens=_TOKENS))
    counts = encoder.token_counts()
    assert counts is not None
    order, found = np.argsort(counts, kind="stable"), []
    for start in range(0, len(order), BATCH_ROWS):
        batch = batch_at(encoder, order[start : start + BATCH_ROWS].tolist())
        found.append(model.run(batch.feed)[0][: batch.count])
    made = np.empty((len(order), found[0].shape[1]), dtype=np.float32)
    made[order] = np.concatenate(found)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def gains(questions: np.ndarray[Any, Any], searched: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """nDCG at 10 of each question, whose one right find has its number; equal scores count against it."""
    scores = questions @ searched.T
    right = np.diagonal(scores)[:, None]
    rank = (scores >= right).sum(axis=1)
    return np.asarray(np.where(rank <= _BEST, 1.0 / np.log2(rank + 1.0), 0.0))


def _figures(judged: dict[str, _Judged], texts: Texts) -> list[Row]:
    teacher = judged["teacher"].gains
    count, found = (
        len(teacher),
        [reported("distill.teacher", f"the teacher's {_AT}", float(teacher.mean()), "nDCG", len(teacher))],
    )
    draw = np.random.default_rng(0).integers(0, count, (_RESAMPLINGS, count))
    for name, what in (("dropped", "only without half its layers"), ("distilled", "distilled")):
        ours = judged[name].gains
        share = float(ours.mean() / teacher.mean())
        spread = float(np.std(ours[draw].mean(1) / teacher[draw].mean(1)))
        told = f"{what}: share of the teacher's {_AT}"
        row = at_least(f"distill.{name}.quality", told, share, _LEAST_SHARE, "share", count, spread)
        found.append(
            row
            if name == "distilled"
            else replace(row, target=None, holds=None, reason="what training has to win back")
        )
        cosine = judged[name].cosine(judged["teacher"])
        found.append(
            reported(f"distill.{name}.cosine", f"{what}: mean cosine to the teacher", cosine, "cosine", 2 * count)
        )
        start = 0
        for search in texts.searches:
            part = slice(start, start + len(search.questions))
            start = part.stop
            value = float(ours[part].mean() / teacher[part].mean())
            what_part = f"{what}: share of the teacher's {_AT}, {search.name}"
            found.append(reported(f"distill.{name}.{search.name}", what_part, value, "share", len(search.questions)))
    return found


def _cost(models: dict[str, Path], minutes: float, texts: Texts, parent: Path) -> list[Row]:
    opened = {name: Model(path, 1) for name, path in models.items()}
    plan, tokenizer = Plan(max_tokens=_TOKENS), parent.parent / "tokenizer.json"
    encoder = Encoder(Rows("", texts.searches[0].questions, {}, ()), opened["teacher"].inputs(), tokenizer, plan)
    times = timed(opened["teacher"], {"student": opened["distilled"]}, typical(encoder), _TIMING_ROUNDS)
    teacher_times = next(value for name, value in times.items() if name != "student")
    ratios = teacher_times / times["student"]
    size = models["teacher"].stat().st_size / models["distilled"].stat().st_size
    trained = f"{len(texts.training):,} sentences drawn from {texts.documents[0]:,} documents"
    return [
        at_most("distill.minutes", "distilled: processor time of the whole call", minutes, _MOST_MINUTES, "minutes", 1),
        reported("distill.sentences", f"distilled: trained on {trained}", len(texts.training), "rows", texts.documents[0]),
        reported("distill.size", "distilled: times smaller", size, "times", 1),
        reported("distill.speed", "distilled: times faster, one sentence", float(np.median(ratios)), "times", _TIMING_ROUNDS,
                 float(np.percentile(ratios, 90) - np.percentile(ratios, 10))),
    ]  # fmt: skip


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
