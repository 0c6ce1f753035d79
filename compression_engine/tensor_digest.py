"""The digest of numbers as they are stored, whatever file they lie in: the same tensor has the same digest in ONNX and safetensors.

SHA-256 over, for each tensor: the name of its type and its shape as `int8[384,384]` and a line feed, then its little-endian bytes.
Standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence


class TensorDigest:
    """A digest of one tensor, or of several behind each other; bytes may come in pieces of any size."""

    def __init__(self) -> None:
        self._running = hashlib.sha256()

    def add(self, kind: str, shape: Sequence[int], pieces: Iterable[bytes | memoryview]) -> None:
        """Adds a tensor: `kind` as ONNX spells it in small letters (float, float16, bfloat16, int8, uint8, ...)."""
        self._running.update(f"{kind}[{','.join(map(str, shape))}]\n".encode())
        for piece in pieces:
            self._running.update(piece)

    def text(self) -> str:
        """`sha256:<hex>`."""
        return f"sha256:{self._running.hexdigest()}"
