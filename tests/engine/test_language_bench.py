"""The benchmark's row of a language model, on a tiny one: what it says of perplexity is what the engine measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compression_engine.samples import smollm2
from compression_engine.samples.training import write_plan
from tests.bench import quantization_language
from tests.bench.quantization_material import Material
from tests.engine import gguf_files

pytestmark = pytest.mark.long


def test_the_rows_are_ratios_of_the_engines_own_perplexities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bench" / "smollm2"
    folder.mkdir(parents=True)
    gguf_files.write_llama(tmp_path / "tiny.gguf")
    smollm2.write_llama(tmp_path / "tiny.gguf", folder)
    smollm2.write_passages(folder)
    write_plan(folder / "plan.json", {"task": "language-model", "output": "logits", "max_tokens": 128})
    monkeypatch.setattr(quantization_language.importlib.util, "find_spec", lambda _: object())
    rows = {row.id: row for row in quantization_language.rows(Material(tmp_path / "bench", quick=False))}
    for name in ("int8", "int4", "int4-aligned"):
        child = tmp_path / "bench" / f"smollm2-language-{name}-1"
        result = json.loads((child / "RESULT.json").read_text())
        (quality,) = (entry["document"] for entry in result["evidence"] if entry["document"]["kind"] == "quality")
        values = {entry["metric"]: float(entry["value"]) for entry in quality["figures"] if not entry["slice"]}
        row = rows[f"language-{name}.perplexity"]
        assert row.value == values["perplexity"] / values["parent_perplexity"]
        assert row.n == 64
        assert (row.holds is None) == (name == "int4-aligned")
    assert [len(step["parameters"]) > 1 for step in result["recipe"]["steps"]] == [True, False]
    assert rows["language-int8.size_ratio"].value is not None
    assert rows["language-int4.size_ratio"].value > rows["language-int8.size_ratio"].value
