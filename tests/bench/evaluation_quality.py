"""Figures of quality and agreement beside scikit-learn's and scipy's on the same outputs, and what peers answer to them.

Ours go the whole way from stored answers: labels by name, softmax of float32 logits, one column as a pair, padding, decoding.
Row value: the largest absolute difference of any figure of the task; the time is that of all figures, intervals included.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from compression_engine.answers.outputs import Array, Field, Outputs
from compression_engine.measure import fidelity, quality
from compression_engine.measure.context import Context
from compression_engine.measure.language import reduce_batch
from compression_engine.plan import Plan
from tests.bench.harness import Row, at_most, not_measured, of_a_peer

TOLERANCE = 1e-9
_CLASSES = tuple("abcdefghij")
Figures = Mapping[str, float]


def quality_rows(quick: bool) -> list[Row]:
    """All rows; `quick` takes 1,000 rows of data instead of 20,000."""
    rows = 1000 if quick else 20_000
    pairs = [
        ("classification", "top-1/5, balanced accuracy, F1, AUROC, log loss of 10 classes", _of_classes(rows, 10)),
        ("classification_pair", "the same of two classes by one score", _of_classes(rows, 1)),
        ("regression", "mean absolute, root mean squared error, R2 of 3 numbers", _of_numbers(rows)),
        ("sequence", "character error rate against a plain table of edits", _of_sequences(rows // 20)),
        ("language_model", "perplexity and next-token accuracy against log_loss", _of_texts(rows // 50)),
        ("retrieval", "recall at 1, 5, 10 against scikit-learn's neighbours", _of_embeddings(rows // 10)),
        ("fidelity", "KL, Jensen-Shannon, rank correlation against scipy", _of_agreement(rows // 10)),
    ]
    found = []
    for name, what, measured in pairs:
        ours, theirs, n = measured()
        worst = max(abs(ours[metric] - theirs[metric]) for metric in theirs)
        assert len(theirs) > 0, name
        found.append(at_most(f"quality.{name}", f"{what}: largest difference", worst, TOLERANCE, "share", n))
    return found + _coverage(quick) + _timed(rows) + _peers(rows)


Measured = Callable[[], tuple[Figures, Figures, int]]


def _of_classes(rows: int, columns: int) -> Measured:
    def measured() -> tuple[Figures, Figures, int]:
        from sklearn import metrics

        outputs, right = _classifier(rows, columns)
        logits = outputs.answer("version").values.astype(np.float64)
        if columns == 1:
            second = 1 / (1 + np.exp(-logits[:, 0]))
            shares, chosen = np.stack([1 - second, second], axis=1), (logits[:, 0] >= 0).astype(int)
        else:
            odds = np.exp(logits)
            shares, chosen = odds / odds.sum(axis=1, keepdims=True), logits.argmax(axis=1)
        asked = shares if columns > 1 else shares[:, 1]
        theirs = {
            "accuracy": metrics.accuracy_score(right, chosen),
            "balanced_accuracy": metrics.balanced_accuracy_score(right, chosen),
            "f1_macro": metrics.f1_score(right, chosen, average="macro"),
            "auroc": metrics.roc_auc_score(right, asked, multi_class="ovr", average="macro"),
            "log_loss": metrics.log_loss(right, shares, labels=range(shares.shape[1])),
        }
        if columns > 5:
            theirs["top5_accuracy"] = metrics.top_k_accuracy_score(right, shares, k=5, labels=range(columns))
        return _figures(outputs, _plan(columns)), theirs, rows

    return measured


def _of_numbers(rows: int) -> Measured:
    def measured() -> tuple[Figures, Figures, int]:
        from sklearn import metrics

        generator = np.random.default_rng(1)
        right = generator.normal(size=(rows, 3)) * [1, 10, 100]
        answer = (right + generator.normal(size=right.shape) * [0.1, 5, 200]).astype(np.float32)
        outputs = Outputs({"version": {"answer": Field(answer)}}, Field(right))
        wide = answer.astype(np.float64)
        theirs = {
            "mean_absolute_error": metrics.mean_absolute_error(right, wide),
            "root_mean_squared_error": metrics.root_mean_squared_error(right, wide),
            "r2": metrics.r2_score(right, wide),
        }
        return _figures(outputs, Plan(task="regression")), theirs, rows

    return measured


def _of_sequences(rows: int) -> Measured:
    def measured() -> tuple[Figures, Figures, int]:
        generator = np.random.default_rng(2)
        symbols = generator.choice(4, size=(rows, 30), p=[0.7, 0.1, 0.1, 0.1])
        words = [
            "".join("_abc"[s] for s in generator.integers(1, 4, size=generator.integers(1, 9))) for _ in range(rows)
        ]
        logits = np.eye(4, dtype=np.float32)[symbols] * 3
        plan = Plan(task="sequence", classes=tuple("_abc"), blank=0)
        outputs = Outputs({"version": {"answer": Field(logits)}}, Field(np.array(words)))
        read = []
        for row in symbols:
            merged = [s for place, s in enumerate(row) if place == 0 or row[place - 1] != s]
            read.append("".join("_abc"[s] for s in merged if s))
        edits = [_edits(a, b) for a, b in zip(read, words, strict=True)]
        theirs = {
            "character_error_rate": sum(edits) / sum(map(len, words)),
            "exact_match": float(np.mean([a == b for a, b in zip(read, words, strict=True)])),
        }
        return _figures(outputs, plan), theirs, rows

    return measured


def _edits(a: str, b: str) -> int:
    """Levenshtein's table, by the book."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def _of_texts(rows: int) -> Measured:
    def measured() -> tuple[Figures, Figures, int]:
        from sklearn import metrics

        generator, plan = np.random.default_rng(3), Plan(task="language-model", scores="logits")
        ids, logits = (
            generator.integers(0, 12, size=(rows, 20)),
            generator.normal(size=(rows, 20, 12)).astype(np.float32),
        )
        mask = (np.arange(20) < generator.integers(2, 21, size=(rows, 1))).astype(np.int64)
        reduced = reduce_batch({"version": logits}, {"input_ids": ids, "attention_mask": mask}, plan)["version"]
        fields = {name: _field(entries) for name, entries in reduced.items()}
        real = (mask[:, 1:] != 0).reshape(-1)
        odds = np.exp(logits[:, :-1].astype(np.float64)).reshape(-1, 12)[real]
        shares, following = odds / odds.sum(axis=1, keepdims=True), ids[:, 1:].reshape(-1)[real]
        stored = -np.log(shares[np.arange(len(shares)), following])
        loss = metrics.log_loss(following, shares, labels=range(12))
        assert abs(stored.mean() - loss) < TOLERANCE
        theirs = {  # a loss is stored in float32, so the perplexity is that of such
            "perplexity": float(np.exp(stored.astype(np.float32).astype(np.float64).mean())),
            "token_accuracy": metrics.accuracy_score(following, shares.argmax(axis=1)),
        }
        return _figures(Outputs({"version": fields}), plan), theirs, rows

    return measured


def _of_embeddings(rows: int) -> Measured:
    def measured() -> tuple[Figures, Figures, int]:
        from sklearn.neighbors import NearestNeighbors

        generator = np.random.default_rng(4)
        groups = generator.integers(0, max(2, rows // 8), size=rows)
        centres = generator.normal(size=(groups.max() + 1, 64))
        answer = (centres[groups] + 1.5 * generator.normal(size=(rows, 64))).astype(np.float32)
        outputs = Outputs({"version": {"answer": Field(answer)}}, Field(groups))
        search = NearestNeighbors(n_neighbors=11, metric="cosine").fit(answer.astype(np.float64))
        others = search.kneighbors(answer.astype(np.float64), return_distance=False)[:, 1:]
        theirs = {
            f"recall_at_{rank}": float((groups[others[:, :rank]] == groups[:, None]).any(axis=1).mean())
            for rank in (1, 5, 10)
        }
        return _figures(outputs, Plan(task="embedding")), theirs, rows

    return measured


def _of_agreement(rows: int) -> Measured:
    def measured() -> tuple[Figures, Figures, int]:
        from scipy.spatial.distance import jensenshannon
        from scipy.stats import entropy, spearmanr

        outputs, _ = _classifier(rows, 10)
        raw = [outputs.answer(role).values.astype(np.float64) for role in ("version", "parent")]
        ours, theirs = (np.exp(a) / np.exp(a).sum(axis=1, keepdims=True) for a in raw)
        expected = {
            "kl_divergence": float(entropy(theirs, ours, axis=1).mean()),
            "js_divergence": float((jensenshannon(theirs, ours, axis=1) ** 2).mean()),
            "rank_correlation": float(np.mean([spearmanr(a, b).statistic for a, b in zip(*raw, strict=True)])),
            "top1_agreement": float((raw[0].argmax(axis=1) == raw[1].argmax(axis=1)).mean()),
        }
        (found,) = fidelity.measure(Context(outputs, _plan(10)))
        return {entry.metric: entry.value or 0.0 for entry in found.measurements}, expected, rows

    return measured


def _coverage(quick: bool) -> list[Row]:
    """How often the intervals hold the truth: figures of 500 rows, against those of very many rows drawn alike."""
    repeats = 100 if quick else 2000
    found = []
    for name, drawn in (("classification", _drawn_classes), ("regression", _drawn_numbers)):
        wide, plan = drawn(np.random.default_rng(10**6), 400_000)
        truth = _figures(wide, plan)
        held = dict.fromkeys(truth, 0)
        for number in range(repeats):
            outputs, plan = drawn(np.random.default_rng(number), 500)
            (document,) = quality.measure(Context(outputs, plan, number))
            for entry in document.measurements:
                if entry.low is not None and entry.high is not None:
                    held[entry.metric] += entry.low <= truth[entry.metric] <= entry.high
        for metric, count in held.items():
            share = count / repeats
            what = f"{name}, {metric}: intervals of 500 rows that hold the truth"
            spread = float(np.sqrt(share * (1 - share) / repeats))
            target, holds = ("0.935 to 0.965", 0.935 <= share <= 0.965) if not quick else (None, None)
            reason = "too few repeats for the target" if quick else None
            found.append(
                Row(f"quality.coverage.{name}.{metric}", what, share, "share", target, holds, repeats, spread, reason)
            )
    return found


def _drawn_classes(generator: np.random.Generator, rows: int) -> tuple[Outputs, Plan]:
    right = generator.choice(4, size=rows, p=[0.1, 0.2, 0.3, 0.4])
    logits = np.eye(4)[right] * 1.5 + generator.normal(size=(rows, 4)) * 1.4
    plan = Plan(task="classification", scores="logits")
    return Outputs({"version": {"answer": Field(logits.astype(np.float32))}}, Field(right)), plan


def _drawn_numbers(generator: np.random.Generator, rows: int) -> tuple[Outputs, Plan]:
    right = generator.normal(size=(rows, 1))
    answer = (right + 0.5 * generator.normal(size=right.shape)).astype(np.float32)
    return Outputs({"version": {"answer": Field(answer)}}, Field(right)), Plan(task="regression")


def _timed(rows: int) -> list[Row]:
    outputs, _ = _classifier(rows, 10)
    begun = time.process_time()
    quality.measure(Context(outputs, _plan(10)))
    fidelity.measure(Context(outputs, _plan(10)))
    taken = time.process_time() - begun
    what = f"quality and fidelity of two models, {rows:,} rows of 10 classes, all intervals: CPU time"
    return [Row("quality.seconds", what, taken, "second", None, None, rows, None, "told for comparison with peers")]


def _peers(rows: int) -> list[Row]:
    found = []
    for name, module, measured in (
        ("evidently", "evidently", _evidently),
        ("mlflow", "mlflow", _mlflow),
    ):
        what = (
            f"{name}: its classification figures on the same {rows:,} rows, of one model, without intervals: CPU time"
        )
        if find_spec(module) is None:
            found.append(not_measured(f"quality.peer.{name}", what, "second", f"{module} is not installed here"))
            continue
        begun = time.process_time()
        try:
            metrics = measured(rows)
        except Exception as error:
            reason = f"{module} {version(module)} fails: {type(error).__name__}: {error}"
            found.append(not_measured(f"quality.peer.{name}", what, "second", reason))
            continue
        said = f"{what}; it answers {metrics} figures"
        found.append(of_a_peer(f"quality.peer.{name}", said, time.process_time() - begun, "second", rows))
    return found


def _evidently(rows: int) -> int:
    import pandas
    from evidently import BinaryClassification, DataDefinition, Dataset, Report  # type: ignore[import-not-found]
    from evidently.presets import ClassificationPreset  # type: ignore[import-not-found]

    definition = DataDefinition(
        classification=[
            BinaryClassification(target="target", prediction_labels="prediction", prediction_probas="probability")
        ]
    )
    frame = pandas.DataFrame(_columns(rows))
    snapshot = Report([ClassificationPreset()]).run(Dataset.from_pandas(frame, data_definition=definition), None)
    return len(snapshot.dict()["metrics"])


def _mlflow(rows: int) -> int:
    import mlflow  # type: ignore[import-not-found]
    import pandas

    frame = pandas.DataFrame(_columns(rows))
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/runs.db")
        found = mlflow.models.evaluate(
            data=frame, targets="target", predictions="prediction", model_type="classifier", evaluators="default"
        )
        return len(found.metrics)


def _columns(rows: int) -> dict[str, Array]:
    """Labels, decisions and the probability of class 1 of the version of two classes."""
    outputs, right = _classifier(rows, 1)
    second = 1 / (1 + np.exp(-outputs.answer("version").values[:, 0].astype(np.float64)))
    return {"target": right, "prediction": (second >= 0.5).astype(int), "probability": second}


def _classifier(rows: int, columns: int) -> tuple[Outputs, Array]:
    """A version that is a little worse than its parent; one column stands for two classes, labels are names."""
    generator = np.random.default_rng(0)
    right = generator.integers(0, max(2, columns), size=rows)
    signal = np.eye(columns)[right] * 2 if columns > 1 else (right[:, None] * 2 - 1.0)
    parent = (signal + generator.normal(size=signal.shape)).astype(np.float32)
    version = (parent + 0.4 * generator.normal(size=signal.shape)).astype(np.float32)
    names = np.array([_CLASSES[label] for label in right])
    return Outputs({"version": {"answer": Field(version)}, "parent": {"answer": Field(parent)}}, Field(names)), right


def _plan(columns: int) -> Plan:
    return Plan(task="classification", scores="logits", classes=_CLASSES[: max(2, columns)])


def _figures(outputs: Outputs, plan: Plan) -> Figures:
    (found,) = quality.measure(Context(outputs, plan))
    return {entry.metric: entry.value for entry in found.measurements if not entry.slice and entry.value is not None}


def _field(entries: list[Array]) -> Field:
    if len({entry.shape for entry in entries}) == 1:
        return Field(np.stack(entries))
    offsets = np.concatenate([[0], np.cumsum([len(entry) for entry in entries])]).astype(np.int64)
    return Field(np.concatenate(entries), offsets)
