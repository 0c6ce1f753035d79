"""Benchmarks tell the truth about themselves: a miss is a miss, what is missing says why, no figure on a page is typed by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.data import Encoder, read_rows
from compression_engine.plan import Plan
from compression_engine.runtime import Model
from tests.bench import page, quantization, quantization_peers
from tests.bench.__main__ import main
from tests.bench.harness import Row, at_least, at_most, described, not_measured, of_a_peer
from tests.bench.quantization_peers import PEERS, Peer, make, write_feeds
from tests.engine import nets

ROOT = Path(__file__).parents[2]


def test_a_figure_beyond_its_limit_or_no_number_at_all_does_not_hold() -> None:
    assert at_least("a", "", 3.9, 3.9, "ratio", 1).holds
    assert not at_least("a", "", 3.8999, 3.9, "ratio", 1).holds
    assert at_most("a", "", 1.05, 1.05, "ratio", 1).holds
    assert not at_most("a", "", 1.0501, 1.05, "ratio", 1).holds
    assert not at_most("a", "", math.nan, 1.05, "ratio", 1).holds
    assert not at_least("a", "", math.nan, 1.05, "ratio", 1).holds


def test_a_part_that_breaks_is_a_row_that_does_not_hold_and_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(_: object) -> list[Row]:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(
        quantization, "PARTS", {"bad": breaks, "good": lambda _: [at_least("good.a", "a", 2, 1, "x", 1)]}
    )
    monkeypatch.setattr("sys.argv", ["bench", "quantization", "--quick", "--json"])
    assert main() == 1
    rows = {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert rows["bad.ran"]["holds"] is False
    assert "the disk is full" in rows["bad.ran"]["reason"]
    assert rows["good.a"]["holds"] is True
    assert {"machine", "load", "run"} <= set(rows)
    assert rows["run"]["reason"].endswith("with --quick")


def test_one_part_can_be_run_alone_and_another_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [at_least("detector.a", "a", 2, 1, "x", 1)]
    monkeypatch.setitem(quantization.PARTS, "encoder", lambda _: pytest.fail("only the detector was asked for"))
    monkeypatch.setitem(quantization.PARTS, "detector", lambda _: rows)
    monkeypatch.setattr("sys.argv", ["bench", "quantization", "--only", "detector", "--json"])
    assert main() == 0
    assert "detector.a" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["bench", "quantization", "--only", "nothing"])
    with pytest.raises(SystemExit):
        main()
    assert "has no part nothing" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_or_fails_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESSMARK_PEERS_PYTHON", str(tmp_path / "no-python"))
    assert make(PEERS["nncf_weights"], tmp_path / "parent.onnx", tmp_path / "out.onnx") == (
        "nncf is not installed here; `make peers` does it"
    )
    (tmp_path / "parent.onnx").write_bytes(b"no model")
    reason = make(PEERS["ort_default"], tmp_path / "parent.onnx", tmp_path / "out.onnx")
    assert reason is not None
    assert reason.startswith("it makes no model: ")
    assert not (tmp_path / "out.onnx").exists()


def test_of_several_peers_those_whose_file_opens_are_kept_and_the_others_have_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {"ort_default": nets.mlp().SerializeToString(), "ort_static": b"no model"}

    def make_one(peer: Peer, parent: Path, target: Path, feeds: Path | None) -> str | None:
        if peer.name not in written:
            return "it is not installed here"
        target.write_bytes(written[peer.name])
        return None

    monkeypatch.setattr(quantization_peers, "make", make_one)
    names = ("ort_default", "ort_static", "nncf_weights")
    paths, reasons = quantization_peers.make_all(
        names, tmp_path / "parent.onnx", tmp_path / "of", tmp_path / "feeds.npz"
    )
    assert paths == {"ort_default": tmp_path / "of-ort_default.onnx"}
    assert reasons["ort_static"].startswith("its file does not run: ")
    assert reasons["nncf_weights"] == "it is not installed here"


def test_a_recurrent_peer_calibrates_on_states_as_they_are_in_use(tmp_path: Path) -> None:
    ports = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "s", "y", "t")}
    nodes = [helper.make_node("Add", ["x", "s"], ["t"]), helper.make_node("Neg", ["t"], ["y"])]
    graph = helper.make_graph(nodes, "sum", [ports["x"], ports["s"]], [ports["y"], ports["t"]])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.savez(tmp_path / "rows.npz", x=np.array([[1], [2], [4], [8]], dtype=np.float32), order=np.array([0, 0, 1, 1]))
    states = [{"input": "s", "output": "t"}]
    plan = Plan.parse({"type": "pressmark/evaluation_plan/1", "sequence": "order", "states": states, "output": "y"})
    model = Model(tmp_path / "m.onnx", 1)
    encoder = Encoder(read_rows(tmp_path / "rows.npz", plan), model.inputs(), None, plan)
    carried = np.load(write_feeds(tmp_path / "carried.npz", encoder, 4, model))
    assert [float(carried[f"{row:04d}/s"].item()) for row in range(4)] == [0, 1, 0, 4]
    anew = np.load(write_feeds(tmp_path / "anew.npz", encoder, 3))
    assert [float(anew[f"{row:04d}/s"].item()) for row in range(3)] == [0, 0, 0]
    assert "0003/s" not in anew.files


def _rows() -> list[Row]:
    return [
        described("machine", "cores", 2, "cores", "x86"),
        described("load", "load", 3.5, "load", "1.00 at the beginning"),
        described("run", "time", 120, "s", "2026-01-02 03:04 UTC, in full"),
        at_least("four_bits.size", "four | bits: times smaller", 6.97, 5.9, "ratio", 1),
        at_most("quantize_weights.latency", "weights: time", 1.2345, 1.05, "ratio", 200, 0.012),
        not_measured("peer.nncf", "NNCF", "-", "it is not installed here"),
        Row("search.a.promise", "kept or refused", None, "share", "kept", True, 0, None, "no recipe keeps it"),
        of_a_peer("peer.ort.size", "ORT: times smaller", 3.95, "ratio", 1),
        at_least("stranger.a", "something new", 2, 1, "x", 1),
    ]


def test_tables_show_each_row_in_its_section_and_name_what_was_missed() -> None:
    text = page.tables([_rows()])
    assert "- 2026-01-02 03:04 UTC, in full, 6 figures in 2 minutes: 2 cores, x86; load 1.00 at the beginning" in text
    weights, rest = text.split("### 1. MiniLM, int8 weights")[1].split("### 3.")
    assert "| weights: time | 1.234 | <= 1.05 | **no** | 200 | 0.012 |" in weights
    assert "| four / bits: times smaller | 6.97 | >= 5.9 | yes | 1 |  |" in rest
    assert "| NNCF | not measured: it is not installed here |  |  |  |  |" in rest
    assert "| kept or refused | no recipe keeps it | kept | yes |  |  |" in rest
    assert "something new" in rest.split("### Other figures")[1]
    assert "Missed:\n\n- weights: time: 1.234, wanted <= 1.05." in text
    assert "Not in these files: 2. MiniLM, dynamic int8; 4. Voice detector (recurrent); 5." in text
    assert "; MiniLM, half floats.\n" in text
    better = page.tables([_rows(), [at_most("quantize_weights.latency", "weights: time", 1.0, 1.05, "ratio", 200)]])
    assert "Every target that was measured holds." in better


def test_a_page_without_both_marks_or_a_file_without_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, target = tmp_path / "figures.json", tmp_path / "page.md"
    figures.write_text(json.dumps([row.document() for row in _rows()]))
    target.write_text(f"# before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    assert page.main([str(figures), "--write", str(target)]) == 0
    assert page.main([str(figures), "--write", str(target)]) == 0
    text = target.read_text()
    assert text.startswith("# before\n")
    assert text.endswith(f"{page.END}\nafter\n")
    assert text.count("### 3. MiniLM, 4 bits") == 1
    assert "\nold\n" not in text
    target.write_text("nothing")
    with pytest.raises(SystemExit):
        page.main([str(figures), "--write", str(target)])
    figures.write_text('[{"id": 1}]')
    with pytest.raises(SystemExit):
        page.main([str(figures)])
    assert "must hold the lines" in (said := capsys.readouterr().err)
    assert "does not hold rows" in said


def test_the_page_of_benchmarks_says_what_its_figures_file_says() -> None:
    files = [page.read_rows(path) for path in sorted((ROOT / "docs").glob("benchmarks*.json"))]
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert files
    assert page.written(text, page.tables(files)) == text


def test_the_page_says_what_the_files_of_the_training_benchmark_say() -> None:
    files = [page.read_rows(path) for path in sorted((ROOT / "docs").glob("training-benchmarks*.json"))]
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert files
    assert page.written(text, page.tables(files, page.TRAINING), page.TRAINING) == text


def test_two_benchmarks_stand_on_one_page_and_neither_touches_the_other(tmp_path: Path) -> None:
    figures, target = tmp_path / "figures.json", tmp_path / "page.md"
    rows = [at_least("pipeline.smaller", "pipeline: times smaller", 40, 35, "ratio", 2)]
    figures.write_text(json.dumps([row.document() for row in rows]))
    other = f"{page.BEGIN}\nuntouched\n{page.END}\n"
    target.write_text(f"{other}{page.TRAINING.begin}\nold\n{page.TRAINING.end}\n")
    assert page.main([str(figures), "--of", "training", "--write", str(target)]) == 0
    text = target.read_text()
    assert text.startswith(other)
    assert "| pipeline: times smaller | 40 | >= 35 | yes | 2 |  |" in text.split("### 1. Pruned in rounds")[1]
    assert "\nold\n" not in text
