"""Replay in another process, with other threads, in another folder, by another engine: the same bytes, or a word why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compression_engine.canonical import canonical, digest_of, parse_canonical
from compression_engine.command_line import main
from compression_engine.environment import ENGINE_VERSION
from compression_engine.errors import EngineError
from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import Recipe, Step, shipped_recipes
from compression_engine.replaying.rederiving import rederive
from compression_engine.replaying.replay import replay
from tests.engine import made, nets, replayed
from tests.engine.static_nets import images, residual

ROOT = Path(__file__).parents[2]
PARENT_OF_0_3_0 = "sha256:e4fcad234f819c1a1fb775b6d5f7b1941296b21b879706401478009b6911957b"
MADE_BY_0_3_0 = {
    "faster-int8": "4c1ec01decd8ca97db54f322d56483bb906019074374ffaa8278f9d720eb2914",
    "half-size": "19ad425cd3615b5e109e2eade70c17b83274d1ba3216674825234446c4f858a4",
    "smaller-same-speed": "877c29f82cc0f1f92ae240b5713654e2aa10da710fa181a5914512f135030d05",
    "smallest-4-bit": "f61de2363ab53229315a91008eeb9f8d9dd10afa5fb9fb52a8b018352734dd72",
}
"""SHA-256 of what engine 0.3.0 made of `nets.mlp`, calibrated on `rows_for("x", seed=9)`."""


def elsewhere(folder: Path, cwd: Path, umask: int, **settings: str) -> dict[str, str]:
    names = ("PATH", "HOME", "TMPDIR")
    environment = (
        {name: os.environ[name] for name in names if name in os.environ} | {"PYTHONPATH": str(ROOT)} | settings
    )
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.engine.replayed", str(folder)],
        capture_output=True, text=True, check=False, env=environment, cwd=cwd, umask=umask,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_every_recipe_that_ships_and_trains_nothing_gives_the_same_bytes_wherever_it_runs(tmp_path: Path) -> None:
    rows = {"mlp": nets.rows_for("x", count=64, seed=9), "residual": {"x": images(40, 0, 3, 16, 16)}}
    for name, net in (("mlp", nets.mlp()), ("residual", residual())):
        nets.save(net, tmp_path / "nets" / name)
        nets.save_rows(rows[name], tmp_path / "nets" / name / "rows.npz")
    here = replayed.digests(tmp_path / "nets")
    made_by = {key.partition("/")[2] for key, digest in here.items() if digest.startswith("sha256:")}
    assert made_by == set(made.untrained())
    (tmp_path / "moved elsewhere").mkdir()
    (tmp_path / "nets").rename(tmp_path / "moved elsewhere" / "nets")
    moved = tmp_path / "moved elsewhere" / "nets"
    one = {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "1",
        "LC_ALL": "C",
        "TZ": "Asia/Tokyo",
    }
    two = {
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "PYTHONHASHSEED": "2",
        "LANG": "tr_TR.UTF-8",
        "PYTHONUTF8": "1",
    }
    assert elsewhere(moved, tmp_path, 0o077, **one) == here
    assert elsewhere(moved, Path("/"), 0o000, **two) == here


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The net of which engine 0.3.0 made children, with the rows that it was calibrated on."""
    file = nets.save(nets.mlp(), tmp_path / "parent")
    assert digest_of(file.read_bytes()) == PARENT_OF_0_3_0
    nets.save_rows(nets.rows_for("x", seed=9), tmp_path / "parent" / "rows.npz")
    return tmp_path / "parent"


@pytest.mark.parametrize("name", sorted(MADE_BY_0_3_0))
def test_what_engine_0_3_0_made_is_made_again_to_the_byte(name: str, old: Path, tmp_path: Path) -> None:
    recipe = shipped_recipes()[name].recipe
    rows = old / "rows.npz" if recipe.steps[0].needs_calibration else None
    file = made.child(old, recipe, tmp_path / name, calibration=rows, written_by="0.3.0")
    assert digest_of(file.read_bytes()) == f"sha256:{MADE_BY_0_3_0[name]}"
    found = rederive(file, parent=old, recipe=recipe, calibration=rows)
    assert found.document["outcome"] == "bit-exact"
    assert f"Its file names engine 0.3.0 as its maker; this is {ENGINE_VERSION}." in found.plain


def compressed(parent: Path, target: Path, **how: Any) -> Path:
    quick = Settings(rounds=3, memory_repeats=1)
    compress(parent, made.WEIGHTS, output_folder=target, settings=quick, **how)
    return target / "RESULT.json"


def as_of(result: Path, version: str, **changes: Any) -> Path:
    """The result as another engine would have written it, before there were map and licence."""
    document = parse_canonical(result.read_bytes())
    document["engine"]["version"] = version
    del document["licence"], document["quantization_map"]
    result.write_bytes(canonical(document | changes))
    return result


def test_a_result_of_engine_0_3_0_is_replayed_and_both_versions_are_named(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = f"sha256:{MADE_BY_0_3_0['smaller-same-speed']}"
    recipe = shipped_recipes()["smaller-same-speed"].recipe
    result = compressed(old, tmp_path / "out")
    outputs = [parse_canonical(result.read_bytes())["outputs"][0] | {"digest": digest}]
    as_of(result, "0.3.0", outputs=outputs, recipe=recipe.document(), recipe_digest=recipe.digest())
    assert main(["replay", str(result), "--parent", str(old), "--output", str(tmp_path / "again"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["digest"], answer["recorded_engine"]) == (digest, "0.3.0")


def test_another_engine_that_made_other_bytes_is_named_and_not_called_a_difference(old: Path, tmp_path: Path) -> None:
    result = compressed(old, tmp_path / "out")
    outputs = [parse_canonical(result.read_bytes())["outputs"][0] | {"digest": "sha256:" + "1" * 64}]
    as_of(result, "0.2.0", outputs=outputs)
    with pytest.raises(EngineError, match=r"Engine 0\.2\.0 made this result, and ") as refused:
        replay(result, parent=old, output_folder=tmp_path / "again")
    assert refused.value.code == "replay_engine_differs"
    assert "Replay it with engine 0.2.0" in refused.value.hint
    assert not (tmp_path / "again").exists()


def test_the_licence_is_replayed(old: Path, tmp_path: Path) -> None:
    result = compressed(old, tmp_path / "out", licence="MIT")
    digest = replay(result, parent=old, output_folder=tmp_path / "again")
    assert digest == digest_of((tmp_path / "out" / "model.onnx").read_bytes())
    without = compressed(old, tmp_path / "without")
    assert parse_canonical(without.read_bytes())["outputs"][0]["digest"] != digest


@pytest.mark.parametrize(
    ("in_file", "stated", "outcome"),
    [
        ("MIT", "MIT", "bit-exact"),
        (None, "MIT", "bit-exact"),
        ("MIT", "BSD-3-Clause", "within-tolerance"),
        ("MIT", None, "within-tolerance"),
    ],
)
def test_a_file_that_names_another_licence_than_is_stated_is_not_bit_exact(
    in_file: str | None, stated: str | None, outcome: str, old: Path, tmp_path: Path
) -> None:
    file = made.child(old, made.WEIGHTS, tmp_path / "out", licence=in_file)
    found = rederive(file, parent=old, recipe=made.WEIGHTS, licence=stated)
    assert found.document["outcome"] == outcome
    assert ("names another licence than is stated" in found.plain) == (outcome != "bit-exact")


@pytest.mark.parametrize("version", ["9.9.9", "../../etc", "x" * 80])
def test_a_version_that_a_file_makes_up_makes_nothing_bit_exact(version: str, old: Path, tmp_path: Path) -> None:
    file = made.child(old, Recipe("other", (Step("quantize_weights", {"bits": 4}),)), tmp_path / "out")
    lying = made.changed(file, tmp_path / "lying", lambda model: made.set_metadata(model, engine_version=version))
    assert rederive(lying, parent=old, recipe=made.WEIGHTS).document["outcome"] == "differs"


@pytest.mark.parametrize(
    "change",
    [
        {"engine": {}}, {"engine": {"version": 7}}, {"outputs": []}, {"parent": None}, {"recipe": "x"}, {"data": [{}]},
        {"outputs": [{"digest": "x", "path": "../x.onnx"}]}, {"licence": "MIT\n"}, {"tensors": [1]}, {"environment": None},
    ],
)  # fmt: skip
def test_a_result_that_was_tampered_with_is_refused_by_a_typed_error(
    change: dict[str, Any], old: Path, tmp_path: Path
) -> None:
    result = compressed(old, tmp_path / "out")
    result.write_bytes(canonical(parse_canonical(result.read_bytes()) | change))
    with pytest.raises(EngineError) as refused:
        replay(result, parent=old, output_folder=tmp_path / "again")
    assert refused.value.code in {"result_invalid", "licence_invalid"}
    assert not (tmp_path / "again").exists()
    assert {path.name for path in tmp_path.iterdir()} - {"keys", "store"} == {"out", "parent"}
