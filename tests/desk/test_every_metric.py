"""Whatever the engine can measure has a title and a sentence: names read from its sources, and from a real evaluation."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import compression_engine
from registry.catalog.sentences import sentence
from registry.desk.metrics import KINDS, NAMES, SUFFIXES, WHOSE, name_of
from tests.worlds.catalog import figure

ENGINE = Path(compression_engine.__file__).parent
BESIDE = ("sparsity.py", "packed/beside.py", "carrying/agreement.py")
"""Sources that name metrics and do not lie with the measures."""
PRICES = {
    "amortisation_months": 12, "currency": "EUR", "grams_co2_per_kwh": "400", "per_cpu_hour": "0.04",
    "per_gib_hour_memory": "0.005", "per_gib_month_storage": "0.02", "per_kwh": "0.3", "predictions_per_month": 1_000_000,
    "replicas": 2, "type": "pressmark/price_sheet/1", "watts_per_core": "10",
}  # fmt: skip
Pairs = set[tuple[str, str]]


def own_name(metric: str) -> str:
    """A metric without the model that it is about."""
    return next((metric.removeprefix(p) for p in WHOSE if metric.startswith(p)), metric)


def has_title(metric: str) -> bool:
    name = own_name(metric)
    return name in NAMES or any(name.endswith(end) and name.removesuffix(end) in NAMES for end in SUFFIXES)


def is_said_by_its_bare_name(metric: str, kind: str) -> bool:
    told = sentence(figure(metric, "0.5", "share", n=9), kind)
    return told.startswith(f"{metric.replace('_', ' ').capitalize()} is ")


def functions_that_name_a_metric(trees: Sequence[ast.Module]) -> set[str]:
    """Those whose first parameter is the metric."""
    found = {"Measurement"}
    for node in (n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        if node.args.args and node.args.args[0].arg == "metric":
            found.add(node.name)
    return found


def literal_name(node: ast.expr) -> str | None:
    """`"accuracy"` and `f"{prefix}accuracy"`; None for what only a run can tell."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[1], ast.Constant):
        name = str(node.values[1].value)
        return None if name.startswith("_") else name
    return None


def names_in_the_sources() -> Iterator[str]:
    paths = [ENGINE / name for name in BESIDE]
    trees = [ast.parse(path.read_text("utf-8")) for path in [*sorted((ENGINE / "measure").rglob("*.py")), *paths]]
    calls = functions_that_name_a_metric(trees)
    for node in (n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Call) and n.args):
        if isinstance(node.func, ast.Name) and node.func.id in calls and (name := literal_name(node.args[0])):
            yield name


def test_every_metric_that_the_sources_of_the_engine_name_has_a_title_and_a_sentence() -> None:
    names = set(names_in_the_sources())
    assert {"accuracy", "cache_agreement", "flips_from_to", "decoded_difference", "one_time_cost"} <= names
    assert {"sparsity", "packed_ratio", "packed_size_bytes", "carried_cosine"} <= names
    assert sorted(name for name in names if not has_title(name)) == []
    assert sorted(name for name in names if is_said_by_its_bare_name(name, "fidelity")) == []


def engine(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Evidence of a real evaluation against three models, with data of another kind and a price sheet."""
    folder = tmp_path_factory.mktemp("mortgages")
    engine("compression_engine.samples", "hmda", folder)
    (folder / "prices.json").write_text(json.dumps(PRICES))
    model = folder / "model.onnx"
    engine(
        "compression_engine", "evaluate", model, "--parent", model, "--incumbent", model, "--first", model, "--quick",
        "--data", folder / "evaluation.npz", "--plan", folder / "plan.json", "--price-sheet", folder / "prices.json",
        "--out-of-distribution", folder / "training.npz", "--output", folder / "RESULT.json",
    )  # fmt: skip
    return [entry["document"] for entry in json.loads((folder / "RESULT.json").read_text())["evidence"]]


@pytest.mark.long
def test_every_figure_of_a_real_evaluation_has_a_title_and_a_sentence(evaluated: list[dict[str, Any]]) -> None:
    pairs: Pairs = {(d["kind"], f["metric"]) for d in evaluated for f in d["figures"] if d["kind"] != "distribution"}
    assert len(pairs) > 100
    assert sorted(metric for _, metric in pairs if not has_title(metric)) == []
    assert sorted(pair for pair in pairs if is_said_by_its_bare_name(pair[1], pair[0])) == []
    assert {kind for kind, _ in pairs} - set(KINDS) == set()


def test_a_figure_of_moved_rows_says_how_far_they_were_moved() -> None:
    metric = "accuracy_within_100_per_mille"
    assert name_of(f"parent_{metric}") == "Accuracy, inputs moved by up to 100 ‰, the parent's"
    told = sentence(figure(metric, "0.88", "share", n=200), "adversarial")
    assert told.startswith("The model is right on 88 % of the rows (n = 200")
    assert told.endswith("moved against the model by up to 100 thousandths of its range.")
