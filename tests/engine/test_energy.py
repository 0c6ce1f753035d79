"""Energy: counters are added up rightly and go round, and an estimate never passes for a reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compression_engine.answers.outputs import ANSWER, VERSION, Field, Outputs
from compression_engine.data import Encoder, read_rows
from compression_engine.measure import cost, energy, timing
from compression_engine.measure.context import Context, Found
from compression_engine.measure.rapl import Counters, counters
from compression_engine.plan import Plan
from compression_engine.price_sheet import PriceSheet
from compression_engine.result import Measurement
from compression_engine.runtime import Model
from tests.engine import nets
from tests.engine.test_cost import SHEET, changed

EMPTY = Outputs({VERSION: {ANSWER: Field(np.zeros((1, 1)))}})
MAXIMUM = 262_143_328_850


def zone(root: Path, folder: str, name: str, energy_uj: int) -> Path:
    """A counter as the kernel shows it."""
    path = root / folder
    path.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", MAXIMUM)):
        (path / file).write_text(f"{value}\n")
    return path / "energy_uj"


def test_packages_and_their_memory_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    files = [
        zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000),
        zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000),
        zone(tmp_path, "intel-rapl:0:1", "dram", 7_000_000),
        zone(tmp_path, "intel-rapl:1", "psys", 9_000_000),
    ]
    found = counters(tmp_path)
    assert [entry.name for entry in found.zones] == ["package-0", "dram"]
    before = found.read_uj()
    for file in files:
        file.write_text(str(int(file.read_text()) + 2_500_000))
    assert found.joules(before, found.read_uj()) == pytest.approx(5.0)


def test_a_counter_that_went_round_is_counted_on(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", MAXIMUM - 1_000_000)
    found = counters(tmp_path)
    before = found.read_uj()
    file.write_text("3000000")
    assert found.joules(before, found.read_uj()) == pytest.approx(4.0)


def test_why_there_is_no_reading_is_said(tmp_path: Path) -> None:
    assert "no counters" in counters(tmp_path / "none").reason
    zone(tmp_path, "intel-rapl:0", "package-0", 1).write_text("not a number")  # as unreadable as one that is forbidden
    assert "administrator" in counters(tmp_path).reason
    assert not counters(tmp_path).zones


@pytest.fixture
def context(mlp_folder: Path) -> Context:
    path = mlp_folder / "model.onnx"
    models = {"version": Model(path, 1), "parent": Model(path, 1)}
    encoder = Encoder(read_rows(mlp_folder / "rows.npz"), models["version"].inputs(), None)
    return Context(EMPTY, Plan(), models=models, encoder=encoder, rounds=9)


class Meter(Counters):
    """Counters that go up by a joule for every reading: so a window costs the number of zones."""

    def __init__(self, root: Path) -> None:
        super().__init__(counters(root).zones)

    def read_uj(self) -> list[int]:
        for entry in self.zones:
            entry.file.write_text(str(entry.read_uj() + 1_000_000))
        return super().read_uj()


def test_what_counters_say_is_shared_among_the_predictions_of_a_window(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    monkeypatch.setattr(energy, "_WINDOW_SECONDS", 0.02)
    found = energy.measured_energy(context, Meter(tmp_path))
    figures = {entry.metric: entry for entry in found.measurements}
    one, thousand = figures["energy_per_prediction"], figures["energy_per_1000_predictions"]
    assert one.value is not None
    assert 0 < one.value < 0.1  # one joule, shared by hundreds of predictions
    assert thousand.value == pytest.approx(1000 * one.value)
    assert 0.1 < figures["energy_ratio"].value < 10  # type: ignore[operator]  # windows of 20 ms on a busy machine
    assert dict(found.facts)["energy_source"] == "counters"
    assert dict(found.facts)["energy_zones"] == "package-0"


def timed(version_ms: float, parent_ms: float) -> list[Found]:
    figures = [
        Measurement("cpu_time_ms", version_ms, "millisecond", 60, "", version_ms - 0.1, version_ms + 0.1),
        Measurement("parent_cpu_time_ms", parent_ms, "millisecond", 60, "", parent_ms - 0.1, parent_ms + 0.1),
        Measurement("cpu_time_saved_ms", parent_ms - version_ms, "millisecond", 60, "", 0.9, 1.1),
        Measurement("cpu_time_ratio", version_ms / parent_ms, "ratio", 60, "", 0.6, 0.7),
    ]
    return [Found("timing", "m", figures)]


def test_an_estimate_is_processor_time_times_watts_and_says_so(context: Context) -> None:
    known = Context(
        EMPTY, Plan(), models=context.models, encoder=context.encoder, found=timed(2.0, 3.0),
        price_sheet=PriceSheet.parse(SHEET),
    )  # fmt: skip
    found = energy.estimated_energy(known, "there are no counters")
    figures = {entry.metric: entry for entry in found.measurements}
    assert figures["energy_per_prediction"].value == pytest.approx(0.002 * 10)
    assert figures["energy_per_prediction"].low == pytest.approx(0.0019 * 10)
    assert figures["parent_energy_per_prediction"].value == pytest.approx(0.003 * 10)
    assert figures["energy_saved_per_prediction"].low == pytest.approx(0.0009 * 10)
    assert figures["energy_ratio"].value == pytest.approx(2 / 3)
    for entry in found.measurements:
        assert entry.reason == "an estimate: processor time x 10 W a core (price sheet); there are no counters"
    assert dict(found.facts)["energy_source"] == "estimate"


def test_no_model_is_compared_with_itself(context: Context) -> None:
    known = Context(EMPTY, Plan(), models=context.models, encoder=context.encoder, found=timed(2.0, 3.0))
    metrics = [entry.metric for entry in energy.estimated_energy(known, "why").measurements]
    assert len(metrics) == len(set(metrics))
    assert "energy_ratio" in metrics


def test_a_time_that_could_not_be_told_gives_no_energy_and_no_savings_and_the_reason(context: Context) -> None:
    names = ("cpu_time_ms", "parent_cpu_time_ms", "cpu_time_saved_ms", "cpu_time_ratio")
    figures = [Measurement(name, None, "", 0, "", reason="the clock is coarse") for name in names]
    untimed = Context(
        EMPTY, Plan(), models=context.models, encoder=context.encoder, found=[Found("timing", "m", figures)],
        price_sheet=PriceSheet.parse(SHEET),
    )  # fmt: skip
    (paid,) = cost.measure(untimed)
    found = energy.estimated_energy(untimed, "why").measurements
    assert len(found) == 6
    lacking = [*found, *(entry for entry in paid.measurements if "prediction" in entry.metric)]
    assert {entry.metric for entry in lacking} >= {"energy_ratio", "break_even_predictions"}
    for entry in lacking:
        assert entry.value is None
        assert "the clock is coarse" in (entry.reason or "")
    assert "net_benefit_per_month" in {entry.metric for entry in paid.measurements if entry.value is None}


def test_it_is_timed_where_timing_was_not_asked_for(context: Context) -> None:
    found = energy.estimated_energy(context, "there are no counters")
    metrics = {entry.metric for entry in found.measurements}
    assert {"energy_per_prediction", "parent_energy_per_prediction", "energy_ratio"} <= metrics
    assert "12 W a core (assumed: no price sheet names this machine's)" in (found.measurements[0].reason or "")
    assert dict(found.facts)["watts_per_core"].startswith("12 (assumed")


def test_one_of_both_is_what_this_machine_gives(context: Context) -> None:
    (found,) = energy.measure(context)
    assert (dict(found.facts)["energy_source"] == "counters") == bool(counters().zones)
    assert energy.measure(Context(EMPTY, Plan())) == []


def test_a_batch_is_shared_among_its_rows(tmp_path: Path) -> None:
    path = nets.save(nets.mlp(), tmp_path)
    model = Model(path, 1)
    rows = read_rows(nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz"))
    encoder = Encoder(rows, model.inputs(), None)
    eight = Context(EMPTY, Plan(batch_sizes=(8,)), models={"version": model}, encoder=encoder, found=timed(8.0, 8.0))
    found = energy.estimated_energy(eight, "why")
    assert found.measurements[0].value == pytest.approx(0.001 * 12)
    assert timing.settings_of(eight)[0].batch == 8


def test_watts_are_the_owners_with_their_source_and_the_waiting_machine_is_borne_by_time(context: Context) -> None:
    latencies = [
        Measurement("latency_p50_ms", 4.0, "millisecond", 60, "", 3.5, 4.5),
        Measurement("parent_latency_p50_ms", 6.0, "millisecond", 60, "", 5.5, 6.5),
    ]
    known = Context(
        EMPTY, Plan(), models=context.models, encoder=context.encoder,
        found=[*timed(2.0, 3.0), Found("timing", "m", latencies)],
        price_sheet=changed(watts_per_core="8", idle_watts="50", watts_source="wattmeter at the plug, May"),
    )  # fmt: skip
    found = energy.estimated_energy(known, "there are no counters")
    figures = {entry.metric: entry for entry in found.measurements}
    ours, theirs = 0.002 * 8 + 0.004 * 50, 0.003 * 8 + 0.006 * 50
    assert figures["energy_per_prediction"].value == pytest.approx(ours)
    assert figures["energy_per_prediction"].high == pytest.approx(0.0021 * 8 + 0.0045 * 50)
    assert figures["energy_saved_per_prediction"].value == pytest.approx(theirs - ours)
    assert figures["energy_saved_per_prediction"].low == pytest.approx(0.0009 * 8 + 0.001 * 50)
    ratio = figures["energy_ratio"]
    assert ratio.value == pytest.approx(ours / theirs)
    assert ratio.low < ours / theirs < ratio.high  # type: ignore[operator]
    words = "processor time x 8 W a core + time x 50 W of the waiting machine (price sheet: wattmeter at the plug, May)"
    assert ratio.reason == f"an estimate: {words}; there are no counters"
    assert dict(found.facts)["watts_idle"] == "50 (price sheet: wattmeter at the plug, May)"


def test_a_machine_that_draws_nothing_by_the_sheet_takes_nothing(context: Context) -> None:
    known = Context(
        EMPTY, Plan(), models=context.models, encoder=context.encoder, found=timed(2.0, 3.0),
        price_sheet=changed(watts_per_core="0", idle_watts="0"),
    )  # fmt: skip
    figures = {entry.metric: entry for entry in energy.estimated_energy(known, "why").measurements}
    assert figures["energy_per_prediction"].value == 0


def test_counters_that_stand_still_or_go_away_give_an_estimate_that_says_so(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "_WINDOW_SECONDS", 0.01)
    file = zone(tmp_path, "intel-rapl:0", "package-0", 5)
    still = energy.measured_energy(context, counters(tmp_path))
    assert dict(still.facts)["energy_source"] == "estimate"
    assert "stand still" in dict(still.facts)["energy_no_counters"]
    lost = counters(tmp_path)
    file.unlink()
    monkeypatch.setattr(energy, "counters", lambda: lost)
    (found,) = energy.measure(context)
    assert "went away" in dict(found.facts)["energy_no_counters"]
