"""A worker with other kernels than those that made a child: no finding, no grade, no word about the version; a lie is still one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import load_from_string, numpy_helper

from compression_engine.canonical import canonical
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import Grade, ModelVersion
from registry.compression import child, queries, replays, services_replays
from registry.oversight.models import Finding
from registry.provenance.models import DatasetVersion
from tests.compression.test_request_replay import client, grades, ledger, url
from tests.engine import nets
from tests.engine.test_gptq import correlated
from tests.engine.test_replay_kernels import FOUR, here, net, other
from tests.world import World

pytestmark = pytest.mark.usefixtures("committed_db")


def made_on_other_kernels(folder: Path) -> bytes:
    if not here()["blas_kernel"].startswith("openblas") or here()["machine"] != "x86_64":
        pytest.skip("kernels of another processor can be asked for with OpenBLAS on x86-64 alone")
    nets.save(net(), folder / "parent")
    (folder / "recipe.json").write_bytes(canonical(FOUR.document()))
    nets.save_rows({"x": correlated(64, 512)}, folder / "rows.npz")
    command = [
        sys.executable,
        "-m",
        "compression_engine",
        "compress",
        str(folder / "parent"),
        "--licence",
        "Apache-2.0",
    ]
    command += ["--recipe", str(folder / "recipe.json"), "--calibration", str(folder / "rows.npz")]
    environment = os.environ | {"OPENBLAS_CORETYPE": other(here()["blas_kernel"])}
    subprocess.run([*command, "--output", str(folder / "out")], check=True, capture_output=True, env=environment)
    return (folder / "out" / "model.onnx").read_bytes()


def brought(world: World, parent: ModelVersion, content: bytes, rows: DatasetVersion) -> ModelVersion:
    edges = [EdgeSpec("base", ["quantized"], parent=parent), EdgeSpec("data", dataset_version=rows)]
    return world.version(files={("model.onnx", "weights"): content}, edges=edges)


def test_what_other_kernels_made_is_no_finding_and_no_grade_and_a_lie_is_still_named(
    world: World, tmp_path: Path
) -> None:
    content = made_on_other_kernels(tmp_path)
    parent = world.version(files={("model.onnx", "weights"): (tmp_path / "parent" / "model.onnx").read_bytes()})
    rows = world.dataset_version(data=(tmp_path / "rows.npz").read_bytes(), uses=("calibration",))
    recipe = world.recipe("four", FOUR.document())
    honest = brought(world, parent, content, rows)
    asked = {"actor": world.cast.ada, "recipe": recipe, "calibration": rows}
    run = world.executed(services_replays.request_replay(version=honest, **asked))
    assert (run.state, replays.outcome_of(run)) == ("succeeded", "cannot-be-told"), queries.run_log(run)
    assert "cannot be told on this processor" in replays.said_of(run)
    assert grades(honest) == {Grade.DECLARED}
    assert not Finding.objects.exists()
    assert [row["outcome"] for row in client(world, "otto").get(url(honest)).json()["items"]] == ["cannot-be-told"]

    lie = load_from_string(content)
    tensor = next(one for one in lie.graph.initializer if one.name == "bias")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), "bias"))
    liar = brought(world, parent, lie.SerializeToString(deterministic=True), rows)
    run = world.executed(services_replays.request_replay(version=liar, **asked))
    assert replays.outcome_of(run) == "differs"
    assert [found.kind for found in Finding.objects.all()] == ["replay-differs"]
    assert ledger.compare() == []


def test_of_what_a_run_made_its_result_says_on_which_kernels(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_on_other_kernels(tmp_path)
    parent = world.version(files={("model.onnx", "weights"): (tmp_path / "parent" / "model.onnx").read_bytes()})
    rows = world.dataset_version(data=(tmp_path / "rows.npz").read_bytes(), uses=("calibration",))
    judged = world.dataset_version(data=world.arrays(x=correlated(40, 512, seed=3)))
    kernels, plain = other(here()["blas_kernel"]), child._environment
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(child, "_environment", lambda folder: plain(folder) | {"OPENBLAS_CORETYPE": kernels})
        asked = world.run(parent, recipe=world.recipe("four", FOUR.document()), evaluation=judged, calibration=rows)
        run = world.executed(asked)
        assert run.state == "succeeded", queries.run_log(run)
        made = run.child
        assert made is not None
    here_again = world.executed(services_replays.request_replay(actor=world.cast.ada, version=made))
    assert replays.outcome_of(here_again) == "cannot-be-told", queries.run_log(here_again)
    assert f"blas_kernel openblas {kernels} -> {here()['blas_kernel']}" in replays.said_of(here_again)
    assert grades(made) == {Grade.EXECUTED}
    assert not Finding.objects.exists()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(child, "_environment", lambda folder: plain(folder) | {"OPENBLAS_CORETYPE": kernels})
        there_again = world.executed(services_replays.request_replay(actor=world.cast.ada, version=made))
    assert replays.outcome_of(there_again) == "bit-exact"
    assert grades(made) == {Grade.REDERIVED}
