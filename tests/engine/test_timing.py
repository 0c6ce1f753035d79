"""Timing: what is twice as fast is measured so, load is not mistaken for slowness, every setting of the plan has its figures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.outputs import ANSWER, VERSION, Field, Outputs
from compression_engine.data import Encoder, Feed, read_rows
from compression_engine.measure import timing, timing_figures
from compression_engine.measure.context import Context
from compression_engine.measure.opening import Opener
from compression_engine.measure.processor_clock import processor_clock, step_of
from compression_engine.measure.rounds import Budget, Call, Turns, _Table, _Turn, paired_interval, run_in_turns
from compression_engine.measure.timing_figures import _processor_ratio
from compression_engine.plan import Plan
from compression_engine.progress import silent
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from tests.engine import nets

EMPTY = Outputs({VERSION: {ANSWER: Field(np.zeros((1, 1)))}})


class Sleeper(Model):
    """A model that takes a known time longer."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(path, 1)
        self.seconds = seconds

    def run(self, feed: Feed) -> list[np.ndarray]:
        time.sleep(self.seconds)
        return super().run(feed)


@pytest.fixture
def encoder(mlp_folder: Path) -> Encoder:
    return Encoder(read_rows(mlp_folder / "rows.npz"), Model(mlp_folder / "model.onnx", 1).inputs(), None)


def by_name(found: list[Measurement]) -> dict[str, Measurement]:
    return {entry.metric: entry for entry in found}


def test_a_model_that_takes_half_the_time_is_measured_so(mlp_folder: Path, encoder: Encoder) -> None:
    path = mlp_folder / "model.onnx"
    fast, slow = Sleeper(path, 0.05), Sleeper(path, 0.1)  # long beside what a busy machine adds
    models = {"version": fast, "parent": slow, "incumbent": fast}
    setting = timing.Setting(1, 1)
    found = by_name(timing.measure_setting(models, {}, encoder, setting, Budget(12, 0.3), 1, silent))
    ratio = found["latency_ratio"]
    assert ratio.value == pytest.approx(0.5, abs=0.12)
    assert 6 <= ratio.n <= 12  # rounds that something else disturbed do not count
    assert None not in (ratio.low, ratio.high)
    assert ratio.low <= ratio.value <= ratio.high  # type: ignore[operator]
    assert "faster than the original" in ratio.plain
    assert 50 <= found["latency_p50_ms"].value < 75  # type: ignore[operator]
    assert found["incumbent_latency_ratio"].value == pytest.approx(1, abs=0.3)
    assert found["throughput_per_second"].value == pytest.approx(1000 / found["latency_p50_ms"].value)  # type: ignore[operator]
    assert found["latency_p99_ms"].high is None
    assert "do not bound" in (found["latency_p99_ms"].reason or "")


def test_processor_time_is_what_is_burnt_and_not_what_is_waited(mlp_folder: Path, encoder: Encoder) -> None:
    sleeper = Sleeper(mlp_folder / "model.onnx", 0.005)
    found = by_name(timing.measure_latency(sleeper, None, encoder, 5, 1, silent))
    assert found["cpu_time_ms"].value < 2 < 5 <= found["latency_p50_ms"].value  # type: ignore[operator]


def turns(rows: list[tuple[float, float, int, int]]) -> list[Turns]:
    """Turns of one thing from (wall, processor, times the processor was taken away, times it waited)."""
    return _Table([[_Turn([wall], processor, taken, waited)] for wall, processor, taken, waited in rows]).turns()


def test_time_that_went_to_other_programs_is_not_held_against_a_model() -> None:
    calm, lost = (0.010, 0.010, 0, 0), (0.034, 0.011, 3, 0)
    (found,) = turns([calm] * 6 + [lost] * 4)
    assert found.undisturbed.tolist() == pytest.approx([0.010] * 6 + [0.011] * 4)
    assert found.lost_share == pytest.approx(0.4)
    assert found.quantile(0.95)[0] == pytest.approx(0.034)  # what happened stays in the quantiles


def test_a_turn_too_short_for_the_processors_clock_counts_by_the_wall() -> None:
    (found,) = turns([(0.010, 0.010, 0, 0), (0.012, 0.0, 1, 0)])
    assert found.undisturbed.tolist() == pytest.approx([0.010, 0.012])


def test_what_waits_by_itself_is_stretched_as_its_calm_turns_are() -> None:
    calm, lost = (0.010, 0.005, 0, 2), (0.050, 0.006, 1, 2)
    (found,) = turns([calm] * 6 + [lost] * 2)
    assert found.undisturbed.tolist() == pytest.approx([0.010] * 6 + [0.012] * 2)


def test_rounds_go_on_until_the_answer_is_known_or_the_budget_is_spent() -> None:
    steady = run_in_turns(lambda: [lambda: sum(range(2000)), lambda: sum(range(2000))], Budget(25, 30))
    assert 368 <= len(steady[0].calls) <= 500
    slow = run_in_turns(lambda: [lambda: time.sleep(0.002)], Budget(25, 0.2))
    assert 25 <= len(slow[0].calls) < 200
    assert len(run_in_turns(lambda: [lambda: None], Budget(24, 30))[0].calls) == 24


def test_the_interval_of_a_quantile_counts_a_turn_once_however_many_calls_it_had() -> None:
    values = np.repeat(np.arange(1.0, 61.0)[:, None], 50, axis=1)
    once = Turns(values[:, :1], values[:, 0], values[:, 0], 0.0).quantile(0.5)
    often = Turns(values, values[:, 0], values[:, 0], 0.0).quantile(0.5)
    assert often[1:] == pytest.approx(once[1:], abs=0.6)


def test_processor_time_below_the_clock_gives_no_ratio_and_a_single_such_round_is_left_out() -> None:
    calls = np.ones((4, 1))
    ours = Turns(calls, np.array([2.0, 2.0, 2.0, 2.0]), calls[:, 0], 0.0)
    some = _processor_ratio("parent", ours, Turns(calls, np.array([0.0, 1.0, 1.0, 1.0]), calls[:, 0], 0.0), "a row", ())
    assert (some.metric, some.value, some.n) == ("cpu_time_ratio", 2.0, 3)
    none = _processor_ratio("first", ours, Turns(calls, np.zeros(4), calls[:, 0], 0.0), "a row", ())
    assert (none.metric, none.value, none.n) == ("first_cpu_time_ratio", None, 0)
    assert "clock" in (none.reason or "")


COARSE = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (1000, 2000))
from compression_engine.measure.processor_clock import processor_clock
from compression_engine.measure.processor_clock import processor_clock, step_of
from compression_engine.measure.rounds import Budget, run_in_turns
from compression_engine.measure.timing_figures import figures_of
clock = processor_clock()
once, twice = lambda: sum(range(2000)), lambda: sum(range(4000))
names = ("version", "parent")
turns = dict(zip(names, run_in_turns(lambda: [once, twice], Budget(60, 3))))
found = [entry for name in names for entry in figures_of(name, turns, 1, "a row", ())]
print(json.dumps([clock.grain, {entry.metric: [entry.value, entry.low, entry.high] for entry in found}]))
"""


def test_a_limit_of_processor_time_does_not_make_processor_time_coarse() -> None:
    done = subprocess.run([sys.executable, "-c", COARSE], capture_output=True, text=True, check=True, timeout=60)
    grain, found = json.loads(done.stdout)
    assert grain < 1e-4
    assert found["cpu_time_ms"][0] > 0.002
    assert found["cpu_time_ratio"][0] == pytest.approx(0.5, abs=0.15)


def test_the_finest_clock_is_taken_and_a_clock_that_stands_still_is_known() -> None:
    def ticking() -> float:
        return time.process_time() // 0.004 * 0.004

    found = processor_clock([ticking, time.process_time, lambda: 0.0])
    assert found.read is time.process_time
    assert step_of(ticking, 0.05) == pytest.approx(0.004)
    assert step_of(lambda: 0.0, 0.01) == 0.01


def coarsely(milliseconds: float, rounds: int) -> Turns:
    """Turns of one call that a clock with steps of 4 ms tells."""
    ends = np.floor(np.arange(rounds + 1) * milliseconds / 4) * 0.004
    return Turns(
        np.full((rounds, 1), milliseconds / 1000), np.diff(ends), np.full(rounds, milliseconds / 1000), 0.0, None, 0.004
    )


def test_rounds_too_short_for_a_coarse_clock_are_told_all_together() -> None:
    ours, theirs = coarsely(1.1, 900), coarsely(2.2, 900)
    found = by_name(timing_figures.figures_of("version", {"version": ours}, 1, "a row", ()))["cpu_time_ms"]
    assert found.value == pytest.approx(1.1, rel=0.01)
    assert found.low < 1.1 < found.high  # type: ignore[operator]
    assert "all rounds together" in (found.reason or "")
    both = by_name(timing_figures.figures_of("parent", {"version": ours, "parent": theirs}, 1, "a row", ()))
    assert both["cpu_time_ratio"].value == pytest.approx(0.5, rel=0.01)
    assert both["cpu_time_ratio"].low < 0.5 < both["cpu_time_ratio"].high  # type: ignore[operator]
    assert both["cpu_time_saved_ms"].value == pytest.approx(1.1, rel=0.02)


def test_processor_time_below_the_clock_is_not_told_at_all() -> None:
    both = {"version": coarsely(1.1, 60), "parent": coarsely(9.0, 60)}
    version = by_name(timing_figures.figures_of("version", both, 1, "a row", ()))
    parent = by_name(timing_figures.figures_of("parent", both, 1, "a row", ()))
    for entry in (version["cpu_time_ms"], parent["cpu_time_ratio"], parent["cpu_time_saved_ms"]):
        assert (entry.value, entry.low, entry.n) == (None, None, 0)
        assert "its steps: 4 ms" in (entry.reason or "")
    assert parent["parent_cpu_time_ms"].value == pytest.approx(9, rel=0.02)


def test_an_interval_is_as_wide_as_one_opening_differs_from_the_next() -> None:
    generator = np.random.default_rng(0)
    sittings = np.repeat(np.arange(6), 60)
    shifted = 1 + np.repeat([0.02, -0.03, 0.0, 0.01, -0.01, 0.03], 60) + generator.normal(scale=0.002, size=360)
    within = paired_interval(shifted, None)
    low, high = paired_interval(shifted, sittings)
    assert None not in (low, high, *within)
    assert high - low > 0.04 > within[1] - within[0]  # type: ignore[operator]
    assert low < 1 < high  # type: ignore[operator]
    assert paired_interval(shifted[:120], sittings[:120]) == paired_interval(shifted[:120], None)


def test_what_is_measured_for_long_is_opened_again() -> None:
    opened: list[int] = []

    def open_things() -> list[Call]:
        opened.append(len(opened))
        return [lambda: time.sleep(0.001), lambda: time.sleep(0.001)]

    found = run_in_turns(open_things, Budget(25, 1.5))
    assert len(opened) >= 3
    assert found[0].sittings is not None
    assert found[0].sittings.max() == len(opened) - 1


def test_every_batch_size_meets_every_thread_count_and_the_first_stands_for_gates(
    mlp_folder: Path, encoder: Encoder
) -> None:
    path = mlp_folder / "model.onnx"
    model = Model(path, 1)
    plan = Plan(batch_sizes=(1, 8), thread_counts=(1, 2))
    roles = {"version": model, "parent": Model(path, 1)}
    context = Context(EMPTY, plan, models=roles, paths={"version": path, "parent": path}, encoder=encoder, rounds=5)
    (found,) = timing.measure(context)
    assert found.kind == "timing"
    assert dict(found.facts)["threads_pinned"] == "1 2"
    p50 = [entry for entry in found.measurements if entry.metric == "latency_p50_ms"]
    assert [tuple(entry.slice) for entry in p50] == [
        (),
        (("batch", "8"), ("threads", "1")),
        (("batch", "1"), ("threads", "2")),
        (("batch", "8"), ("threads", "2")),
    ]
    throughput = {e.slice: e.value for e in found.measurements if e.metric == "throughput_per_second"}
    assert throughput[("batch", "8"), ("threads", "1")] > 2 * throughput[()]  # type: ignore[operator]


def test_threads_that_run_are_measured_where_the_plan_names_none(encoder: Encoder) -> None:
    assert timing.settings_of(Context(EMPTY, Plan(), threads=2)) == [timing.Setting(1, 2)]


def test_nothing_is_timed_where_only_answers_are_at_hand() -> None:
    assert timing.measure(Context(EMPTY, Plan())) == []


def test_a_model_that_takes_a_fixed_number_of_rows_says_so_for_the_others(tmp_path: Path) -> None:
    ports = ({"x": (TensorProto.FLOAT, [4, 64])}, {"y": (TensorProto.FLOAT, [4, 64])})
    net = nets.model([helper.make_node("Relu", ["x"], ["y"])], {}, *ports)
    path = nets.save(net, tmp_path)
    model = Model(path, 1)
    rows = read_rows(nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz"))
    encoder = Encoder(rows, model.inputs(), None)
    context = Context(EMPTY, Plan(batch_sizes=(4, 8)), models={"version": model}, encoder=encoder, rounds=3)
    (found,) = timing.measure(context)
    assert "a batch of 4 rows" in found.measurements[0].plain
    refused = next(entry for entry in found.measurements if entry.slice)
    assert refused.value is None
    assert refused.reason == "the model takes exactly 4 rows at a time"


def test_things_that_take_very_long_are_measured_in_fewer_rounds_than_asked_for() -> None:
    def slow() -> None:
        time.sleep(0.004)

    (found,) = run_in_turns(lambda: [slow], Budget(60, 0.002))
    assert len(found.calls) == 9
    (found,) = run_in_turns(lambda: [slow], Budget(30, 2.0))
    assert len(found.calls) >= 30


def test_the_order_of_opening_turns_round_and_the_calls_keep_theirs(
    mlp_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mlp_folder / "model.onnx"
    models = {role: Model(path, 1, what=role) for role in ("version", "parent", "incumbent")}
    seen: list[str] = []
    given = Model.reopened

    def reopened(self: Model, threads: int) -> Model:
        seen.append(self.what)
        return given(self, threads)

    monkeypatch.setattr(Model, "reopened", reopened)
    called: list[list[str]] = []
    opener = Opener(models, dict.fromkeys(models, path), 1, 1, lambda role, model: [lambda: role])
    for _ in range(4):
        called.append([str(call()) for call in opener()])
    forward = ["version", "parent", "incumbent"]
    assert seen == [*reversed(forward), *forward, *reversed(forward)]  # the first time they were open already
    assert called == [forward] * 4
