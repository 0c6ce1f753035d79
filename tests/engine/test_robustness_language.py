"""Robustness of causal language models: texts are damaged before the tokenizer, and the damage is held against the parent's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from compression_engine.data import Encoder, Rows
from compression_engine.evaluation import Beside, Settings, evaluate
from compression_engine.measure import language, robustness
from compression_engine.measure.context import Context, Found
from compression_engine.measure.corruptions import text
from compression_engine.measure.running import answered
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from tests.engine import characters

PLAN = Plan(task="language-model", output="logits", max_tokens=characters.LENGTH, measures=("robustness",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent, a child that is a little off and one that is lost, a tokenizer of characters, and texts."""
    made = tmp_path_factory.mktemp("characters")
    model = characters.trained()
    characters.export(model, made / "parent.onnx")
    for name, size in (("child", 0.05), ("lost", 2.0)):
        characters.export(characters.noisy(model, size), made / f"{name}.onnx")
    tokenizer(made / "tokenizer.json")
    lines = (json.dumps({"text": row}) for row in texts())
    (made / "rows.jsonl").write_text("\n".join(lines))
    return made


def tokenizer(path: Path) -> None:
    """One token a character; what is not in the alphabet is a space."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(characters.ALPHABET)}, unk_token=" "))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.save(str(path))


def texts() -> list[str]:
    rows = characters.texts(30, 0)
    return ["".join(characters.ALPHABET[number] for number in row[: 72 - 9 * (i % 3)]) for i, row in enumerate(rows)]


def context(folder: Path, **roles: str) -> Context:
    paths = {role: folder / f"{name}.onnx" for role, name in roles.items()}
    models = {role: Model(path, 1) for role, path in paths.items()}
    rows = Rows("sha256:" + "0" * 64, tuple(texts()), {}, ())
    encoder = Encoder(rows, models["version"].inputs(), folder / "tokenizer.json", PLAN)
    outputs = answered(models, encoder, PLAN)
    return Context(outputs, PLAN, 1, models=models, paths=paths, encoder=encoder)


def overall(found: Found) -> dict[str, Measurement]:
    return {entry.metric: entry for entry in found.measurements if not entry.slice}


def value(figure: Measurement) -> float:
    assert figure.value is not None
    return figure.value


def test_damage_costs_nats_and_first_choices_beyond_what_it_costs_the_parent(folder: Path) -> None:
    given = context(folder, version="child", parent="parent", incumbent="lost")
    own, beside = robustness.measure(given)
    assert (own.kind, beside.kind) == ("robustness", "robustness-incumbent")
    figures = overall(own)
    loss, clean = figures["token_nll"], figures["clean_token_nll"]
    assert loss.unit == "nat"
    assert value(loss) > value(clean) > 0
    assert value(figures["token_nll_loss"]) == pytest.approx(value(loss) - value(clean))
    assert value(figures["token_nll_excess_loss"]) == pytest.approx(
        value(figures["token_nll_loss"])
        - (value(figures["parent_token_nll"]) - value(figures["parent_clean_token_nll"]))
    )
    assert f"perplexity {np.exp(value(loss)):.4g}" in loss.plain
    agreement = figures["next_token_agreement"]
    assert 0.5 < value(agreement) < 1
    assert value(figures["clean_next_token_agreement"]) - value(agreement) == pytest.approx(
        value(figures["next_token_agreement_loss"])
    )
    assert value(overall(beside)["token_nll_difference"]) < -0.1, "the child is far better than the lost incumbent"
    assert value(overall(beside)["next_token_agreement"]) < value(agreement)
    kinds = {dict(entry.slice).get("corruption") for entry in own.measurements} - {None}
    assert kinds == set(text.CORRUPTIONS)


def test_the_figures_are_those_of_the_damaged_texts_themselves(folder: Path) -> None:
    given = context(folder, version="child", parent="parent")
    found = robustness.measure(given)[0]
    where = (("corruption", "upper_case"), ("severity", "5"))
    told = next(entry for entry in found.measurements if (entry.metric, entry.slice) == ("token_nll", where))
    assert given.encoder is not None
    upper = given.encoder.with_rows(Rows("", tuple(row.upper() for row in texts()), {}, ()))
    outputs = answered(given.models, upper, PLAN)
    sums, counts = language.tokens_of(outputs.models["version"]["token_nll"]).sums(None)
    assert value(told) == pytest.approx(float((sums / counts).mean()), rel=1e-6)


def test_a_model_against_itself_agrees_under_any_damage(folder: Path) -> None:
    figures = robustness.measure(context(folder, version="child", parent="child"))[0].measurements
    assert {entry.value for entry in figures if entry.metric.endswith("next_token_agreement")} == {1.0}
    assert {entry.value for entry in figures if entry.metric == "token_nll_excess_loss"} == {0.0}


def test_rows_of_token_numbers_cannot_be_damaged_and_that_is_said(folder: Path) -> None:
    model = Model(folder / "parent.onnx", 1)
    ids = characters.texts(6, 0)
    encoder = Encoder(
        Rows("", (), {"input_ids": ids, "attention_mask": np.ones_like(ids)}, ()), model.inputs(), None, PLAN
    )
    outputs = answered({"version": model}, encoder, PLAN)
    (found,) = robustness.measure(Context(outputs, PLAN, models={"version": model}, encoder=encoder))
    assert [entry.value for entry in found.measurements] == [None]
    assert "no texts" in str(found.measurements[0].reason)


def test_a_whole_evaluation_goes_on_at_the_damage_that_was_not_answered_yet(folder: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def killed(stage: str, done: int, total: int, message: str) -> None:
        if stage == "robustness" and done == 20:
            raise Killed

    def run(progress: object = None, work: Path | None = None) -> bytes:
        more = {} if progress is None else {"progress": progress}
        result = evaluate(
            folder / "child.onnx", data=folder / "rows.jsonl", parent=folder / "parent.onnx", plan=PLAN,
            beside=Beside(work=work), settings=Settings(rounds=3, memory_repeats=1), **more,  # type: ignore[arg-type]
        )  # fmt: skip
        return json.dumps([entry.entry() for entry in result.evidence], sort_keys=True).encode()

    work = tmp_path / "work"
    with pytest.raises(Killed):
        run(killed, work)
    kept = {path: path.stat().st_mtime_ns for path in (work / "stages").iterdir()}
    assert len(kept) == 20
    again = run(None, work)
    assert again == run()
    assert len(list((work / "stages").iterdir())) == 5 * len(text.CORRUPTIONS)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing that was answered is answered again"
