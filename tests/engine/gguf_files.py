"""Writes tiny GGUF files: a llama of two layers whose matrices are 4-bit blocks, beside the same weights as float32."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
HIDDEN, INNER, LAYERS, HEADS, KEY_HEADS = 64, 96, 2, 4, 2
_TYPES = {"F32": 0, "Q4_1": 3, "Q8_0": 8}
_SPECIAL = ["<|endoftext|>", "<|start|>"]
TOKENS = [*_SPECIAL, *"abcdefghijklmnopqrstuvwxyz0123456789", "Ġ", "th", "the", "Ġthe"]
MERGES = ["t h", "th e", "Ġ the"]


def write_llama(path: Path, seed: int = 0, **changed: Any) -> dict[str, Floats]:
    """Writes the file; returns its weights by the names of transformers. `changed`: other metadata."""
    chance = np.random.default_rng(seed)
    weights, stored = {}, []
    for name, gguf_name, kind, shape, heads in _layout():
        values, raw = _blocks(chance, kind, shape)
        weights[name] = _in_halves(values, heads) if heads else values
        stored.append((gguf_name, kind, shape, raw))
    path.write_bytes(_file(_metadata() | {key.replace("__", "."): value for key, value in changed.items()}, stored))
    return weights


def _layout() -> list[tuple[str, str, str, tuple[int, ...], int]]:
    keys = HIDDEN // HEADS * KEY_HEADS
    found: list[tuple[str, str, str, tuple[int, ...], int]] = [
        ("model.embed_tokens.weight", "token_embd.weight", "Q8_0", (len(TOKENS), HIDDEN), 0),
        ("model.norm.weight", "output_norm.weight", "F32", (HIDDEN,), 0),
    ]
    for layer in range(LAYERS):
        own, theirs = f"model.layers.{layer}.", f"blk.{layer}."
        found += [
            (own + "self_attn.q_proj.weight", theirs + "attn_q.weight", "Q4_1", (HIDDEN, HIDDEN), HEADS),
            (own + "self_attn.k_proj.weight", theirs + "attn_k.weight", "Q4_1", (keys, HIDDEN), KEY_HEADS),
            (own + "self_attn.v_proj.weight", theirs + "attn_v.weight", "Q4_1", (keys, HIDDEN), 0),
            (own + "self_attn.o_proj.weight", theirs + "attn_output.weight", "Q4_1", (HIDDEN, HIDDEN), 0),
            (own + "mlp.gate_proj.weight", theirs + "ffn_gate.weight", "Q4_1", (INNER, HIDDEN), 0),
            (own + "mlp.up_proj.weight", theirs + "ffn_up.weight", "Q4_1", (INNER, HIDDEN), 0),
            (own + "mlp.down_proj.weight", theirs + "ffn_down.weight", "Q4_1", (HIDDEN, INNER), 0),
            (own + "input_layernorm.weight", theirs + "attn_norm.weight", "F32", (HIDDEN,), 0),
            (own + "post_attention_layernorm.weight", theirs + "ffn_norm.weight", "F32", (HIDDEN,), 0),
        ]
    return found


def _blocks(chance: np.random.Generator, kind: str, shape: tuple[int, ...]) -> tuple[Floats, bytes]:
    """Numbers that the type holds exactly, and their bytes."""
    if kind == "F32":
        plain = chance.uniform(0.5, 1.5, shape).astype(np.float32)
        return plain, plain.tobytes()
    count = int(np.prod(shape)) // 32
    scale = chance.uniform(0.01, 0.03, (count, 1)).astype(np.float16)
    if kind == "Q8_0":
        bytes_ = chance.integers(-127, 128, (count, 32)).astype(np.int8)
        values = bytes_.astype(np.float32) * scale.astype(np.float32)
        return values.reshape(shape), np.concatenate([scale.view(np.uint8), bytes_.view(np.uint8)], axis=1).tobytes()
    least = chance.uniform(-0.3, -0.1, (count, 1)).astype(np.float16)
    halves = chance.integers(0, 16, (count, 32)).astype(np.uint8)
    packed = halves[:, :16] | halves[:, 16:] << 4
    values = halves.astype(np.float32) * scale.astype(np.float32) + least.astype(np.float32)
    return values.reshape(shape), np.concatenate([scale.view(np.uint8), least.view(np.uint8), packed], axis=1).tobytes()


def _in_halves(rows: Floats, heads: int) -> Floats:
    """From pairs of a rotation side by side to all first numbers of a head before all second ones, row by row."""
    size = len(rows) // heads
    order = [head * size + pair * 2 + part for head in range(heads) for part in range(2) for pair in range(size // 2)]
    return rows[order]


def _metadata() -> dict[str, Any]:
    return {
        "general.architecture": "llama", "general.name": "Tiny", "general.license": "apache-2.0",
        "llama.block_count": LAYERS, "llama.context_length": 64, "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER, "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KEY_HEADS,
        "llama.rope.freq_base": 10_000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * len(_SPECIAL) + [1] * (len(TOKENS) - len(_SPECIAL)),
        "tokenizer.ggml.merges": MERGES, "tokenizer.ggml.padding_token_id": 0,
    }  # fmt: skip


def _file(metadata: dict[str, Any], stored: list[tuple[str, str, tuple[int, ...], bytes]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(stored), len(metadata))
    for name, value in metadata.items():
        kind, raw = _value(value)
        head += _text(name) + struct.pack("<I", kind) + raw
    body = b""
    for name, kind, shape, raw in stored:
        sizes = struct.pack(f"<{len(shape)}Q", *shape[::-1])
        head += _text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", _TYPES[kind], len(body))
        body += raw + b"\0" * (-len(raw) % 32)
    return head + b"\0" * (-len(head) % 32) + body


def _value(value: Any) -> tuple[int, bytes]:
    if isinstance(value, str):
        return 8, _text(value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, list):
        kinds, raws = zip(*map(_value, value), strict=True)
        return 9, struct.pack("<IQ", kinds[0], len(value)) + b"".join(raws)
    return 4, struct.pack("<I", value)


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw
