"""The pure rules of this room: why an engine did not succeed, when a run is spoken of again, what a recipe means."""

from __future__ import annotations

import datetime
import signal

import pytest

from compression_engine.methods import METHODS
from compression_engine.recipe import Recipe, Step
from registry.catalog.edges import OPERATIONS
from registry.compression import rules

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def seconds(n: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=n)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_of_the_engine_is_an_operation_of_the_vocabulary(method: str) -> None:
    assert set(rules.operations(Recipe("r", (Step(method),)))) <= set(OPERATIONS)


def test_operations_keep_the_order_of_the_steps() -> None:
    recipe = Recipe("r", (Step("quantize_dynamic"), Step("quantize_weights")))
    assert rules.operations(recipe) == ["quantized", "quantized"]


def test_a_misfit_names_step_method_and_format() -> None:
    recipe = Recipe("r", (Step("quantize_weights"),))
    assert rules.misfits(recipe, "onnx") == []
    assert rules.misfits(recipe, "pt2") == ["Step 1, quantize_weights, takes onnx or safetensors; the parent is pt2."]


@pytest.mark.parametrize(
    ("exit_code", "line", "said", "code"),
    [
        (1, {"type": "error", "code": "output_not_smaller", "message": "m", "hint": "h"}, "", "output_not_smaller"),
        (1, {"type": "error", "code": "Not A Code!", "message": "m"}, "", "engine_error"),
        (1, {"type": "error", "code": "internal", "message": "x"}, "MemoryError", "out_of_memory"),
        (1, {"type": "error", "code": "output_does_not_run", "message": "std::bad_alloc"}, "", "out_of_memory"),
        (1, {"type": "error", "code": "nothing_to_compress", "message": "m"}, "MemoryError", "nothing_to_compress"),
        (-signal.SIGABRT, None, "terminate called: std::bad_alloc", "out_of_memory"),
        (-signal.SIGSEGV, None, "", "engine_crashed"),
        (-signal.SIGKILL, {"type": "progress"}, "", "killed"),
        (-signal.SIGXCPU, None, "", "time_limit"),
        (-99, None, "", "engine_crashed"),
        (2, None, "usage: ...", "wrong_call"),
        (0, None, "", "no_result"),
        (0, {"type": "progress"}, "", "no_result"),
    ],
)
def test_however_the_engine_ends_there_is_a_code_a_cause_and_a_remedy(
    exit_code: int, line: dict[str, object] | None, said: str, code: str
) -> None:
    failure = rules.failure_of(exit_code, line, said)
    assert failure.code == code
    assert failure.message
    if line is None or line.get("type") != "error" or code == "out_of_memory":
        assert failure.hint


def test_words_of_the_engine_become_text_that_every_database_takes() -> None:
    failure = rules.Failure("x", "a\x00b\ud800c\nd" + "e" * 9000, "hint\r\n")
    assert failure.text.startswith("a b c d")
    assert len(failure.text) < 4100
    failure.text.encode()
    assert "\x00" not in failure.text


@pytest.mark.parametrize(
    ("waits", "woken", "due"),
    [(0, None, True), (10, 10, False), (10, 29, False), (10, 30, True), (400, 99, False), (400, 100, True),
     (9000, 299, False), (9000, 300, True)],
)  # fmt: skip
def test_a_waiting_run_is_spoken_of_less_often_the_longer_it_waits(
    waits: float, woken: float | None, due: bool
) -> None:
    at = None if woken is None else NOW - seconds(woken)
    assert rules.due_again(NOW - seconds(waits), at, NOW) is due


def test_a_list_of_names_is_told_by_its_first_three() -> None:
    assert rules.parameter_text(["a", "b", "c"]) == "a, b, c"
    assert rules.parameter_text(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert rules.parameter_text(8) == "8"
    assert [rules.parameter_text(value) for value in (True, False, [])] == ["true", "false", "none"]
