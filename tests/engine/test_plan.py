"""Evaluation plans: what is accepted, what is refused and why, and what a digest stands for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import jsonschema
import pytest

from compression_engine.errors import EngineError
from compression_engine.plan import MEASURE_NAMES, PLAN_TYPE, Plan, State, plan_schema


def draft(**changes: Any) -> dict[str, Any]:
    return {"type": "pressmark/evaluation_plan/1"} | changes


FULL = draft(
    task="classification",
    inputs=[{"name": "x", "column": "income"}, {"name": "x", "column": "age"}],
    label="approved",
    classes=["no", "yes"],
    slices=["race", "sex"],
    protected=["race"],
    favourable="yes",
    sequence="person",
    states=[{"input": "h0", "output": "h1"}],
    measures=["quality", "fairness"],
    batch_sizes=[1, 16],
    modality="tabular",
)


def test_a_draft_is_completed_with_every_default_and_obeys_its_schema() -> None:
    for source in (draft(), FULL):
        document = Plan.parse(source).document()
        jsonschema.validate(document, plan_schema())
        assert Plan.parse(document).document() == document
    assert Plan.parse(draft()) == Plan()
    assert set(plan_schema()["required"]) == set(Plan().document())
    assert tuple(plan_schema()["properties"]["measures"]["items"]["enum"]) == MEASURE_NAMES


def test_the_digest_does_not_depend_on_how_the_draft_was_spelled() -> None:
    full = Plan.parse(FULL)
    assert full.states == (State("h0", "h1"),)
    assert full.inputs == (("x", "income"), ("x", "age"))
    assert full.columns() == ("income", "age", "approved", "person", "race", "sex")
    assert Plan.parse(json.dumps(full.document(), indent=2)).digest() == full.digest()
    assert Plan.parse(full.canonical()) == full


def test_every_member_changes_the_digest() -> None:
    plans = [Plan.parse({name: value for name, value in FULL.items() if name in ("type", "task", "slices", "classes")})]
    for name, value in FULL.items():
        if name not in ("type", "task", "slices", "classes", "states"):
            plans.append(Plan.parse(plans[0].document() | {name: value}))
    assert len({plan.digest() for plan in plans}) == len(plans)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tasks": "none"}, "'tasks'"),
        ({"type": "pressmark/recipe/1"}, "pressmark/recipe/1"),
        ({"task": "guessing"}, "classification, regression"),
        ({"task": None}, "'task'"),
        ({"max_tokens": 0}, "1 to 1000000"),
        ({"max_tokens": True}, "'max_tokens'"),
        ({"label": "y"}, "task is 'none'"),
        ({"label": "y", "task": "language-model"}, "token that follows"),
        ({"label": ""}, "'label'"),
        ({"label": "a\nb"}, "'label'"),
        ({"inputs": [{"name": "x"}]}, "'name':..."),
        ({"inputs": [{"name": "x", "column": "a"}] * 2}, "twice"),
        ({"inputs": "x"}, "'inputs'"),
        ({"states": [{"input": "a", "output": "b"}]}, "'sequence'"),
        ({"slices": ["a", "a"]}, "'a' twice"),
        ({"slices": [3]}, "'slices'"),
        ({"protected": ["race"]}, "among 'slices'"),
        ({"blank": 0}, "task sequence"),
        ({"measures": ["luck"]}, "no measure 'luck'"),
        ({"batch_sizes": []}, "'batch_sizes'"),
        ({"batch_sizes": [1, 1]}, "'batch_sizes'"),
        ({"thread_counts": [1000]}, "1 to 256"),
        ({"classes": ["a"], "favourable": "b"}, "'b'"),
        ({"text": "t", "inputs": [{"name": "x", "column": "a"}]}, "keep one"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(EngineError) as refused:
        Plan.parse(draft(**changes))
    assert refused.value.code == "plan_invalid"
    assert named in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("source", [b"", b"[]", b"\xff", b'{"type":1.5}', "\ud800", b'{"type":"a","type":"a"}', b"3"])
def test_what_is_no_plan_is_refused(source: bytes | str) -> None:
    with pytest.raises(EngineError) as refused:
        Plan.parse(source)
    assert refused.value.code == "plan_invalid"


@pytest.mark.parametrize(
    "given",
    [
        {"task": "x" * 5000}, {"x" * 5000: 1}, {"type": "x" * 5000}, {"measures": ["x" * 5000]}, {"max_tokens": [[0] * 5000]},
        {"slices": ["a" * 200] * 2}, {"label": {"x" * 5000: 1}},
    ],
)  # fmt: skip
def test_an_error_repeats_no_more_of_a_wrong_value_than_fits_a_line(given: dict[str, Any]) -> None:
    with pytest.raises(EngineError) as refused:
        Plan.parse({"type": PLAN_TYPE, **given})
    assert len(refused.value.message) < 300


LONG = {letter: letter * 5000 for letter in "x59"}


@pytest.mark.parametrize(
    "text", [f'{{"{LONG["x"]}":1,"{LONG["x"]}":2}}', f'{{"seed":1.{LONG["5"]}}}', f'{{"seed":{LONG["9"]}}}']
)
def test_a_text_that_cannot_be_read_is_told_in_a_line(text: str) -> None:
    with pytest.raises(EngineError, match="cannot be read") as refused:
        Plan.parse(text)
    assert len(refused.value.message) < 320


def test_a_plan_without_its_type_is_told_what_to_write() -> None:
    with pytest.raises(EngineError, match="does not say its type") as refused:
        Plan.parse('{"task":"classification"}')
    assert '"type": "pressmark/evaluation_plan/1"' in refused.value.hint
    with pytest.raises(EngineError, match="'pressmark/recipe/1'"):
        Plan.parse('{"type":"pressmark/recipe/1"}')


def test_a_plan_needs_the_standard_library_only() -> None:
    code = (
        "import sys; from compression_engine.plan import Plan; Plan().digest(); "
        "print([m for m in ('numpy', 'onnx', 'onnxruntime', 'django') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_state_that_is_fed_from_two_outputs_is_refused() -> None:
    states = [{"input": "h", "output": "a"}, {"input": "h", "output": "b"}]
    with pytest.raises(EngineError, match="feeds 'h' from two outputs"):
        Plan.parse({"type": PLAN_TYPE, "sequence": "s", "states": states})


def test_a_name_that_stands_twice_among_very_many_is_found_at_once() -> None:
    names = [str(number) for number in range(99_999)]
    began = time.process_time()
    with pytest.raises(EngineError, match="'classes' names '99998' twice"):
        Plan.parse({"type": PLAN_TYPE, "classes": [*names, names[-1]]})
    assert time.process_time() - began < 5  # looked for one by one it took minutes
