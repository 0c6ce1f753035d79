"""`pressmark compress` with several recipes over a real server: one request, all runs waited for, one table."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from registry.cli.comparing import table_of
from registry.compression import execution
from registry.compression.models import Run
from tests.cli.conftest import Pressmark
from tests.compression.test_train_in_runs import step
from tests.world import World
from tests.worlds.compression import QUICK


def worker(runs: int) -> threading.Thread:
    """Works on so many queued runs, one after the other, as the worker of an installation does."""

    def work() -> None:
        try:
            end, done = time.monotonic() + 120, 0
            while time.monotonic() < end and done < runs:
                run = Run.objects.filter(state="queued").order_by("pk").first()
                if run is None:
                    time.sleep(0.1)
                    continue
                execution.execute(run.pk)
                done += 1
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_several_recipes_are_asked_for_at_once_and_their_table_is_printed_with_the_reason_of_one_that_failed(
    pressmark: Pressmark, served: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(QUICK))
    broken = step("prune_unstructured", sparsity_per_mille=980, min_elements=1, scope="layer")
    half = served.recipe("half", {"seed": 3, "steps": [step("convert_fp16")]})
    bad = served.recipe("bad", {"seed": 3, "steps": [broken]})
    version, rows = served.version(), served.reference(served.arrays_dataset())
    words = ["--recipe", f"search/{half}", "--recipe", f"search/{bad}", "--evaluation", rows, "--at-least", "0.98"]
    words += ["--plan", str(plan)]
    thread = worker(2)
    try:
        assert pressmark("ada", "compress", str(version), *words) == 0
    finally:
        thread.join()
    said = capsys.readouterr().out
    assert re.search(r"2 runs are queued: comparison ([0-9a-f-]{36}), page /comparisons/\1/", said), said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith("search/")}
    child = Run.objects.get(child__isnull=False).child
    assert lines[f"search/{half}"][1:4] == ["succeeded", str(child), f"{child.size_bytes:,}"]  # type: ignore[union-attr]
    assert lines[f"search/{bad}"][1:3] == ["failed", "-"]
    assert f"search/{bad}: budget_broken: Step 1 (prune_unstructured) broke the budget" in said
    assert "Times are ratios to the parent" in said


def test_the_table_says_quality_in_points_and_names_the_worst_group() -> None:
    figure: dict[str, Any] = {
        "high": None,
        "low": None,
        "metric": "accuracy_difference",
        "n": 9,
        "slice": [],
        "unit": "share",
        "value": "-0.0125",
    }
    row = {
        "recipe": "team/four@1", "state": "succeeded", "child": "team/net@2", "size_bytes": 4864, "quality": figure,
        "size_ratio": {**figure, "metric": "size_ratio", "unit": "ratio", "value": "3.0195"}, "kept": None,
        "worst": {**figure, "slice": [{"name": "group", "value": "small"}]}, "latency_ratio": None, "on_front": True,
        "ended_at_step": None, "failure_code": None, "failure": None,
    }  # fmt: skip
    head, line, *_, mark = table_of({"rows": [row], "times": "", "better_by": "labels"})
    assert head.split()[:4] == ["recipe", "state", "child", "bytes"]
    assert "3.02" in line
    assert "-1.25 points" in line
    assert "group small: -1.25 points" in line
    assert line.endswith("*")
    assert mark.startswith("* no other is as small")
