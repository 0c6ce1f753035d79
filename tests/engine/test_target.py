"""Measuring on the host: bound to version, host and settings; with nothing installed but onnxruntime and numpy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from compression_engine.canonical import canonical, digest_of, parse_canonical
from compression_engine.errors import EngineError
from compression_engine.host import digest_of_facts, host_facts
from compression_engine.manifest import MANIFEST_NAME, version_digest
from compression_engine.plan import Plan
from compression_engine.target import Serving, measure_target
from tests.engine import nets

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {"numpy", "onnxruntime", "flatbuffers", "google", "packaging", "ml_dtypes", "coloredlogs", "humanfriendly"}


def measured(folder: Path, **more: Any) -> dict[str, Any]:
    return measure_target(folder, data=folder / "rows.npz", rounds=3, memory_repeats=1, **more)


def with_manifest(folder: Path, names: list[str]) -> bytes:
    """Leaves the manifest of these files, as `pressmark pull` does."""
    files = [
        {"digest": digest_of((folder / name).read_bytes()), "path": name, "role": "other",
         "size_bytes": (folder / name).stat().st_size}
        for name in sorted(names)
    ]  # fmt: skip
    manifest = canonical({"files": files, "type": "pressmark/version/1"})
    (folder / MANIFEST_NAME).write_bytes(manifest)
    return manifest


def values(document: dict[str, Any], metric: str) -> Any:
    figures = document["evidence"][0]["document"]["figures"]
    return next(figure["value"] for figure in figures if figure["metric"] == metric and not figure["slice"])


def test_the_document_is_what_its_schema_says_and_holds_figures_of_every_kind(mlp_folder: Path) -> None:
    document = measured(mlp_folder, parent=mlp_folder / "model.onnx", plan=Plan(batch_sizes=(1, 4)))
    schema = json.loads((resources.files("compression_engine") / "schemas" / "target_measurement-1.json").read_text())
    jsonschema.validate(document, schema)
    assert parse_canonical(canonical(document)) == document
    for metric in ("size_bytes", "cosine_mean", "latency_p95_ms", "latency_ratio", "peak_memory_bytes"):
        assert values(document, metric) is not None
    assert values(document, "energy_per_prediction") is not None
    assert values(document, "max_abs_difference") == "0"
    evidence = document["evidence"][0]
    assert len(evidence["plain"]) == len(evidence["document"]["figures"])
    assert {"name": "plan", "value": document["plan_digest"]} in evidence["document"]["environment"]


def test_without_a_parent_the_answers_are_described(mlp_folder: Path) -> None:
    document = measured(mlp_folder)
    assert document["parent"] is None
    assert values(document, "output_norm_mean") is not None


def test_a_child_that_differs_is_seen_to_differ(mlp_folder: Path, tmp_path: Path) -> None:
    child, _ = nets.applied(nets.mlp(), "quantize_weights")
    nets.save(child, tmp_path / "child")
    document = measure_target(
        tmp_path / "child", data=mlp_folder / "rows.npz", parent=mlp_folder, rounds=3, memory_repeats=1
    )
    assert float(values(document, "max_abs_difference")) > 0
    assert 0.99 < float(values(document, "cosine_min")) < 1
    assert document["parent"]["weights"]["digest"] != document["weights"]["digest"]


def test_a_pulled_version_is_known_by_its_manifest_and_every_file_counts(mlp_folder: Path) -> None:
    (mlp_folder / "labels.txt").write_text("one")
    manifest = with_manifest(mlp_folder, ["model.onnx", "labels.txt"])
    weights = mlp_folder / "model.onnx"
    assert version_digest(weights) == digest_of(manifest)
    (mlp_folder / "labels.txt").write_text("two")
    with pytest.raises(EngineError, match=r"labels\.txt is not what") as refused:
        version_digest(weights)
    assert refused.value.code == "version_differs"
    (mlp_folder / "labels.txt").unlink()
    with pytest.raises(EngineError, match="not here"):
        version_digest(weights)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"{}", "no manifest"),
        (b"[", "was changed"),
        (b'{"files":[{"path":"../x"}],"type":"pressmark/version/1"}', "names the path"),
        (b'{"files":[],"type":"pressmark/version/1"}', "no file of the version"),
    ],
)
def test_a_manifest_that_is_none_is_refused(mlp_folder: Path, manifest: bytes, reason: str) -> None:
    (mlp_folder / MANIFEST_NAME).write_bytes(manifest)
    with pytest.raises(EngineError, match=reason):
        version_digest(mlp_folder / "model.onnx")


def test_without_a_manifest_no_version_is_claimed(mlp_folder: Path) -> None:
    assert version_digest(mlp_folder / "model.onnx") is None


def test_other_settings_have_another_digest_and_the_host_keeps_its_own() -> None:
    plain, named = Serving(), Serving(named={"replicas": "2"})
    assert digest_of_facts(plain.facts()) != digest_of_facts(named.facts())
    assert digest_of_facts(Serving(threads=2).facts()) != digest_of_facts(plain.facts())
    assert digest_of_facts(host_facts()) == digest_of_facts(host_facts())
    facts = {entry["name"]: entry["value"] for entry in host_facts()}
    assert {"cores", "cpu_flags", "cpu_model", "kernel", "memory_gib", "onnxruntime"} <= set(facts)
    assert os.uname().nodename not in " ".join(facts.values())


def test_it_is_served_as_it_is_asked_for(mlp_folder: Path) -> None:
    document = measured(mlp_folder, serving=Serving(2, "none"))
    settings = {entry["name"]: entry["value"] for entry in document["settings"]}
    assert (settings["threads"], settings["graph_optimisation"]) == ("2", "none")
    assert any("on 2 threads" in sentence for sentence in document["evidence"][0]["plain"])


def test_it_needs_nothing_but_onnxruntime_and_numpy(mlp_folder: Path, tmp_path: Path) -> None:
    """Every other package is hidden, in the engine's process and in those that it starts."""
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(
        "import sys, sysconfig\n"
        "from importlib.machinery import PathFinder\n"
        f"ALLOWED = {sorted(ALLOWED)!r}\n"
        "class Bare:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if path is None and name.partition('.')[0] not in ALLOWED:\n"
        "            found = PathFinder.find_spec(name)\n"
        "            places = list(found.submodule_search_locations or []) if found else []\n"
        "            if found and 'site-packages' in ' '.join([str(found.origin), *places]):\n"
        "                raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Bare())\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(hiding), str(ROOT)])}
    probe = [sys.executable, "-c", "import onnx"]
    assert subprocess.run(probe, env=environment, capture_output=True, check=False).returncode != 0
    output = tmp_path / "found.json"
    command = [sys.executable, "-m", "compression_engine", "target", str(mlp_folder), "--json", "--quick"]
    command += ["--parent", str(mlp_folder), "--data", str(mlp_folder / "rows.npz"), "--output", str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert values(parse_canonical(output.read_bytes()), "latency_p50_ms") is not None
    verb = [sys.executable, "-m", "registry.cli.main", "measure", str(mlp_folder), "--quick"]
    verb += ["--data", str(mlp_folder / "rows.npz"), "--output", str(tmp_path / "again.json")]
    done = subprocess.run(verb, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "The model answers one row on 1 thread" in done.stdout
