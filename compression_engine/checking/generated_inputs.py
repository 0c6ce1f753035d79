"""Makes inputs for a model of which no rows were given: by declared type and shape, by what the graph looks up, from a seed.

Rules:
- free sizes of the same name are the same; a size that is called a sum is that sum; a cache is empty; a batch has two rows, or one;
- integers stay below the smallest table that they are looked up in; masks are ones, kinds of token zeros, positions count up,
  lengths are the sizes that were chosen, rates of sound are 16,000 a second;
- numbers are drawn from the standard normal distribution, every second time ten times smaller; one to four that stand alone from
  0.5 to 1; states start at zero;
- what a model is asked with is a function of model and seed: proposals come in one order, and the first that it takes is used.

Limits: such inputs show that a model runs, and how far a child strays on noise. They say nothing about real data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compression_engine.data import Array, Feed
from compression_engine.runtime import DTYPES, Declared

_SIZES = (16, 64, 32, 128, 8, 224, 256, 320, 512, 640, 48, 1, 2, 1024, 4096, 16_000)
_FEW_SIZES = _SIZES[:5]
_BATCHES = (2, 1)
_CHANNELS = (3, 1)
_ELEMENTS_MOST = 2**24
_SOUND_RATE = 16_000
_ALONE_MOST = 4
_SOFTER = 10
_IMAGE_RANK = 4
_PAST = re.compile(r"past|cache", re.IGNORECASE)
_STATE = re.compile(
    r"past|cache|state|hidden|(^|[_.])(h|c|hx|cx|hn|cn|h0|c0|hc|context)\d*($|[_.])|mem(ory)?s?$", re.IGNORECASE
)
_MASK = re.compile(r"mask", re.IGNORECASE)
_KIND = re.compile(r"token_type|segment|speaker|lang|sid$", re.IGNORECASE)
_POSITION = re.compile(r"position", re.IGNORECASE)
_LENGTH = re.compile(r"len(gth)?s?$|lens|length", re.IGNORECASE)
_RATE = re.compile(r"^sr$|sampl(e|ing)_?rate", re.IGNORECASE)
_TIME = re.compile(r"seq|time|len|sample|frame|token|height|width|num_", re.IGNORECASE)
_WORDS = ("alpha", "beta", "gamma", "delta")


@dataclass(frozen=True)
class Proposal:
    """One way to choose free sizes, and what integers are that nothing bounds: drawn, ones or zeros."""

    batch: int
    size: int
    channels: int
    integers: str = "drawn"

    def __str__(self) -> str:
        return f"batch {self.batch}, free sizes {self.size}"


def proposals() -> Iterator[Proposal]:
    """What is tried, in this order."""
    for integers in ("drawn", "ones", "zeros"):
        for size in _SIZES if integers == "drawn" else _FEW_SIZES:
            for batch in _BATCHES:
                for channels in _CHANNELS:
                    yield Proposal(batch, size, channels, integers)


def is_state(entry: Declared) -> bool:
    """Whether an input is what a recurrent model hands itself from call to call, by its name."""
    return entry.type in _FLOATS and _STATE.search(entry.name) is not None


@dataclass(frozen=True)
class Inputs:
    """Makes feeds for these inputs. `bounds`: how many entries the tables have that an input's integers are looked up in."""

    entries: Sequence[Declared]
    bounds: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0

    def feed(self, proposal: Proposal, number: int) -> Feed | None:
        """The `number`th feed of a proposal; None where it would be too large. Which seed is drawn from depends on both."""
        shapes = {entry.name: self._shape(entry, proposal) for entry in self.entries}
        if sum(int(np.prod(shape, dtype=np.float64)) for shape in shapes.values()) > _ELEMENTS_MOST:
            return None
        generator = np.random.default_rng([self.seed, number, proposal.batch, proposal.size])
        feed = {entry.name: self._values(entry, shapes[entry.name], proposal, generator) for entry in self.entries}
        if number % 2:
            feed |= {entry.name: feed[entry.name] / feed[entry.name].dtype.type(_SOFTER) for entry in self._noise(feed)}
        return feed

    def _noise(self, feed: Feed) -> list[Declared]:
        """Inputs that are drawn from the normal distribution."""
        return [entry for entry in self.entries if entry.type in _FLOATS and _is_noise(entry, feed[entry.name].shape)]

    def has_free_sizes(self) -> bool:
        """Whether inputs of another size are worth trying."""
        return any(not isinstance(size, int) or size < 0 for entry in self.entries for size in entry.shape)

    def missing(self) -> Declared | None:
        """The first input that nothing can be made for: a sequence, a map, or numbers that numpy has not."""
        return next((entry for entry in self.entries if entry.type not in _TYPES), None)

    def _shape(self, entry: Declared, proposal: Proposal) -> tuple[int, ...]:
        return tuple(_size(entry, axis, proposal) for axis in range(len(entry.shape)))

    def _values(self, entry: Declared, shape: tuple[int, ...], proposal: Proposal, draw: np.random.Generator) -> Array:
        kind = _TYPES[entry.type]
        if entry.type == "tensor(string)":
            return np.array(draw.choice(_WORDS, size=shape), dtype=object).reshape(shape)
        if entry.type == "tensor(bool)":
            return np.full(shape, not _PAST.search(entry.name))
        if entry.type in _FLOATS:
            return _floats(entry, shape, draw).astype(kind)
        return self._integers(entry, shape, proposal, draw).astype(kind)

    def _integers(
        self, entry: Declared, shape: tuple[int, ...], proposal: Proposal, draw: np.random.Generator
    ) -> Array:
        limit = self.bounds.get(entry.name)
        if _MASK.search(entry.name):
            return np.ones(shape)
        if _RATE.search(entry.name):
            return np.full(shape, _SOUND_RATE)
        if _KIND.search(entry.name):
            return np.zeros(shape)
        if _POSITION.search(entry.name) and shape:
            return np.broadcast_to(np.arange(shape[-1]) % (limit or shape[-1] or 1), shape)
        if limit is not None:
            return draw.integers(0, limit, size=shape)
        if _LENGTH.search(entry.name):
            return np.full(shape, proposal.size)
        if proposal.integers != "drawn" or not shape:
            return np.full(shape, 0 if proposal.integers == "zeros" else 1)
        # bytes may be pictures; numbers that nothing bounds are small
        return draw.integers(0, 256 if entry.type == "tensor(uint8)" else 2, size=shape)


def _floats(entry: Declared, shape: tuple[int, ...], draw: np.random.Generator) -> Array:
    if is_state(entry):
        return np.zeros(shape)
    if _MASK.search(entry.name):
        return np.ones(shape)
    return draw.normal(size=shape) if _is_noise(entry, shape) else draw.uniform(0.5, 1, size=shape)


def _is_noise(entry: Declared, shape: tuple[int, ...]) -> bool:
    alone = len(shape) <= 1 and np.prod(shape, dtype=np.int64) <= _ALONE_MOST
    return not (alone or is_state(entry) or _MASK.search(entry.name))


def _size(entry: Declared, axis: int, proposal: Proposal) -> int:
    size = entry.shape[axis]
    if isinstance(size, int) and size >= 0:
        return size
    name = size if isinstance(size, str) else ""
    if "+" in name:
        return sum(_free(part.strip(), entry, axis, proposal) for part in name.split("+"))
    return _free(name, entry, axis, proposal)


def _free(name: str, entry: Declared, axis: int, proposal: Proposal) -> int:
    if name.isdigit():
        return int(name)
    if _PAST.search(name) and "total" not in name:
        return 0
    if axis == 0 and not _TIME.search(name) and (len(entry.shape) > 1 or name):
        return proposal.batch
    if "batch" in name.lower() or (is_state(entry) and not name):
        return proposal.batch
    last_is_channel = len(entry.shape) == _IMAGE_RANK and entry.shape[3] in (1, 3, 4)
    if len(entry.shape) == _IMAGE_RANK and axis == 1 and not last_is_channel and not _TIME.search(name):
        return proposal.channels
    return proposal.size


_FLOATS = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})
_TYPES: Mapping[str, Any] = {
    **DTYPES, "tensor(uint64)": np.uint64, "tensor(uint32)": np.uint32, "tensor(uint16)": np.uint16, "tensor(string)": np.object_,
}  # fmt: skip
