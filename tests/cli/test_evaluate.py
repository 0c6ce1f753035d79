"""`pressmark evaluate` over a real server: what it asks for, what it refuses, and what it says when a worker is done."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from registry.cli import remote_evaluate
from registry.client import digest_of
from registry.compression import execution
from registry.compression.models import Run
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]
PLAN = {"type": "pressmark/evaluation_plan/1", "task": "embedding", "measures": ["size", "fidelity"]}


def plan_file(tmp_path: Path, text: str | None = None) -> str:
    path = tmp_path / "plan.json"
    path.write_text(text if text is not None else json.dumps(PLAN))
    return str(path)


class WorkerBeside:
    """Works on the first run that is queued, as the worker of an installation does."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not (run := Run.objects.filter(state="queued").first()):
                time.sleep(0.1)
            assert run is not None
            execution.execute(run.pk)
        finally:
            connections.close_all()

    def join(self) -> None:
        self._thread.join()


def test_an_evaluation_is_requested_by_a_plan(
    pressmark: Pressmark, served: World, tmp_path: Path, capsys: Said
) -> None:
    version, rows = served.version(), served.arrays_dataset()
    strange = served.arrays_dataset(seed=99)
    words = ["--data", str(rows), "--out-of-distribution", served.reference(strange), "--plan", plan_file(tmp_path)]
    assert pressmark("ada", "evaluate", str(version), *words, "--seed", "5") == 0
    run = Run.objects.get()
    assert f"Evaluation {run.pk} of {version} is queued." in capsys.readouterr().out
    assert (run.evaluation, run.out_of_distribution, run.seed, run.kind) == (rows, strange, 5, "evaluation")
    assert run.plan_digest is not None


def test_an_approval_that_the_evidence_will_end_is_told_with_the_request(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    version = served.parent_version()
    served.promoted(version)
    assert pressmark("ada", "evaluate", str(version), "--data", str(served.arrays_dataset())) == 0
    assert f"production serves {version}: new evidence makes its approval stale" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--plan", "{plan}"], "no JSON"),
        (["--plan", "{missing}"], "No such file"),
        (["--incumbent", "nowhere"], "serves nothing now"),
        (["--json"], "Add --wait"),
        (["--data", "nothing@9"], "no such dataset version"),
    ],
)
def test_what_cannot_be_asked_is_said_in_plain_words(
    pressmark: Pressmark, served: World, tmp_path: Path, capsys: Said, words: list[str], said: str
) -> None:
    version, rows = served.version(), served.arrays_dataset()
    places = {"{plan}": plan_file(tmp_path, "not json"), "{missing}": str(tmp_path / "nowhere.json")}
    given = [places.get(word, word) for word in words]
    assert pressmark("ada", "evaluate", str(version), "--data", str(rows), *given) == 1
    assert said in capsys.readouterr().err
    assert not Run.objects.exists()


def test_rows_that_the_version_was_made_with_are_refused_but_where_it_is_said(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    rows = served.arrays_dataset(uses=("calibration", "evaluation"))
    child = served.derived_version(served.version(), data=[rows])
    assert pressmark("ada", "evaluate", str(child), "--data", str(rows)) == 1
    assert "made with" in capsys.readouterr().err
    assert pressmark("ada", "evaluate", str(child), "--data", str(rows), "--allow-seen") == 0
    assert Run.objects.get().allow_seen


def test_the_file_to_judge_by_is_named_where_the_data_have_several(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    files = {"a/test.npz": served.tiny_inputs(8, 5), "b.npz": served.tiny_inputs(9, 6)}
    data, version = served.files_version(files, uses=["evaluation"]), served.version()
    whole = served.reference(data)
    assert pressmark("ada", "evaluate", str(version), "--data", whole) == 1
    assert "has 2 files, and a run reads the rows of one: a/test.npz, b.npz" in capsys.readouterr().err
    assert pressmark("ada", "evaluate", str(version), "--data", whole, "--file", "a/test.npz") == 0
    words = ["--recipe", "smaller-same-speed", "--evaluation", whole, "--file", "b.npz", "--no-wait"]
    assert pressmark("ada", "compress", str(version), *words) == 0
    rows = Run.objects.order_by("requested_at").values_list("kind", "evaluation_file")
    assert list(rows) == [("evaluation", "a/test.npz"), ("compression", "b.npz")]


def test_waiting_for_it_says_against_what_and_every_figure_over_all_rows(
    pressmark: Pressmark, served: World, tmp_path: Path, capsys: Said
) -> None:
    version, rows = served.version(), served.arrays_dataset()
    worker, outputs = WorkerBeside(), tmp_path / "outputs.safetensors"
    words = ["--plan", plan_file(tmp_path), "--wait", "--outputs", str(outputs)]
    assert pressmark("ada", "evaluate", str(version), "--data", str(rows), *words) == 0
    worker.join()
    assert digest_of(outputs) == Run.objects.get().outputs_digest
    said = capsys.readouterr().out
    assert f"{version} on 64 rows, beside no other version" in said
    assert "The weights take" in said


def test_it_says_for_whom_it_is_worst_and_leaves_the_other_slices_to_the_page() -> None:
    def figure(metric: str, value: str | None, sentence: str) -> dict[str, Any]:
        return {"metric": metric, "slice": [{"name": "region", "value": value}] if value else [], "sentence": sentence}

    kinds = {
        "comparison-parent": [
            figure("accuracy_difference", None, "All lost a little."),
            figure("worst_slice_difference", "north", "The north lost most."),
            figure("accuracy_difference", "south", "The south lost nothing."),
        ],
        "fairness": [
            figure("accuracy", "north", "Right in the north."),
            figure("accuracy_gap_change", "all groups", "The gap grew."),
        ],
    }
    found = {
        "version": "risk/scorer@2",
        "n": 9,
        "compared_with": {},
        "data": [],
        "seen": {"rows": 0},
        "evidence": [{"kind": kind, "figures": figures} for kind, figures in kinds.items()],
    }
    assert remote_evaluate.told(found)[1:] == [
        "comparison-parent (and 1 figures of parts)",
        "  All lost a little.",
        "  The north lost most.",
        "fairness (and 1 figures of parts)",
        "  The gap grew.",
    ]


def test_what_makes_every_figure_worth_less_is_said_before_them() -> None:
    doubts = {"distinct_rows": "40", "evaluated_rows": "4000", "scores_doubted": "logits that all lie in 0..1"}
    found = {
        "version": "risk/scorer@2", "n": 4000, "compared_with": {}, "data": [], "seen": {"rows": 12}, "doubts": doubts,
        "evidence": [],
    }  # fmt: skip
    said = remote_evaluate.told(found)
    assert "seen 12 of these rows when it was made: no gate takes these figures, unless its policy says so." in said[1]
    assert said[2].startswith("40 of 4000 rows differ: each other one stands in the data again")
    assert "misnames the scores (logits that all lie in 0..1)" in said[3]
    assert remote_evaluate.told({**found, "seen": {"rows": None}, "doubts": dict.fromkeys(doubts)})[1:] == []


def test_a_failure_is_said_with_its_reason(pressmark: Pressmark, served: World, capsys: Said) -> None:
    version, words = served.version(), served.dataset_version([{"text": "no arrays at all"}])
    worker: Any = WorkerBeside()
    assert pressmark("ada", "evaluate", str(version), "--data", str(words), "--wait") == 1
    worker.join()
    assert "The evaluation failed:" in capsys.readouterr().out
