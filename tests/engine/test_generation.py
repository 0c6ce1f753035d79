"""What a further token costs a language model, with its cache and without, on a decoder with a real cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compression_engine.answers.outputs import ANSWER, VERSION, Field, Outputs
from compression_engine.data import Encoder, Rows
from compression_engine.measure import timing
from compression_engine.measure.context import Context
from compression_engine.measure.generation import context_of, step_with_cache
from compression_engine.plan import Plan
from compression_engine.runtime import Model
from tests.engine import characters, nets

EMPTY = Outputs({VERSION: {ANSWER: Field(np.zeros((1, 1)))}})
PLAN = Plan(task="language-model", output="logits")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return characters.export(characters.Decoder().eval(), tmp_path_factory.mktemp("decoder") / "model.onnx")


def rows(lengths: list[int]) -> Rows:
    ids = characters.texts(len(lengths), 0)
    mask = (np.arange(characters.LENGTH) < np.array(lengths)[:, None]).astype(np.int64)
    return Rows("sha256:" + "0" * 64, (), {"input_ids": ids * mask, "attention_mask": mask}, ())


def test_the_context_is_the_row_of_median_length_without_its_padding(decoder: Path) -> None:
    encoder = Encoder(rows([72, 9, 40]), Model(decoder, 1).inputs(), None, PLAN)
    context = context_of(encoder)
    assert context is not None
    feed, tokens = context
    assert tokens == 40
    assert feed["input_ids"].shape == feed["attention_mask"].shape == (1, 40)
    assert feed["attention_mask"].all()


def test_a_step_from_the_cache_gives_what_the_whole_text_gives(decoder: Path) -> None:
    model = Model(decoder, 1)
    ids = characters.texts(1, 0)
    encoder = Encoder(rows([72]), model.inputs(), None, PLAN)
    whole = encoder.batch([0])
    kept = step_with_cache(
        model, {name: array[:, :71] if array.ndim == 2 else array for name, array in whole.items()}, 71
    )
    assert kept is not None
    kept["input_ids"] = ids[:, 71:72]
    np.testing.assert_allclose(model.run(kept)[0][0, -1], model.run(whole)[0][0, -1], atol=1e-4)


def test_tokens_are_timed_with_and_without_the_cache_for_every_model(decoder: Path) -> None:
    models = {"version": Model(decoder, 1), "parent": Model(decoder, 1)}
    encoder = Encoder(rows([72] * 3), models["version"].inputs(), None, PLAN)
    (found,) = timing.measure(Context(EMPTY, PLAN, models=models, encoder=encoder, rounds=15))
    told = {(entry.metric, entry.slice): entry for entry in found.measurements}
    where = (("context_tokens", "72"),)
    for prefix in ("", "parent_"):
        without = told[f"{prefix}token_latency_p50_ms", (("cache", "without"), *where)]
        kept = told[f"{prefix}token_latency_p50_ms", (("cache", "with"), *where)]
        assert 0 < kept.value < without.value  # type: ignore[operator]
        assert told[f"{prefix}cache_latency_ratio", where].value < 1  # type: ignore[operator]
        assert told[f"{prefix}prefill_latency_p50_ms", where].value == without.value
    assert told["token_latency_ratio", (("cache", "with"), *where)].value == pytest.approx(1, abs=0.4)
    assert "after 72 tokens with a cache" in told["token_latency_p50_ms", (("cache", "with"), *where)].plain


def test_a_model_without_a_cache_says_so(tmp_path: Path) -> None:
    net = nets.encoder()
    for entry in [*net.graph.input, *net.graph.node]:
        if getattr(entry, "name", "") == "ids":
            entry.name = "input_ids"
        if hasattr(entry, "input") and "ids" in entry.input:
            entry.input[list(entry.input).index("ids")] = "input_ids"
    model = Model(nets.save(net, tmp_path), 1)
    ids = np.zeros((3, 6), dtype=np.int64)
    encoder = Encoder(Rows("sha256:" + "0" * 64, (), {"input_ids": ids}, ()), model.inputs(), None, PLAN)
    (found,) = timing.measure(Context(EMPTY, PLAN, models={"version": model}, encoder=encoder, rounds=3))
    figures = {dict(e.slice).get("cache"): e for e in found.measurements if e.metric == "token_latency_p50_ms"}
    assert figures["without"].value is not None
    assert figures["with"].value is None
    assert "no inputs past_key_values" in (figures["with"].reason or "")
