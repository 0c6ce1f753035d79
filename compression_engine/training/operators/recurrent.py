"""Recurrent layers: LSTM, GRU and RNN; forwards, backwards and both ways, with lengths of sequences, first states, peepholes, clip.

Where a layer is what torch has too (its usual activations, no lengths, no peepholes, no clip; of a GRU the reset behind the
product), torch's own is called; else the steps are calculated one by one. Both layouts; every operator set.
Source: the formulas of LSTM, GRU and RNN in the ONNX standard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.node import Builder, Node, Operation
from compression_engine.training.pass_limits import pass_watch

_Function = Callable[[Tensor], Tensor]
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_TORCH_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where the gates of torch's layer stand among those of ONNX: i f g o among i o f c, r z n among z r h."""


def _activation(node: Node, name: str, alpha: float | None, beta: float | None) -> _Function:
    """An activation by its name; numbers that are not given have the standard's defaults."""
    plain: dict[str, _Function] = {
        "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "softsign": functional.softsign,
        "softplus": functional.softplus,
    }  # fmt: skip
    found = plain.get(name.lower())
    if found is not None:
        return found
    defaults = {
        "leakyrelu": (0.01, 0.0), "thresholdedrelu": (1.0, 0.0), "hardsigmoid": (0.2, 0.5), "elu": (1.0, 0.0),
        "scaledtanh": (1.0, 1.0), "affine": (1.0, 0.0),
    }  # fmt: skip
    if name.lower() not in defaults:
        raise node.refused(f"has the activation {name!r}")
    first, second = defaults[name.lower()]
    a, b = first if alpha is None else alpha, second if beta is None else beta
    made: dict[str, _Function] = {
        "leakyrelu": lambda x: functional.leaky_relu(x, a),
        "thresholdedrelu": lambda x: torch.where(x > a, x, torch.zeros_like(x)),
        "hardsigmoid": lambda x: (a * x + b).clamp(0.0, 1.0),
        "elu": lambda x: functional.elu(x, a),
        "scaledtanh": lambda x: a * torch.tanh(b * x),
        "affine": lambda x: a * x + b,
    }
    return made[name.lower()]


class _Layer:
    """The attributes of one recurrent node, and how one direction of it is calculated."""

    def __init__(self, node: Node) -> None:
        self.node, self.kind, self.gates = node, node.operator, _GATES[node.operator]
        self.direction = node.text("direction", "forward")
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.batch_first, self.clip = bool(node.integer("layout", 0)), node.number("clip", 0.0)
        self.reset_behind = bool(node.integer("linear_before_reset", 0))
        self.coupled = bool(node.integer("input_forget", 0))
        names = [str(_text(one)) for one in node.attributes.get("activations", _USUAL[self.kind] * self.directions)]
        alphas, betas = (
            list(node.attributes.get("activation_alpha", [])),
            list(node.attributes.get("activation_beta", [])),
        )
        self.functions = [
            _activation(node, name, _at(alphas, index), _at(betas, index)) for index, name in enumerate(names)
        ]
        usual = [name.lower() for name in names] == [name.lower() for name in _USUAL[self.kind] * self.directions]
        self.as_torch = (
            usual and not self.clip and not self.coupled and (self.kind != "GRU" or self.reset_behind)
        )  # fmt: skip

    def __call__(
        self, x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None,
        h: Tensor | None = None, c: Tensor | None = None, p: Tensor | None = None,
    ) -> Any:  # fmt: skip
        x = x.transpose(0, 1) if self.batch_first else x
        width, rows = r.shape[-1], x.shape[1]
        h, c = (
            x.new_zeros(self.directions, rows, width)
            if one is None
            else one.transpose(0, 1)
            if self.batch_first
            else one
            for one in (h, c)
        )
        if self.as_torch and lengths is None and p is None:
            answers, last, cell = self._by_torch(x, w, r, b, h, c)
        else:
            answers, last, cell = self._by_steps(x, w, r, b, lengths, h, c, p)
        if self.batch_first:
            answers, last, cell = answers.permute(2, 0, 1, 3), last.transpose(0, 1), cell.transpose(0, 1)
        made = (answers, last, cell)[: self.node.outputs]
        return made if self.node.outputs > 1 else answers

    def _by_torch(
        self, x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        flat: list[Tensor] = []
        for turn in range(self.directions):
            flat += [self._ordered(w[turn]), self._ordered(r[turn])]
            if b is not None:
                flat += [self._ordered(half) for half in b[turn].chunk(2)]
        backwards = self.direction == "reverse"
        x = x.flip(0) if backwards else x
        usual = (flat, b is not None, 1, 0.0, False, self.directions == 2, False)
        h = h.contiguous()
        if self.kind == "LSTM":
            made, last, cell = torch.lstm(x, (h, c.contiguous()), *usual)
        else:
            made, last = (torch.gru if self.kind == "GRU" else torch.rnn_tanh)(x, h, *usual)
            cell = last
        made = made.flip(0) if backwards else made
        return made.unflatten(-1, (self.directions, -1)).transpose(1, 2), last, cell

    def _ordered(self, gates: Tensor) -> Tensor:
        parts = gates.chunk(self.gates)
        return torch.cat([parts[index] for index in _TORCH_ORDER[self.kind]])

    def _by_steps(
        self, x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, lengths: Tensor | None, h: Tensor, c: Tensor,
        p: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        found = []
        for turn in range(self.directions):
            backwards = self.direction == "reverse" or turn == 1
            turned = _backwards(x, lengths) if backwards else x
            bias = None if b is None else b[turn]
            made, last, cell = self._one_way(turned, w[turn], r[turn], bias, lengths, h[turn], c[turn], p, turn)
            found.append((_backwards(made, lengths) if backwards else made, last, cell))
        return (
            torch.stack([one[0] for one in found], 1),
            torch.stack([one[1] for one in found]),
            torch.stack([one[2] for one in found]),
        )

    def _one_way(
        self, x: Tensor, w: Tensor, r: Tensor, bias: Tensor | None, lengths: Tensor | None, h: Tensor, c: Tensor,
        p: Tensor | None, turn: int,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        count = len(_USUAL[self.kind])
        functions = self.functions[turn * count : (turn + 1) * count]
        first, second = (None, None) if bias is None else bias.chunk(2)
        into = functional.linear(x, w, first)
        step = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self.kind]
        peep = None if p is None else p[turn]
        answers, watch = [], pass_watch()
        for time in range(x.shape[0]):
            if watch.terminate:
                watch.check()
            made, cell = step(into[time], h, c, r, second, peep, functions)
            if lengths is None:
                h, c = made, cell
                answers.append(h)
                continue
            going = (lengths.to(x.device) > time).unsqueeze(1)
            h, c = torch.where(going, made, h), torch.where(going, cell, c)
            answers.append(torch.where(going, made, torch.zeros_like(made)))
        return torch.stack(answers), h, c

    def _clipped(self, x: Tensor) -> Tensor:
        return x.clamp(-self.clip, self.clip) if self.clip else x

    def _lstm(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        r: Tensor,
        bias: Tensor | None,
        p: Tensor | None,
        use: Sequence[_Function],
    ) -> tuple[Tensor, Tensor]:
        gate, inner, outer = use
        i, o, f, g = (x + functional.linear(h, r, bias)).chunk(4, -1)
        peep_i, peep_o, peep_f = (0.0, 0.0, 0.0) if p is None else p.chunk(3)
        i = gate(self._clipped(i + peep_i * c))
        f = 1 - i if self.coupled else gate(self._clipped(f + peep_f * c))
        c = f * c + i * inner(self._clipped(g))
        return gate(self._clipped(o + peep_o * c)) * outer(c), c

    def _gru(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        r: Tensor,
        bias: Tensor | None,
        p: Tensor | None,
        use: Sequence[_Function],
    ) -> tuple[Tensor, Tensor]:
        gate, inner = use
        (x_z, x_r, x_n), (r_z, r_r, r_n) = x.chunk(3, -1), r.chunk(3)
        b_z, b_r, b_n = (None, None, None) if bias is None else bias.chunk(3)
        update = gate(self._clipped(x_z + functional.linear(h, r_z, b_z)))
        reset = gate(self._clipped(x_r + functional.linear(h, r_r, b_r)))
        within = reset * functional.linear(h, r_n, b_n) if self.reset_behind else functional.linear(reset * h, r_n, b_n)
        fresh = inner(self._clipped(x_n + within))
        made = (1 - update) * fresh + update * h
        return made, made

    def _rnn(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        r: Tensor,
        bias: Tensor | None,
        p: Tensor | None,
        use: Sequence[_Function],
    ) -> tuple[Tensor, Tensor]:
        made = use[0](self._clipped(x + functional.linear(h, r, bias)))
        return made, made


def _backwards(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Sequences [time, rows, ...] from their ends on; what lies behind an end stays where it is."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    ends = lengths.to(x.device).long().unsqueeze(0)
    places = torch.where(steps < ends, ends - 1 - steps, steps)
    return torch.gather(x, 0, places.unsqueeze(-1).expand(x.shape))


def _at(values: Sequence[float], index: int) -> float | None:
    return values[index] if index < len(values) else None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _build(node: Node) -> Operation:
    return _Layer(node)


OPERATORS: dict[str, Builder] = {"LSTM": _build, "GRU": _build, "RNN": _build}
