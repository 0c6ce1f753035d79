"""Five children with one fault each, evaluated as a user would: each lights the measure that is made for it, and no other.

What lights:
- a group: a slice that loses after correction; the worst one is named;
- batches: a row's answer changes when the row is alone;
- range: accuracy is lost under corruption beyond what is lost on clean rows;
- confidence: the calibration error grows;
- a class: lost rows go to one class that the parent does not err to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.engine import faults

Figure = dict[str, Any]
FAULTS = {
    "one_group": faults.one_group,
    "batch_dependent": faults.batch_dependent,
    "out_of_range": faults.out_of_range,
    "overconfident": faults.overconfident,
    "one_class": faults.one_class,
}


class Evaluation:
    """The figures of one evaluation, by kind and metric."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.figures: dict[str, list[Figure]] = {}
        for entry in document["evidence"]:
            self.figures.setdefault(entry["document"]["kind"], []).extend(entry["document"]["figures"])

    def all(self, kind: str, metric: str) -> Iterator[tuple[dict[str, str], Figure]]:
        """Each figure of a metric with its slice."""
        for figure in self.figures[kind]:
            if figure["metric"] == metric:
                yield {part["name"]: part["value"] for part in figure["slice"]}, figure

    def one(self, kind: str, metric: str) -> Figure:
        """The figure over all rows."""
        return next(figure for where, figure in self.all(kind, metric) if not where)


def number(text: str | None) -> float:
    assert text is not None
    return float(Decimal(text))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    folder = tmp_path_factory.mktemp("faults")
    data = faults.write_data(folder, measures=["fidelity", "comparison", "calibration", "robustness"])
    parent = faults.write_parent(folder / "parent" / "model.onnx")
    found = {}
    for name, graft in {"healthy": faults.none, **FAULTS}.items():
        child, result = faults.write(folder / name / "model.onnx", graft), folder / f"{name}.json"
        command = [
            sys.executable, "-m", "compression_engine", "evaluate", str(child), "--parent", str(parent), "--data", str(data),
            "--plan", str(folder / "plan.json"), "--output", str(result), "--quick", "--seed", "4",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found[name] = Evaluation(json.loads(result.read_text()))
    return found


def lights(evaluation: Evaluation) -> set[str]:
    """The faults that the figures show, each by the measure that is made for it."""
    checks = {
        "one_group": _a_group_loses,
        "batch_dependent": _batches_matter,
        "out_of_range": _corruption_costs_more,
        "overconfident": _confidence_is_off,
        "one_class": _losses_go_to_one_class,
    }
    return {name for name, check in checks.items() if check(evaluation)}


def _a_group_loses(evaluation: Evaluation) -> bool:
    groups = {
        w["group"]: number(f["value"]) for w, f in evaluation.all("comparison-parent", "adjusted_p") if "group" in w
    }
    return groups["b"] < 0.05 <= groups["a"]


def _batches_matter(evaluation: Evaluation) -> bool:
    return number(evaluation.one("invariance", "batch_difference_max")["value"]) > 1e-3


def _corruption_costs_more(evaluation: Evaluation) -> bool:
    clean = number(evaluation.one("comparison-parent", "accuracy_difference")["low"])
    differences = [f["high"] for _, f in evaluation.all("robustness", "accuracy_difference")]
    assert len(differences) > 20
    return any(high is not None and number(high) < clean - 0.05 for high in differences)


def _confidence_is_off(evaluation: Evaluation) -> bool:
    return number(evaluation.one("calibration", "expected_calibration_error_difference")["low"]) > 0


def _losses_go_to_one_class(evaluation: Evaluation) -> bool:
    return any(number(f["value"]) < 0.001 for _, f in evaluation.all("comparison-parent", "flip_destination_p"))


def test_a_healthy_child_lights_nothing(evaluated: dict[str, Evaluation]) -> None:
    assert lights(evaluated["healthy"]) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_lights_the_measure_made_for_it_and_no_other(evaluated: dict[str, Evaluation], fault: str) -> None:
    assert lights(evaluated[fault]) == {fault}


def test_the_group_that_loses_is_named_worst(evaluated: dict[str, Evaluation]) -> None:
    [(where, figure)] = evaluated["one_group"].all("comparison-parent", "worst_slice_difference")
    assert where == {"group": "b"}
    assert number(figure["high"]) < -0.05
