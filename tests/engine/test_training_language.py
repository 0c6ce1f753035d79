"""Language models are trained by tokens: what counts is every token alike, and padding not at all."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from compression_engine.plan import Plan
from compression_engine.progress import silent
from compression_engine.training.lesson import lesson
from compression_engine.training.loop import fit
from compression_engine.training.material import Training
from compression_engine.training.moving import Mover
from compression_engine.training.schedule import Schedule
from tests.engine import characters, nets

PLAN = Plan(task="language-model")
WIDTH, HEADS = 32, 4
QUICK: dict[str, Any] = {"batch_size": 8, "learning_rate_per_million": 6_000}
ROWS, WORDS = 160, 12


def passages(junk: int = 0) -> dict[str, nets.Array]:
    """Passages of 6 to 72 characters with anything behind them, which the mask says is none of theirs."""
    draw, length = np.random.default_rng(0), characters.LENGTH
    mask = (np.arange(length) < draw.integers(6, length + 1, ROWS)[:, None]).astype(np.int64)
    anything = np.random.default_rng(junk).integers(0, len(characters.ALPHABET), mask.shape)
    return {"input_ids": np.where(mask == 1, characters.texts(ROWS, 600), anything), "attention_mask": mask}


@cache
def untaught() -> bytes:
    """A decoder with a cache, drawn at random."""
    import tempfile

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        return characters.export(characters.Decoder().eval(), Path(folder) / "model.onnx").read_bytes()


def handed(folder: Path, parent: onnx.ModelProto, arrays: dict[str, nets.Array]) -> Training:
    folder.mkdir(parents=True, exist_ok=True)
    path = nets.save_rows(arrays, folder / "rows.npz")
    return Training.of(path, PLAN, None, seed=3, parent=nets.save(parent, folder))


def losses(model: onnx.ModelProto, arrays: dict[str, nets.Array]) -> nets.Array:
    """The loss of each token that is judged, in nats."""
    ids, mask = arrays["input_ids"], arrays["attention_mask"]
    empty = np.zeros((len(ids), HEADS, 0, WIDTH // HEADS), np.float32)
    cached = dict.fromkeys(("past_key_values.0.key", "past_key_values.0.value"), empty)
    logits = nets.answer(model, {"input_ids": ids, "attention_mask": mask} | cached)[0][:, :-1].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    each = -np.take_along_axis(logs, ids[:, 1:, None], 2)[..., 0]
    return np.asarray(each[(mask[:, 1:] * mask[:, :-1]) == 1])


def perplexity(model: onnx.ModelProto) -> float:
    """On passages that nothing was trained on."""
    ids = characters.texts(60, 900)
    return float(np.exp(losses(model, {"input_ids": ids, "attention_mask": np.ones_like(ids)}).mean()))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The decoder after fine_tune."""
    net = onnx.ModelProto.FromString(untaught())
    training = handed(tmp_path_factory.mktemp("taught"), net, passages())
    return nets.applied(net, "fine_tune", training, **(QUICK | {"epochs": 4}))[0]


def test_perplexity_falls_on_passages_that_were_not_learned(taught: onnx.ModelProto) -> None:
    before, after = perplexity(onnx.ModelProto.FromString(untaught())), perplexity(taught)
    assert after < 0.45 * before  # 49 and 17 where it was written


def test_a_narrower_decoder_learns_from_the_whole_one_by_its_likeliest_tokens(
    taught: onnx.ModelProto, tmp_path: Path
) -> None:
    asked = QUICK | {"layers_kept_per_mille": 1000, "width_per_mille": 250}
    training = handed(tmp_path, taught, passages())
    bare, made = (
        nets.applied(taught, "distill", training, **(asked | given))[0]
        for given in ({"epochs": 1, "learning_rate_per_million": 1}, {"epochs": 7})
    )
    sizes = {tensor.name: tuple(tensor.dims) for tensor in made.graph.initializer}
    assert sizes["words.weight"] == (len(characters.ALPHABET), WIDTH // 4)
    assert perplexity(made) < 0.97 * perplexity(bare)  # 17.1 and 18.2 where it was written


def test_the_validation_is_the_mean_over_all_held_out_tokens(tmp_path: Path) -> None:
    net, arrays = onnx.ModelProto.FromString(untaught()), passages()
    training = handed(tmp_path, net, arrays)
    _, report = nets.applied(net, "fine_tune", training, **(QUICK | {"epochs": 1}))
    rows = training.parts(net, labelled=True).validation
    right = losses(net, {name: array[rows] for name, array in arrays.items()})
    assert float(report.training[0]["points"][0]["validation"]) == pytest.approx(right.mean(), rel=1e-5)


def test_what_stands_at_padding_changes_neither_loss_nor_gradient(tmp_path: Path) -> None:
    net = onnx.ModelProto.FromString(untaught())
    other = torch.from_numpy(passages(junk=1)["input_ids"])
    found = []
    with lesson(net, handed(tmp_path, net, passages()), "labels", progress=silent) as given:
        batch = given.parts.batch(given.parts.learning[:16])
        for ids in (batch.feed["input_ids"], other[batch.rows]):
            given.network.zero_grad()
            some = replace(batch, feed={**batch.feed, "input_ids": ids})
            loss = given.loss(given.network(some.feed), some)
            loss.backward()
            found.append((float(loss.detach()), [weight.grad.clone() for weight in given.network.weights.values()]))
    assert not torch.equal(batch.feed["input_ids"], other[batch.rows])
    assert found[0][0] == found[1][0]
    for one, another in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, another, rtol=0, atol=1e-7)


def pairs(fixed: int | None) -> onnx.ModelProto:
    """input_ids, attention_mask [n, 8] -> logits [n, 8, words], each from its own word; `fixed` is the first dimension."""
    draw, rows = np.random.default_rng(4), fixed or "n"
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["e"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["column"]),
        helper.make_node("Mul", ["e", "column"], ["real"]),
        helper.make_node("MatMul", ["real", "head"], ["logits"]),
    ]
    tensors = {
        "words": draw.normal(size=(WORDS, 6)).astype(np.float32),
        "head": draw.normal(size=(6, WORDS)).astype(np.float32),
        "last": np.array([2]),
    }
    ports: Any = {name: (TensorProto.INT64, [rows, 8]) for name in ("input_ids", "attention_mask")}
    return nets.model(nodes, tensors, ports, {"logits": (TensorProto.FLOAT, [rows, 8, WORDS])})


def test_a_model_of_fixed_rows_moves_by_every_token_alike_however_its_batches_are_cut(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    mask = (np.arange(8) < draw.integers(2, 9, 40)[:, None]).astype(np.int64)
    arrays = {"input_ids": draw.integers(0, WORDS, (40, 8)), "attention_mask": mask}
    asked = {"epochs": 1, "batch_size": 12, "optimiser": "sgd", "learning_rate_per_million": 1_000_000}
    made = []
    for fixed in (None, 3):
        net = pairs(fixed)
        changed, report = nets.applied(net, "fine_tune", handed(tmp_path / str(fixed), net, arrays), **asked)
        assert report.training[0]["best_epoch"] == 1
        made.append({tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in changed.graph.initializer})
    np.testing.assert_allclose(made[0]["head"], made[1]["head"], atol=1e-5)
    np.testing.assert_allclose(made[0]["words"], made[1]["words"], atol=1e-5)


def test_the_gradient_of_an_update_is_that_of_the_mean_over_its_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(1)
    mask = (np.arange(8) < draw.integers(2, 9, 40)[:, None]).astype(np.int64)
    arrays = {"input_ids": draw.integers(0, WORDS, (40, 8)), "attention_mask": mask}
    found: list[torch.Tensor] = []
    net = pairs(None)
    with lesson(net, handed(tmp_path, net, arrays), "labels", progress=silent) as given:
        batch, head = given.parts.batch(given.parts.learning), given.network.weights["head"]
        given.loss(given.network(batch.feed), batch).backward()
        wanted = head.grad.clone()
        monkeypatch.setattr(Mover, "move", lambda mover, rate: found.append(head.grad.clone()))
        schedule = Schedule(epochs=1, batch_size=len(batch.rows), learning_rate=1e-3)
        fit(given.network, given.parts, given.loss, schedule, progress=silent)
    torch.testing.assert_close(found[0], wanted)
