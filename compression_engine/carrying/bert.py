"""Encoders of the BERT family as modules of torch, with the names of weights that Hugging Face's files have.

Outputs: `last_hidden_state` [rows, words, width], and `pooler_output` [rows, width] where the file has a pooler; or `logits` [rows,
classes] where it has a classifier. Attention is written out, so that ONNX has products and a softmax.
Sources: Devlin et al., "BERT", 2019; Sanh et al., "DistilBERT", 2019; the layout of weights of the package transformers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Any] = {
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "silu": functional.silu,
}


@dataclass(frozen=True)
class Sizes:
    """What a config says of an encoder."""

    words: int
    positions: int
    kinds: int
    width: int
    inner: int
    layers: int
    heads: int
    activation: str
    epsilon: float
    classes: int | None
    pooled: bool


def _attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, heads: int) -> Tensor:
    rows, words, width = q.shape
    q, k, v = (one.reshape(rows, words, heads, width // heads).transpose(1, 2) for one in (q, k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads) + seen
    return (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(rows, words, width)


def _hidden(mask: Tensor, kind: torch.dtype) -> Tensor:
    """What is added to scores, so that words of padding are not seen."""
    return (1.0 - mask[:, None, None, :].to(kind)) * torch.finfo(kind).min


class _Bag(nn.Module):  # type: ignore[misc]
    """Modules under names."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Bert(nn.Module):  # type: ignore[misc]
    """input_ids, attention_mask, token_type_ids: int64 [rows, words]."""

    INPUTS = ("input_ids", "attention_mask", "token_type_ids")

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes, width, e = sizes, sizes.width, sizes.epsilon
        self.act = ACTIVATIONS[sizes.activation]
        self.embeddings = _Bag(
            word_embeddings=nn.Embedding(sizes.words, width), position_embeddings=nn.Embedding(sizes.positions, width),
            token_type_embeddings=nn.Embedding(sizes.kinds, width), LayerNorm=nn.LayerNorm(width, e),
        )  # fmt: skip
        self.encoder = _Bag(layer=nn.ModuleList(self._layer() for _ in range(sizes.layers)))
        if sizes.pooled:
            self.pooler = _Bag(dense=nn.Linear(width, width))
        if sizes.classes is not None:
            self.classifier = nn.Linear(width, sizes.classes)

    def _layer(self) -> nn.Module:
        width, inner, e = self.sizes.width, self.sizes.inner, self.sizes.epsilon
        own = _Bag(query=nn.Linear(width, width), key=nn.Linear(width, width), value=nn.Linear(width, width))
        after = _Bag(dense=nn.Linear(width, width), LayerNorm=nn.LayerNorm(width, e))
        return _Bag(
            attention=_attention(own, after),
            intermediate=_Bag(dense=nn.Linear(width, inner)),
            output=_Bag(dense=nn.Linear(inner, width), LayerNorm=nn.LayerNorm(width, e)),
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Any:
        table = self.embeddings
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = table.word_embeddings(input_ids) + table.token_type_embeddings(token_type_ids)
        x = table.LayerNorm(x + table.position_embeddings(places))
        seen = _hidden(attention_mask, x.dtype)
        for layer in self.encoder.layer:
            own, after = layer.attention._modules["self"], layer.attention.output
            a = _attended(own.query(x), own.key(x), own.value(x), seen, self.sizes.heads)
            x = after.LayerNorm(after.dense(a) + x)
            x = layer.output.LayerNorm(layer.output.dense(self.act(layer.intermediate.dense(x))) + x)
        if not self.sizes.pooled:
            return x if self.sizes.classes is None else self.classifier(x[:, 0])
        first = torch.tanh(self.pooler.dense(x[:, 0]))
        return (x, first) if self.sizes.classes is None else self.classifier(first)


def _attention(own: nn.Module, after: nn.Module) -> nn.Module:
    made = _Bag(output=after)
    made.add_module("self", own)  # a name that no argument may have
    return made


class DistilBert(nn.Module):  # type: ignore[misc]
    """input_ids, attention_mask: int64 [rows, words]."""

    INPUTS = ("input_ids", "attention_mask")

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes, width, inner, e = sizes, sizes.width, sizes.inner, sizes.epsilon
        self.act = ACTIVATIONS[sizes.activation]
        self.embeddings = _Bag(
            word_embeddings=nn.Embedding(sizes.words, width), position_embeddings=nn.Embedding(sizes.positions, width),
            LayerNorm=nn.LayerNorm(width, e),
        )  # fmt: skip
        layers = [
            _Bag(
                attention=_Bag(**{name: nn.Linear(width, width) for name in ("q_lin", "k_lin", "v_lin", "out_lin")}),
                sa_layer_norm=nn.LayerNorm(width, e),
                ffn=_Bag(lin1=nn.Linear(width, inner), lin2=nn.Linear(inner, width)),
                output_layer_norm=nn.LayerNorm(width, e),
            )
            for _ in range(sizes.layers)
        ]
        self.transformer = _Bag(layer=nn.ModuleList(layers))
        if sizes.classes is not None:
            self.pre_classifier, self.classifier = nn.Linear(width, width), nn.Linear(width, sizes.classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        table = self.embeddings
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = table.LayerNorm(table.word_embeddings(input_ids) + table.position_embeddings(places))
        seen = _hidden(attention_mask, x.dtype)
        for layer in self.transformer.layer:
            own = layer.attention
            a = own.out_lin(_attended(own.q_lin(x), own.k_lin(x), own.v_lin(x), seen, self.sizes.heads))
            x = layer.sa_layer_norm(a + x)
            x = layer.output_layer_norm(layer.ffn.lin2(self.act(layer.ffn.lin1(x))) + x)
        return x if self.sizes.classes is None else self.classifier(torch.relu(self.pre_classifier(x[:, 0])))
