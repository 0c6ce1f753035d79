"""A teacher's answers: kept once or given anew, in the rows' order, without padding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import EngineError
from compression_engine.plan import Plan
from compression_engine.training.losses import EMBEDDING, LIKELIEST, NUMBERS, PLACES, TOKENS, Answer, answers_of
from compression_engine.training.material import Parts, Training
from compression_engine.training.teacher import check_fits, teaching
from tests.engine import learning, nets

WORDS = ["[PAD]", "[UNK]", *(f"w{number}" for number in range(20))]


def tokenizer(folder: Path, words: list[str] = WORDS) -> Path:
    """A tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def reader(*, each_token: bool) -> onnx.ModelProto:
    """input_ids, attention_mask -> y: a vector for each token, or their masked sum."""
    nodes = [helper.make_node("Gather", ["words", "input_ids"], ["e"])]
    shape: list[Any] = ["n", "t", 4]
    if each_token:
        nodes.append(helper.make_node("Relu", ["e"], ["y"]))
    else:
        shape = ["n", 4]
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["m", "axis"], ["column"]),
            helper.make_node("Mul", ["e", "column"], ["real"]),
            helper.make_node("ReduceSum", ["real", "places"], ["y"], keepdims=0),
        ]
    tensors = {"words": nets.weights(len(WORDS), 4, seed=3)}
    if not each_token:
        tensors |= {"axis": np.array([2]), "places": np.array([1])}
    ports = {name: (TensorProto.INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")}
    return nets.model(nodes, tensors, ports, {"y": (TensorProto.FLOAT, shape)})


def parts(folder: Path, model: onnx.ModelProto, plan: Plan | None = None, **changes: Any) -> Parts:
    """Texts of 1 to 9 words, and the model as the parent with a tokenizer beside it."""
    draw = np.random.default_rng(2)
    texts = [" ".join(f"w{word}" for word in draw.integers(0, 20, 1 + number % 9)) for number in range(60)]
    lines = folder / "rows.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    path = nets.save(model, folder)
    training = Training.of(lines, plan or Plan(max_tokens=8), tokenizer(folder), seed=1, parent=path)
    return replace(training, **changes).parts(model, labelled=False)


ROWS = np.array([41, 3, 17, 8])


@pytest.mark.parametrize("each_token", [True, False])
@pytest.mark.parametrize("most", [0, 2**30])
def test_answers_are_those_of_the_rows_that_are_asked_for(each_token: bool, most: int, tmp_path: Path) -> None:
    model = reader(each_token=each_token)
    given = parts(tmp_path, model)
    answers = [Answer("y", NUMBERS if each_token else EMBEDDING)]
    with teaching(given, model, answers, stored_bytes_most=most) as taught:
        found = taught(ROWS)["y"].numpy()
    feed = given.encoder.batch(ROWS.tolist())
    right = nets.answer(model, feed)[0]
    if each_token:
        right = right * feed["attention_mask"][..., None]
    np.testing.assert_allclose(found, right, atol=1e-6)


def test_a_teacher_is_asked_once_and_only_when_an_answer_is_wanted(tmp_path: Path) -> None:
    model, told = reader(each_token=False), []
    given = parts(tmp_path, model)
    with teaching(given, model, [Answer("y", EMBEDDING)], progress=lambda *line: told.append(line)) as taught:
        assert told == []
        first = taught(ROWS)["y"]
        assert [line[0] for line in told] == ["teach"]
        assert torch.equal(taught(ROWS)["y"], first)
        assert len(told) == 1


@pytest.mark.parametrize("most", [0, 2**30])
def test_answers_stand_where_the_tokens_of_arrays_stand(most: int, tmp_path: Path) -> None:
    """Padded in front, and no row as long as the arrays are wide."""
    lengths = np.arange(60) % 4 + 1
    mask = (np.arange(6) >= 6 - lengths[:, None]).astype(np.int64)
    arrays = {"input_ids": np.arange(360).reshape(60, 6) % 20 * mask, "attention_mask": mask}
    model = reader(each_token=True)
    given = learning.handed(tmp_path, arrays, Plan()).parts(model, labelled=False)
    with teaching(given, model, [Answer("y", NUMBERS)], stored_bytes_most=most) as taught:
        found = taught(ROWS)["y"].numpy()
    wanted = nets.answer(model, {name: array[ROWS] for name, array in arrays.items()})[0]
    np.testing.assert_allclose(found, wanted * mask[ROWS][..., None], atol=1e-6)


def test_tensors_inside_the_teacher_are_kept_as_short_floats(tmp_path: Path) -> None:
    model = reader(each_token=False)
    given = parts(tmp_path, model)
    with teaching(given, model, [Answer("y", EMBEDDING)], taps=["real"]) as taught:
        found = taught(ROWS)
    assert found["real"].dtype == torch.float16
    summed = found["real"].float().sum(1)
    np.testing.assert_allclose(summed.numpy(), found["y"].numpy(), atol=2e-2)


def test_of_tokens_the_likeliest_are_kept_at_the_temperature(tmp_path: Path) -> None:
    model = reader(each_token=True)
    given = parts(tmp_path, model)
    with teaching(given, model, [Answer("y", TOKENS)], temperature=3.0) as taught:
        found = taught(ROWS)
    logits = torch.from_numpy(nets.answer(model, given.encoder.batch(ROWS.tolist()))[0])
    right = (logits / 3.0).log_softmax(-1)
    logs, places = found[f"y{LIKELIEST}"], found[f"y{PLACES}"]
    assert torch.allclose(logs[0, 0], right[0, 0].gather(0, places[0, 0].long()), atol=1e-5)
    assert (logs[0, 0].diff() <= 0).all()


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_of_tokens_probabilities_are_kept_as_their_scores_are(operator: str, tmp_path: Path) -> None:
    plain = reader(each_token=True)
    ended = onnx.ModelProto()
    ended.CopyFrom(plain)
    ended.graph.node[-1].output[0] = "scores"
    ended.graph.node.append(helper.make_node(operator, ["scores"], ["y"], axis=-1))
    found = []
    for name, model in (("plain", plain), ("ended", ended)):
        answers = answers_of(model, Plan(task="language-model", output="y"), "y")
        with teaching(parts(tmp_path / name, model), model, answers, temperature=3.0) as taught:
            found.append(taught(ROWS)[f"y{LIKELIEST}"])
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_a_teacher_reads_texts_by_its_own_tokenizer(tmp_path: Path) -> None:
    model = reader(each_token=False)
    tokenizer(tmp_path / "other", [*WORDS[:2], *reversed(WORDS[2:])])
    other = nets.save(model, tmp_path / "other")
    given = parts(tmp_path / "own", model, teacher=other)
    with teaching(given, model, [Answer("y", EMBEDDING)]) as taught:
        found = taught(ROWS)["y"].numpy()
    feed = given.encoder.batch(ROWS.tolist())
    swapped = np.where(feed["input_ids"] > 1, len(WORDS) + 1 - feed["input_ids"], feed["input_ids"])
    np.testing.assert_allclose(found, nets.answer(model, feed | {"input_ids": swapped})[0], atol=1e-6)


def test_tokens_of_another_tokenizer_cannot_be_learned_one_by_one(tmp_path: Path) -> None:
    model = reader(each_token=True)
    tokenizer(tmp_path / "other", WORDS[:10])
    other = nets.save(model, tmp_path / "other")
    given = parts(tmp_path / "own", model, teacher=other)
    with (
        pytest.raises(EngineError, match="tokenizer is another one") as caught,
        teaching(given, model, [Answer("y", NUMBERS)]),
    ):
        pass
    assert caught.value.code == "teacher_does_not_fit"


def test_nothing_of_the_answers_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    model = reader(each_token=False)
    given = parts(tmp_path / "own", model)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with teaching(given, model, [Answer("y", EMBEDDING)]) as taught:
        assert any(scratch.iterdir())
        taught(ROWS)
    assert not any(scratch.iterdir())


@pytest.mark.parametrize("most", [0, 2**30])
def test_a_teacher_that_answers_no_number_is_told_with_the_row(most: int, tmp_path: Path) -> None:
    model = reader(each_token=False)
    given = parts(tmp_path, model)
    words = numpy_helper.to_array(model.graph.initializer[0]).copy()
    words[WORDS.index("w5")] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(words, "words"))
    with (
        pytest.raises(EngineError, match=r"answers line \d+ with NaN or infinity in 'y'") as refused,
        teaching(given, model, [Answer("y", EMBEDDING)], stored_bytes_most=most) as taught,
    ):
        taught(np.arange(60))
    assert refused.value.code == "teacher_does_not_fit"


def test_a_teacher_that_answers_with_choices_instead_of_scores_is_refused() -> None:
    model = reader(each_token=False)
    chooser = onnx.ModelProto.FromString(model.SerializeToString())
    chooser.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    with pytest.raises(EngineError, match="floats are learned") as refused:
        check_fits(model, chooser, [Answer("y", NUMBERS)])
    assert refused.value.code == "teacher_does_not_fit"
    check_fits(model, model, [Answer("y", NUMBERS)])
