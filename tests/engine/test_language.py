"""A causal language model, trained and exported here: what is kept of its answers, quality, agreement, and its cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from compression_engine.answers.outputs import Array, Field, Outputs
from compression_engine.data import Encoder, Rows
from compression_engine.errors import DataError
from compression_engine.measure import comparison, fidelity, language, quality
from compression_engine.measure.context import Context, Found
from compression_engine.measure.language import reduce_batch
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from compression_engine.runtime import Model, batches
from tests.engine import answered, characters

PLAN = Plan(task="language-model", output="logits")
LENGTHS = (72, 40, 9, 2)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The parent, a child that is a little off, one that is lost, and one whose cache counts places from zero again."""
    folder = tmp_path_factory.mktemp("characters")
    model = characters.trained()
    found = {"parent": characters.export(model, folder / "parent.onnx")}
    for name, size in (("child", 0.05), ("lost", 2.0)):
        found[name] = characters.export(characters.noisy(model, size), folder / f"{name}.onnx")
    model.forgetful = True
    found["forgetful"] = characters.export(model, folder / "forgetful.onnx")
    return found


def rows() -> Rows:
    """24 texts of differing length, padded on the right."""
    ids = characters.texts(24, 0)
    lengths = np.array([LENGTHS[row % len(LENGTHS)] for row in range(24)])
    mask = (np.arange(characters.LENGTH) < lengths[:, None]).astype(np.int64)
    return Rows("sha256:" + "0" * 64, (), {"input_ids": ids * mask, "attention_mask": mask}, ())


def evaluated(paths: dict[str, Path], **roles: str) -> Context:
    """Runs the models over the rows as the engine does: batch by batch, each reduced at once."""
    models = {role: Model(paths[name], 1) for role, name in roles.items()}
    encoder = Encoder(rows(), models["version"].inputs(), None, PLAN)
    found: dict[str, dict[str, list[Array]]] = {role: {} for role in models}
    for batch in batches(encoder):
        logits = {role: model.run(batch.feed)[0] for role, model in models.items()}
        for role, fields in language.reduce_batch(logits, batch.feed, PLAN).items():
            for name, entries in fields.items():
                found[role].setdefault(name, []).extend(entries)
    fields = {role: {name: field(entries) for name, entries in kept.items()} for role, kept in found.items()}
    return Context(Outputs(fields), PLAN, 0, models=models, encoder=encoder)


def field(entries: list[Array]) -> Field:
    return Field(np.stack(entries)) if len({entry.shape for entry in entries}) == 1 else answered.ragged(entries)


def by_name(found: list[Found]) -> dict[str, Measurement]:
    return answered.by_name([entry for document in found for entry in document.measurements])


def spans(found: list[Found], metric: str) -> Mapping[str, Measurement]:
    return {entry.slice[0][1]: entry for entry in found[0].measurements if entry.slice and entry.metric == metric}


def value(entry: Measurement) -> float:
    assert entry.value is not None
    return entry.value


def test_perplexity_is_exp_of_the_mean_loss_of_all_real_tokens(paths: dict[str, Path]) -> None:
    context = evaluated(paths, version="child", parent="parent")
    found = by_name(quality.measure(context))
    model, given = context.models["version"], rows().arrays
    losses, hits = [], []
    for ids, mask in zip(given["input_ids"], given["attention_mask"], strict=True):
        kept = ids[: mask.sum()][None]
        empty = np.zeros((1, 4, 0, 8), dtype=np.float32)
        feed = {"input_ids": kept, "attention_mask": np.ones_like(kept)}
        feed |= {"past_key_values.0.key": empty, "past_key_values.0.value": empty}
        logits = model.run(feed)[0][0, :-1].astype(np.float64)
        odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        losses += list(-np.log(odds[np.arange(len(odds)), kept[0, 1:]]))
        hits += list(logits.argmax(axis=1) == kept[0, 1:])
    assert value(found["perplexity"]) == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
    assert value(found["token_accuracy"]) == pytest.approx(np.mean(hits), abs=1e-9)
    assert found["perplexity"].n == 24
    assert found["perplexity"].low is not None
    assert value(found["parent_perplexity"]) < 0.5 * len(characters.ALPHABET)  # it has learnt something


def test_perplexity_is_told_by_context_length(paths: dict[str, Path]) -> None:
    found = quality.measure(evaluated(paths, version="child"))
    by_span = spans(found, "perplexity")
    assert list(by_span) == ["1-32", "33-64", "65-128"]
    assert [entry.n for entry in by_span.values()] == [24, 12, 6]
    assert by_span["1-32"].slice == (("context_tokens", "1-32"),)


def test_texts_are_drawn_whole_so_copies_of_tokens_narrow_nothing() -> None:
    generator = np.random.default_rng(0)
    losses = np.repeat(generator.exponential(2.0, size=(40, 1)), 50, axis=1).astype(np.float32)
    fields = {"answer": Field(losses[:, :1]), "token_nll": Field(losses), "token_correct": Field(losses > 1)}
    found = by_name(quality.measure(answered.context(Outputs({"version": fields}), PLAN)))["perplexity"]
    assert found.low is not None
    assert found.high is not None
    expected = 1.96 * losses[:, 0].std() / np.sqrt(40)
    assert np.log(found.high / found.low) / 2 == pytest.approx(expected, rel=0.2)


def test_a_child_that_is_a_little_off_stays_close_and_a_lost_one_does_not(paths: dict[str, Path]) -> None:
    close = by_name(fidelity.measure(evaluated(paths, version="child", parent="parent")))
    lost = by_name(fidelity.measure(evaluated(paths, version="lost", parent="parent")))
    assert value(close["kl_divergence"]) < 0.1 < value(lost["kl_divergence"])
    assert value(close["js_divergence"]) < value(close["kl_divergence"])
    assert value(close["top1_agreement"]) > 0.8 > value(lost["top1_agreement"])
    assert value(close["cosine_mean"]) > 0.99 > value(lost["cosine_mean"])
    assert spans(fidelity.measure(evaluated(paths, version="child", parent="parent")), "kl_divergence").keys() == {
        "1-32",
        "33-64",
        "65-128",
    }


def test_a_model_against_itself_diverges_by_nothing(paths: dict[str, Path]) -> None:
    context = evaluated(paths, version="parent", parent="parent", incumbent="parent")
    found = fidelity.measure(context)
    assert [entry.kind for entry in found] == ["fidelity", "fidelity-incumbent", "invariance"]
    for document in found[:2]:
        named = answered.by_name(list(document.measurements))
        assert (named["kl_divergence"].value, named["top1_agreement"].value) == (0, 1)
        assert named["max_abs_difference"].value == 0


def test_a_model_answers_the_same_from_its_cache(paths: dict[str, Path]) -> None:
    found = by_name(fidelity.measure(evaluated(paths, version="parent", parent="parent")))
    assert value(found["cache_difference_max"]) < 1e-4
    assert found["cache_agreement"].value == 1
    assert found["cache_difference_max"].n > 50
    assert value(found["batch_difference_max"]) < 1e-4


def test_a_cache_that_counts_places_from_zero_again_is_caught(paths: dict[str, Path]) -> None:
    """Text by text at once it answers exactly as its parent: only the cache shows the fault."""
    found = by_name(fidelity.measure(evaluated(paths, version="forgetful", parent="parent")))
    assert found["kl_divergence"].value == 0
    assert value(found["cache_difference_max"]) > 0.5
    assert value(found["cache_agreement"]) < 1
    assert value(found["parent_cache_difference_max"]) < 1e-4


def test_another_vocabulary_cannot_be_compared_and_says_so() -> None:
    generator = np.random.default_rng(0)
    logits = {role: generator.normal(size=(2, 5, width)) for role, width in (("version", 7), ("parent", 9))}
    reduced = language.reduce_batch(logits, {"input_ids": np.ones((2, 5), dtype=np.int64)}, PLAN)
    outputs = Outputs({role: {name: field(rows) for name, rows in kept.items()} for role, kept in reduced.items()})
    (found,) = fidelity.measure(answered.context(outputs, PLAN))
    assert found.measurements[0].value is None
    assert found.measurements[0].reason == "the original scores another vocabulary"


def test_an_output_that_does_not_score_every_token_is_refused() -> None:
    ids = {"input_ids": np.ones((2, 5), dtype=np.int64)}
    with pytest.raises(DataError, match="does not score every token"):
        language.reduce_batch({"version": np.zeros((2, 7))}, ids, PLAN)
    with pytest.raises(DataError, match="scores 3 tokens"):
        language.reduce_batch({"version": np.zeros((2, 5, 3))}, {"input_ids": np.full((2, 5), 8)}, PLAN)


def test_a_text_of_one_token_has_nothing_to_predict() -> None:
    reduced = language.reduce_batch({"version": np.zeros((1, 1, 3))}, {"input_ids": np.ones((1, 1), np.int64)}, PLAN)
    outputs = Outputs({"version": {name: Field(np.stack(rows)) for name, rows in reduced["version"].items()}})
    found = by_name(quality.measure(answered.context(outputs, PLAN)))
    assert (found["perplexity"].value, found["perplexity"].reason) == (None, "no row has a token to predict")


def drawn(rows: int = 30, width: int = 90, vocabulary: int = 13) -> tuple[dict[str, Array], Array, Array]:
    """Scores of two models, token ids, and a mask that pads on the left and on the right."""
    generator = np.random.default_rng(9)
    parent = 2 * generator.normal(size=(rows, width, vocabulary))
    scores = {"parent": parent, "version": parent + 0.3 * generator.normal(size=parent.shape)}
    begin, end = generator.integers(0, 10, size=rows), generator.integers(30, width + 1, size=rows)
    places = np.arange(width)
    mask = (places >= begin[:, None]) & (places < end[:, None])
    ids = generator.integers(0, vocabulary, size=(rows, width))
    return {role: array.astype(np.float32) for role, array in scores.items()}, ids, mask.astype(np.int64)


def test_every_figure_of_texts_is_that_of_a_plain_loop_over_tokens_by_context() -> None:
    scores, ids, mask = drawn()
    reduced = reduce_batch(scores, {"input_ids": ids, "attention_mask": mask}, PLAN)
    outputs = Outputs({role: {name: field(rows) for name, rows in fields.items()} for role, fields in reduced.items()})
    context = answered.context(outputs, PLAN)
    found = [*quality.measure(context), *fidelity.measure(context), *comparison.measure(context)]
    tokens = []
    for row in range(len(ids)):
        kept = np.flatnonzero(mask[row])
        for place in range(len(kept) - 1):
            logs = {}
            for role, array in scores.items():
                raw = array[row, kept[place]].astype(np.float64)
                logs[role] = raw - np.log(np.exp(raw).sum())
            ours, theirs, following = logs["version"], logs["parent"], ids[row, kept[place + 1]]
            shares = np.exp(theirs)
            middle = (np.exp(ours) + shares) / 2
            js = sum(float((np.exp(a) * (a - np.log(middle))).sum()) / 2 for a in (ours, theirs))
            losses = -ours[following], -theirs[following]
            right, same = ours.argmax() == following, ours.argmax() == theirs.argmax()
            tokens.append((place + 1, *losses, right, same, float((shares * (theirs - ours)).sum()), js))
    table = np.array(tokens, dtype=np.float64)
    for low, high in ((1, 10**6), (1, 32), (33, 64), (65, 128)):
        mean = table[(table[:, 0] >= low) & (table[:, 0] <= high)].mean(axis=0)[1:]
        expected = dict(
            zip(("token_accuracy", "top1_agreement", "kl_divergence", "js_divergence"), mean[2:], strict=True)
        )
        expected |= {"perplexity": np.exp(mean[0]), "parent_perplexity": np.exp(mean[1])}
        where = () if high == 10**6 else (("context_tokens", f"{low}-{high}"),)
        for metric, number in expected.items():
            (entry,) = (m for d in found for m in d.measurements if (m.metric, tuple(m.slice)) == (metric, where))
            assert value(entry) == pytest.approx(number, rel=1e-6), (metric, where)
    lost = by_name(found)["token_nll_difference"]
    assert value(lost) == pytest.approx(table[:, 1].mean() - table[:, 2].mean(), rel=1e-5)
    perplexities = (value(by_name(found)[name]) for name in ("perplexity", "parent_perplexity"))
    assert value(lost) == pytest.approx(float(-np.subtract(*np.log(list(perplexities))[::-1])), rel=1e-9)


def test_a_text_with_nothing_to_predict_counts_for_nothing() -> None:
    scores, ids, mask = drawn(rows=6)
    short = mask.copy()
    short[0] = 0
    short[0, 0] = 1  # one token
    documents = []
    for given in (mask[1:], short):
        feed = {"input_ids": ids[-len(given) :], "attention_mask": given}
        reduced = reduce_batch({role: array[-len(given) :] for role, array in scores.items()}, feed, PLAN)
        fields = {role: {name: field(rows) for name, rows in entry.items()} for role, entry in reduced.items()}
        documents.append(by_name(comparison.measure(answered.context(Outputs(fields), PLAN))))
    assert documents[0]["token_nll_difference"].value == pytest.approx(documents[1]["token_nll_difference"].value)


def test_a_loss_beyond_counting_has_no_perplexity_and_says_so() -> None:
    losses = np.full((12, 5), 4000.0, dtype=np.float32)
    fields = {"answer": Field(losses[:, :1]), "token_nll": Field(losses), "token_correct": Field(losses * 0)}
    found = by_name(quality.measure(answered.context(Outputs({"version": fields}), PLAN)))["perplexity"]
    assert (found.value, found.reason) == (None, "the mean loss is 4000 nats a token")


def test_inputs_that_could_both_be_the_tokens_are_not_guessed() -> None:
    scores, ids, mask = drawn(rows=3)
    feed = {"position_ids": ids, "tokens": ids, "attention_mask": mask}
    assert reduce_batch(scores, feed, PLAN)["version"]["token_nll"][0].size
    with pytest.raises(DataError, match="tokens, others could all be the token ids"):
        reduce_batch(scores, feed | {"others": ids}, PLAN)
