"""A small causal language model over characters, trained for a moment in torch on the manual of Python, exported to ONNX.

It has a cache of keys and values, as exported decoders have; `forgetful` counts places from zero again when it reads from it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import torch
from torch import nn

ALPHABET = " abcdefghijklmnopqrstuvwxyz.,'\"()0123456789_-"
LENGTH = 72
_WIDTH, _HEADS, _STEPS, _BATCH = 32, 4, 80, 16


class Decoder(nn.Module):
    """ids [batch, tokens], mask [batch, past + tokens], keys and values [batch, heads, past, width] -> logits, keys, values."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(len(ALPHABET), _WIDTH), nn.Embedding(2 * LENGTH, _WIDTH)
        self.mixed, self.out = nn.Linear(_WIDTH, 3 * _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.wide, self.narrow = nn.Linear(_WIDTH, 2 * _WIDTH), nn.Linear(2 * _WIDTH, _WIDTH)
        self.first, self.second, self.head = (
            nn.LayerNorm(_WIDTH),
            nn.LayerNorm(_WIDTH),
            nn.Linear(_WIDTH, len(ALPHABET)),
        )
        self.forgetful = False

    def forward(self, ids: Any, mask: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        tokens, past = ids.shape[1], key.shape[2]
        places = torch.arange(tokens) + (0 if self.forgetful else past)
        h = self.words(ids) + self.places(places)
        q, k, v = self.mixed(self.first(h)).reshape(ids.shape[0], tokens, 3, _HEADS, -1).permute(2, 0, 3, 1, 4)
        k, v = torch.cat([key, k], 2), torch.cat([value, v], 2)
        ahead = torch.arange(past + tokens)[None, :] > (torch.arange(tokens) + past)[:, None]
        scores = q @ k.transpose(2, 3) / (_WIDTH // _HEADS) ** 0.5
        scores = (
            scores
            + (ahead[None, None].float() + (1 - mask[:, torch.arange(past + tokens)][:, None, None].float())) * -1e9
        )
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(ids.shape[0], tokens, _WIDTH)
        h = h + self.out(mixed)
        return self.head(h + self.narrow(torch.relu(self.wide(self.second(h))))), k, v


def texts(count: int, start: int) -> np.ndarray:
    """Characters of the manual, [count, LENGTH] as numbers, disjoint for disjoint starts."""
    whole = " ".join(" ".join(topics[name].lower().split()) for name in sorted(topics)[:40])
    numbers = np.array([ALPHABET.index(letter) for letter in whole if letter in ALPHABET], dtype=np.int64)
    return numbers[start * LENGTH : (start + count) * LENGTH].reshape(count, LENGTH)


def trained(seed: int = 0) -> Decoder:
    """Some seconds of training on one core; the same weights for the same seed."""
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on so small a net threads only wait for each other
    model, rows = Decoder(), torch.from_numpy(texts(400, 100))
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    empty = torch.zeros(_BATCH, _HEADS, 0, _WIDTH // _HEADS)
    for step in range(_STEPS):
        batch = rows[torch.arange(step * _BATCH, (step + 1) * _BATCH) % len(rows)]
        logits = model(batch, torch.ones_like(batch), empty, empty)[0][:, :-1]
        loss = nn.functional.cross_entropy(logits.reshape(-1, len(ALPHABET)), batch[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return model.eval()


def export(model: Decoder, path: Path) -> Path:
    """Writes model.onnx with the names that exporters of decoders use."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids, cache = torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, _HEADS, 3, _WIDTH // _HEADS)
    inputs = ["input_ids", "attention_mask", "past_key_values.0.key", "past_key_values.0.value"]
    outputs = ["logits", "present.0.key", "present.0.value"]
    axes = {
        "input_ids": {0: "batch", 1: "tokens"},
        "attention_mask": {0: "batch", 1: "all"},
        "logits": {0: "batch", 1: "tokens"},
    }
    axes |= {name: {0: "batch", 2: "past"} for name in inputs[2:]} | {
        name: {0: "batch", 2: "all"} for name in outputs[1:]
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (ids, torch.ones(2, 8, dtype=torch.int64), cache, cache),
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    return path


def noisy(model: Decoder, size: float) -> Decoder:
    """The model with its weights shaken by this share of their spread."""
    torch.manual_seed(1)
    other = Decoder()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += size * parameter.std() * torch.randn_like(parameter)
    return other.eval()
