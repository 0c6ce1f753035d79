"""A language model in GGUF becomes ONNX: the same answers, stored once, its origin said; what cannot be read is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from compression_engine.data import Encoder, read_rows
from compression_engine.plan import Plan
from compression_engine.runtime import Model
from compression_engine.samples import smollm2
from compression_engine.samples.gguf_file import GGUFError, GGUFFile
from tests.engine import gguf_files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, gguf_files.Floats]]:
    folder = tmp_path_factory.mktemp("language")
    weights = gguf_files.write_llama(folder / "tiny.gguf")
    smollm2.write_llama(folder / "tiny.gguf", folder / "model")
    return folder, weights


def test_the_network_answers_as_the_weights_that_were_packed(made: tuple[Path, dict[str, gguf_files.Floats]]) -> None:
    import torch
    import transformers

    folder, weights = made
    config = transformers.LlamaConfig(
        vocab_size=len(gguf_files.TOKENS), hidden_size=gguf_files.HIDDEN, intermediate_size=gguf_files.INNER,
        num_hidden_layers=gguf_files.LAYERS, num_attention_heads=gguf_files.HEADS, tie_word_embeddings=True,
        num_key_value_heads=gguf_files.KEY_HEADS, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )  # fmt: skip
    network = transformers.LlamaForCausalLM(config).eval()
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}
    network.load_state_dict(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})
    ids = np.random.default_rng(3).integers(0, len(gguf_files.TOKENS), (3, 11))  # other sizes than it was traced with
    mask = np.ones_like(ids)
    mask[1, 7:] = 0
    with torch.no_grad():
        wanted = network(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.numpy()
    (logits,) = Model(folder / "model" / "model.onnx", 1).run({"input_ids": ids, "attention_mask": mask})
    np.testing.assert_allclose(logits[mask == 1], wanted[mask == 1], rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_embedding_and_output_are_stored_once(made: tuple[Path, dict[str, gguf_files.Floats]]) -> None:
    model = onnx.load(str(made[0] / "model" / "model.onnx"))
    elements = len(gguf_files.TOKENS) * gguf_files.HIDDEN
    alike = [entry.name for entry in model.graph.initializer if int(np.prod(entry.dims)) == elements]
    assert len(alike) == 1
    assert {node.op_type for node in model.graph.node if alike[0] in node.input} == {"Gather", "Transpose"}


def test_the_origin_is_said_beside_the_weights(made: tuple[Path, dict[str, gguf_files.Floats]]) -> None:
    folder = made[0]
    digest = hashlib.sha256((folder / "tiny.gguf").read_bytes()).hexdigest()
    origin = json.loads((folder / "model" / "config.json").read_text())["made_from"]
    assert origin == {"file": "tiny.gguf", "sha256": digest, "tensor_types": {"F32": 5, "Q4_1": 14, "Q8_0": 1}}
    said = (folder / "model" / "README.md").read_text()
    assert digest in said
    assert "itself a quantised child" in said


def test_text_becomes_the_vocabularys_tokens_with_digits_alone(made: tuple[Path, dict[str, gguf_files.Floats]]) -> None:
    folder, model = made[0], made[0] / "model"
    (folder / "rows.jsonl").write_text(json.dumps({"text": "a the 42<|start|>"}) + "\n")
    plan = Plan.parse({"type": "pressmark/evaluation_plan/1", "task": "language-model"})
    opened = Model(model / "model.onnx", 1)
    encoder = Encoder(read_rows(folder / "rows.jsonl", plan), opened.inputs(), model / "tokenizer.json", plan)
    ids = encoder.batch([0])["input_ids"][0]
    assert [gguf_files.TOKENS[number] for number in ids] == ["a", "Ġthe", "Ġ", "4", "2", "<|start|>"]


def test_passages_of_one_topic_are_never_in_both_files(tmp_path: Path) -> None:
    counts = smollm2.write_passages(tmp_path)
    rows = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in counts
    }
    assert {name: len(found) for name, found in rows.items()} == counts
    assert counts["evaluation"] == 64
    assert counts["calibration"] > 100
    assert not {row["topic"] for row in rows["evaluation"]} & {row["topic"] for row in rows["calibration"]}
    assert min(len(row["text"]) for found in rows.values() for row in found) >= 450


@pytest.mark.parametrize(
    ("metadata", "told"),
    [({"general__architecture": "gemma"}, "Only llama"), ({"tokenizer__ggml__model": "llama"}, "pairs of bytes")],
)
def test_another_architecture_or_tokenizer_is_refused(tmp_path: Path, metadata: dict[str, str], told: str) -> None:
    gguf_files.write_llama(tmp_path / "tiny.gguf", **metadata)
    with pytest.raises(GGUFError, match=told):
        smollm2.write_llama(tmp_path / "tiny.gguf", tmp_path / "model")


def test_a_file_that_is_cut_short_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    gguf_files.write_llama(tmp_path / "tiny.gguf")
    whole = (tmp_path / "tiny.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:-64])
    with pytest.raises(GGUFError, match=r"ends within the tensor 'blk.1.ffn_norm.weight'"):
        GGUFFile(cut).tensor("blk.1.ffn_norm.weight")
    cut.write_bytes(whole[:100])
    with pytest.raises(GGUFError, match="before its tensors begin"):
        GGUFFile(cut)
    cut.write_bytes(b"ONNX" + whole[4:])
    with pytest.raises(GGUFError, match="no GGUF file"):
        GGUFFile(cut)
    with pytest.raises(GGUFError, match=r"no tensor 'blk.9"):
        GGUFFile(tmp_path / "tiny.gguf").tensor("blk.9.attn_q.weight")
    # behind a tensor's name: the number of axes, two sizes, then its type
    at = whole.index(b"blk.0.attn_q.weight") + len("blk.0.attn_q.weight") + 20
    cut.write_bytes(whole[:at] + b"\x63" + whole[at + 1 :])
    with pytest.raises(GGUFError, match=r"'blk.0.attn_q.weight' is of type 99"):
        GGUFFile(cut)
