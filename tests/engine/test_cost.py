"""Cost: amounts follow from the sheet and the timing, uncertainty included; what is slower never pays for itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from compression_engine.answers.outputs import ANSWER, VERSION, Field, Outputs
from compression_engine.canonical import canonical, parse_canonical
from compression_engine.data import Encoder, read_rows
from compression_engine.errors import EngineError
from compression_engine.measure import cost
from compression_engine.measure.context import Context, Found
from compression_engine.measure.earlier import Interval
from compression_engine.plan import Plan
from compression_engine.price_sheet import PriceSheet, price_sheet_schema
from compression_engine.result import Measurement
from compression_engine.runtime import Model

EMPTY = Outputs({VERSION: {ANSWER: Field(np.zeros((1, 1)))}})
MEMBERS: dict[str, Any] = {
    "amortisation_months": 10,
    "currency": "EUR",
    "grams_co2_per_kwh": "400",
    "per_cpu_hour": "0.036",
    "per_gib_hour_memory": "0.005",
    "per_gib_month_storage": "0.02",
    "per_kwh": "0.36",
    "predictions_per_month": 1_000_000,
    "replicas": 2,
    "type": "pressmark/price_sheet/1",
    "watts_per_core": "10",
}
SHEET = canonical(MEMBERS)


def changed(**members: Any) -> PriceSheet:
    return PriceSheet.parse(canonical(MEMBERS | members))


def figures(found: Found) -> dict[str, Measurement]:
    return {entry.metric: entry for entry in found.measurements}


def measured(saved: tuple[float, float, float]) -> list[Found]:
    """What earlier measures found: milliseconds saved with their interval, 1 GiB of memory and 2 GiB of storage less."""
    value, low, high = saved
    gib = 1024**3
    timing = [
        Measurement("cpu_time_ms", 10 - value, "millisecond", 60, "", 9 - value, 11 - value),
        Measurement("parent_cpu_time_ms", 10, "millisecond", 60, "", 9, 11),
        Measurement("cpu_time_saved_ms", value, "millisecond", 60, "", low, high),
    ]
    energy = [Measurement("energy_saved_per_prediction", value / 100, "joule", 60, "", low / 100, high / 100)]
    memory = [
        Measurement("peak_memory_bytes", gib, "byte", 3, "", gib, gib),
        Measurement("parent_peak_memory_bytes", 2 * gib, "byte", 3, "", 2 * gib, 2 * gib),
    ]
    size = [Measurement("size_bytes", gib, "byte", 1, ""), Measurement("parent_size_bytes", 3 * gib, "byte", 1, "")]
    return [
        Found("size", "m", size), Found("timing", "m", timing), Found("memory", "m", memory), Found("energy", "m", energy)
    ]  # fmt: skip


@pytest.fixture
def context(mlp_folder: Path) -> Context:
    model = Model(mlp_folder / "model.onnx", 1)
    encoder = Encoder(read_rows(mlp_folder / "rows.npz"), model.inputs(), None)
    return Context(EMPTY, Plan(), models={"version": model}, encoder=encoder)


def judged(context: Context, saved: tuple[float, float, float], sheet: PriceSheet, run: float | None = None) -> Found:
    asked = Context(
        EMPTY, Plan(), models=context.models, encoder=context.encoder, found=measured(saved), price_sheet=sheet,
        run_cpu_seconds=run,
    )  # fmt: skip
    (found,) = cost.measure(asked)
    return found


def test_savings_follow_from_the_sheet_with_the_intervals_of_what_was_measured(context: Context) -> None:
    found = judged(context, (2.0, 1.0, 4.0), PriceSheet.parse(SHEET))
    told = figures(found)
    assert told["serving_saving_per_month"].value == pytest.approx(0.02)  # 2 ms x 10^6 = 2000 s at 0.036 an hour
    assert told["serving_saving_per_month"].low == pytest.approx(0.01)
    assert told["serving_saving_per_month"].high == pytest.approx(0.04)
    assert told["serving_saving_per_month"].unit == "currency:EUR"
    assert told["electricity_saving_per_month"].value == pytest.approx(0.002)  # 20 kJ at 0.36 a kWh
    assert told["co2_saving_per_month"].value == pytest.approx(20_000 / 3.6e6 * 400)
    assert told["memory_saving_per_month"].value == pytest.approx(2 * 730 * 0.005)
    assert told["storage_saving_per_month"].value == pytest.approx(0.04)
    once = told["one_time_cost"].value
    assert once == pytest.approx(told["evaluation_cpu_seconds"].value / 3600 * 0.036)  # type: ignore[operator]
    month = 0.02 + 0.002 + 7.3 + 0.04
    assert told["net_benefit_per_month"].value == pytest.approx(month - once / 10)  # type: ignore[operator]
    assert told["net_benefit_per_month"].high == pytest.approx(month + 0.022 - once / 10)  # type: ignore[operator]
    assert told["break_even_predictions"].value == pytest.approx(once / 2.2e-8)  # type: ignore[operator]
    assert told["break_even_predictions"].low == pytest.approx(once / 4.4e-8)  # type: ignore[operator]
    assert told["break_even_predictions"].high == pytest.approx(once / 1.1e-8)  # type: ignore[operator]
    assert dict(found.facts)["price_sheet"] == PriceSheet.parse(SHEET).digest()


def test_what_making_it_took_counts_where_it_is_known(context: Context) -> None:
    without = figures(judged(context, (2.0, 1.0, 4.0), PriceSheet.parse(SHEET)))
    told = figures(judged(context, (2.0, 1.0, 4.0), PriceSheet.parse(SHEET), run=360_000.0))
    assert told["one_time_cost"].value - without["one_time_cost"].value == pytest.approx(3.6, abs=0.01)  # type: ignore[operator]
    assert "Making and evaluating" in told["one_time_cost"].plain


def test_what_is_slower_never_breaks_even(context: Context) -> None:
    told = figures(judged(context, (-2.0, -3.0, -1.0), PriceSheet.parse(SHEET)))
    assert told["break_even_predictions"].value is None
    assert "never breaks even" in (told["break_even_predictions"].reason or "")
    assert "costs more than with the original" in told["break_even_predictions"].plain
    assert told["serving_saving_per_month"].value == pytest.approx(-0.02)
    assert told["serving_saving_per_month"].low == pytest.approx(-0.03)


def test_a_saving_that_is_not_certain_may_never_break_even(context: Context) -> None:
    told = figures(judged(context, (1.0, -1.0, 2.0), PriceSheet.parse(SHEET)))["break_even_predictions"]
    assert told.value is not None
    assert told.low is not None
    assert told.high is None
    assert "may never" in (told.reason or "")


def test_without_a_sheet_only_the_evaluation_itself_is_told(context: Context) -> None:
    (found,) = cost.measure(context)
    assert [entry.metric for entry in found.measurements] == ["evaluation_cpu_seconds"]
    assert found.measurements[0].value > 0  # type: ignore[operator]
    assert cost.measure(Context(EMPTY, Plan())) == []


def test_processor_time_is_counted_as_it_is_spent() -> None:
    before = cost.cpu_seconds_spent()
    sum(number * number for number in range(2_000_000))
    assert 0.02 < cost.cpu_seconds_spent() - before < 30


def test_a_sheet_is_canonical_and_keeps_its_digest() -> None:
    sheet = PriceSheet.parse(json.dumps(MEMBERS, indent=3).encode())
    assert parse_canonical(canonical(sheet.document())) == MEMBERS
    assert PriceSheet.parse(SHEET).digest() == sheet.digest()
    assert changed(watts_per_core=None).document()["watts_per_core"] is None


WRONG = [
    ({"currency": "euro"}, "currency"),
    ({"per_cpu_hour": "-1"}, "per_cpu_hour"),
    ({"per_cpu_hour": "1e3"}, "per_cpu_hour"),
    ({"per_cpu_hour": 4}, "per_cpu_hour"),
    ({"per_kwh": "0.30"}, "per_kwh"),
    ({"per_kwh": None}, "per_kwh"),
    ({"predictions_per_month": -1}, "predictions_per_month"),
    ({"predictions_per_month": "many"}, "predictions_per_month"),
    ({"replicas": True}, "replicas"),
    ({"amortisation_months": 0}, "amortisation_months"),
    ({"vat": "19"}, "vat"),
    ({"watts_per_core": None, "idle_watts": "40"}, "idle_watts"),
    ({"watts_per_core": None, "watts_source": "a meter"}, "watts_source"),
    ({"idle_watts": 40}, "idle_watts"),
    ({"watts_source": ""}, "watts_source"),
    ({"watts_source": "a\nb"}, "watts_source"),
    ({"type": "pressmark/recipe/1"}, "no price sheet"),
]


@pytest.mark.parametrize(("members", "named"), WRONG)
def test_a_sheet_that_is_wrong_is_refused_and_the_member_named(members: dict[str, Any], named: str) -> None:
    with pytest.raises(EngineError, match=named) as refused:
        changed(**members)
    assert refused.value.code == "price_sheet_invalid"
    assert refused.value.hint
    with pytest.raises(jsonschema.ValidationError):  # the schema that is published says the same
        jsonschema.validate(MEMBERS | members, price_sheet_schema())


def test_a_sheet_that_is_whole_passes_the_published_schema() -> None:
    jsonschema.validate(MEMBERS, price_sheet_schema())
    jsonschema.validate(MEMBERS | {"watts_per_core": None}, price_sheet_schema())
    more = MEMBERS | {"idle_watts": "40", "watts_source": "a meter at the plug"}
    jsonschema.validate(more, price_sheet_schema())
    assert PriceSheet.parse(canonical(more)).document() == more
    assert PriceSheet.parse(canonical(MEMBERS | {"idle_watts": None})).digest() == PriceSheet.parse(SHEET).digest()
    lacking = {name: value for name, value in MEMBERS.items() if name != "per_kwh"}
    with pytest.raises(EngineError, match="lacks 'per_kwh'"):
        PriceSheet.parse(canonical(lacking))
    with pytest.raises(EngineError, match="cannot be read"):
        PriceSheet.parse(b"{")


def test_intervals_stay_cautious_when_they_meet() -> None:
    a, b = Interval(2.0, 1.0, 3.0, 5), Interval(4.0, 2.0, 8.0, 9)
    assert a.minus(b) == Interval(-2.0, -7.0, 1.0, 9)
    assert a.plus(Interval(1.0, None, 2.0)).low is None
    assert a.scaled(-2) == Interval(-4.0, -6.0, -2.0, 5)


def test_what_is_saved_against_the_incumbent_and_the_first_stands_beside_it(context: Context) -> None:
    def timed(prefix: str, saved: float) -> list[Measurement]:
        name = "cpu_time_saved_ms" if prefix == "parent_" else f"{prefix}cpu_time_saved_ms"
        energy = "energy_saved_per_prediction" if prefix == "parent_" else f"{prefix}energy_saved_per_prediction"
        return [
            Measurement(f"{prefix}cpu_time_ms", 8 + saved, "millisecond", 60, "", 7 + saved, 9 + saved),
            Measurement(name, saved, "millisecond", 60, "", saved - 0.5, saved + 0.5),
            Measurement(energy, saved / 100, "joule", 60, "", saved / 100, saved / 100),
            Measurement(f"{prefix}size_bytes", 3 * 1024**3, "byte", 1, ""),
        ]

    own = [
        Measurement("cpu_time_ms", 8, "millisecond", 60, "", 7, 9),
        Measurement("size_bytes", 1024**3, "byte", 1, ""),
    ]
    whole = [*own, *timed("parent_", 2.0), *timed("incumbent_", -1.0), *timed("first_", 4.0)]
    kinds = {"size": "size_bytes", "timing": "_ms", "energy": "prediction"}
    found = [Found(kind, "m", [entry for entry in whole if entry.metric.endswith(end)]) for kind, end in kinds.items()]
    asked = Context(
        EMPTY, Plan(), models=context.models, encoder=context.encoder, found=found, price_sheet=PriceSheet.parse(SHEET)
    )
    told = figures(cost.measure(asked)[0])
    assert told["serving_saving_per_month"].value == pytest.approx(0.02)
    assert told["incumbent_serving_saving_per_month"].value == pytest.approx(-0.01)
    assert told["first_serving_saving_per_month"].value == pytest.approx(0.04)
    assert told["first_electricity_saving_per_month"].value == pytest.approx(0.004)
    assert told["incumbent_storage_saving_per_month"].value == pytest.approx(0.04)
    assert told["incumbent_serving_cost_per_1000_predictions"].value == pytest.approx(7 / 3.6e6 * 1000 * 0.036)
    assert told["incumbent_break_even_predictions"].value is None
    assert "more than with the incumbent" in told["incumbent_break_even_predictions"].plain
    assert "first approved version" in told["first_net_benefit_per_month"].plain
