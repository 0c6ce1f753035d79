"""Packed models beside xz and zstd, and beside the entropy of their integers: bytes for storage and transfer, no speed of models.

Children: MiniLM with dense 8-bit weights, and the digits network pruned to 90 % with weights of 8 and of 4 bits (its accuracy is
not asked for here, so nothing is trained). Entropy is that of order 0 of each tensor, of nibbles where two lie in a byte: what a
table of frequencies alone can reach. Speeds are those of one core of a machine that others use too.
"""

from __future__ import annotations

import lzma
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compression_engine.packed.blocks import BLOCK_BYTES, encode_block, nibbles_of
from compression_engine.packed.packing import pack
from compression_engine.packed.stretches import onnx_stretches
from compression_engine.packed.unpacking import unpack
from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer, reported
from tests.bench.training_material import TrainingMaterial
from tests.bench.training_unstructured import recipe

_OVER_ENTROPY, _MEMORY_MIB = 1.02, 64.0
_SPARSE = {"sparsity_per_mille": 900}
_GROWN = """
import sys
from pathlib import Path
from compression_engine.packed.{0} import {1}
def most(): return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = most()
{1}(Path(sys.argv[1]), Path(sys.argv[2]))
print(most() - before)
"""
"""For a process of its own; what getrusage says is inherited from the one that started it."""


@dataclass(frozen=True)
class _Child:
    name: str
    what: str
    path: Path
    four_bits: bool = False


def rows(material: TrainingMaterial) -> list[Row]:
    """Each child beside the others' coders and its entropy; time and memory of the largest."""
    found: list[Row] = []
    children = _children(material)
    for child in children:
        found += _sizes(material, child)
    return found + _cost(material, children[0])


def _children(material: TrainingMaterial) -> list[_Child]:
    encoder, net = material.sample("minilm"), material.net()
    dense = material.compressed(encoder, "smaller-same-speed", material.rows("evaluation"))
    found = [_Child("dense", "MiniLM, dense int8", dense / "model.onnx")]
    for bits in (8, 4):
        steps = [("prune_unstructured", _SPARSE), ("quantize_weights", {"bits": bits, "min_elements": 256})]
        name = f"sparse-int{bits}"
        made = material.child(net.model, recipe(material.folder, name, steps, 0), name, net)
        found.append(_Child(name, f"digits network, 90 % pruned, int{bits}", made / "model.onnx", bits == 4))
    return found


def _sizes(material: TrainingMaterial, child: _Child) -> list[Row]:
    packed = _packed(material, child)
    size, ours = child.path.stat().st_size, packed.stat().st_size
    back = material.folder / f"{child.name}-back.onnx"
    unpack(packed, back)
    assert back.read_bytes() == child.path.read_bytes(), "what was packed did not come back"
    xz = len(lzma.compress(child.path.read_bytes(), preset=9))
    over = [coded / entropy for coded, entropy in _tensors(child)]
    name, what = f"storage.{child.name}", f"storage: {child.what}"
    return [
        reported(f"{name}.ratio", f"{what}: times fewer bytes packed than unpacked", size / ours, "ratio", 1),
        at_most(
            f"{name}.entropy", f"{what}: the worst tensor of integers against its entropy of order 0", max(over), _OVER_ENTROPY,
            "ratio", len(over), max(over) - min(over),
        ),
        at_least(f"{name}.xz", f"{what}: times fewer bytes than xz -9 takes", xz / ours, 1.0, "ratio", 1),
        of_a_peer(f"{name}.xz_ratio", f"{what}: times fewer bytes by xz -9", size / xz, "ratio", 1),
        *_beside_zstd(child, ours, name, what),
    ]  # fmt: skip


def _beside_zstd(child: _Child, ours: int, name: str, what: str) -> list[Row]:
    program = shutil.which("zstd")
    if program is None:
        return [
            not_measured(
                f"{name}.zstd", f"{what}: times fewer bytes than zstd -19 takes", "ratio", "zstd is not installed"
            )
        ]
    done = subprocess.run([program, "-19", "-q", "-c", str(child.path)], capture_output=True, check=True)
    size = child.path.stat().st_size
    return [
        at_least(
            f"{name}.zstd", f"{what}: times fewer bytes than zstd -19 takes", len(done.stdout) / ours, 1.0, "ratio", 1
        ),
        of_a_peer(f"{name}.zstd_ratio", f"{what}: times fewer bytes by zstd -19", size / len(done.stdout), "ratio", 1),
    ]


def _tensors(child: _Child) -> Iterator[tuple[int, float]]:
    """Coded bytes and bytes by entropy of every tensor of integers that has a thousand of them."""
    data = child.path.read_bytes()
    for one in onnx_stretches(child.path)[""]:
        if not one.placing.integers or one.size_bytes < 4096:
            continue
        held = data[one.start : one.start + one.size_bytes]
        coded = sum(
            len(encode_block(held[at : at + BLOCK_BYTES], one.placing.moved(at)))
            for at in range(0, len(held), BLOCK_BYTES)
        )
        symbols = np.frombuffer(held, np.uint8)
        counts = np.bincount(nibbles_of(symbols) if child.four_bits else symbols)
        shares = counts[counts > 0] / counts.sum()
        yield coded, float(-(shares * np.log2(shares)).sum() * counts.sum() / 8)


def _packed(material: TrainingMaterial, child: _Child) -> Path:
    target = material.folder / f"{child.name}.packed"
    if not target.exists():
        pack(child.path, target)
    return target


def _cost(material: TrainingMaterial, child: _Child) -> list[Row]:
    megabytes = child.path.stat().st_size / 1e6
    packed, found = _packed(material, child), []
    for verb, act, given in (("packing", pack, child.path), ("unpacking", unpack, packed)):
        seconds = []
        for turn in range(1 if material.quick else 3):
            begun = time.process_time()
            act(given, material.folder / f"{verb}-{turn}.onnx")
            seconds.append(time.process_time() - begun)
        speeds = [megabytes / taken for taken in seconds]
        many = (len(speeds), max(speeds) - min(speeds))
        found.append(
            reported(
                f"storage.{verb}",
                f"storage: {child.what}: {verb}, MB a second of one core",
                sorted(speeds)[len(speeds) // 2],
                "MB/s",
                *many,
            )
        )
        script = _GROWN.format(verb, verb.removesuffix("ing"))
        words = [sys.executable, "-c", script, str(given), str(material.folder / f"{verb}-grown.onnx")]
        grown = int(subprocess.run(words, capture_output=True, check=True, text=True).stdout) / 1024
        found.append(
            at_most(
                f"storage.{verb}_memory",
                f"storage: {child.what}: memory of {verb} above what the imports take",
                grown,
                _MEMORY_MIB,
                "MiB",
                1,
            )
        )
    return found
