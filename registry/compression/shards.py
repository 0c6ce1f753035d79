"""A model that lies in several files: which one the engine is given, and the digest by which it speaks of all of them. Pure.

Rules:
- shards of safetensors are one model by the index beside them: one file `*.safetensors.index.json` in the folder of all weights;
- the digest is the engine's: over the canonical list of digest and name of index and shards, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from registry.digests import canonical, sha256

INDEX_SUFFIX = ".safetensors.index.json"
FORMAT = "safetensors"


def index_beside(weights: Sequence[str], others: Sequence[str]) -> str | None:
    """The index of these shards among the other files of a version, all by their paths; None where there is not just one."""
    folders = {PurePosixPath(path).parent for path in weights}
    found = [path for path in others if path.endswith(INDEX_SUFFIX) and PurePosixPath(path).parent in folders]
    return found[0] if len(found) == 1 and len(folders) == 1 else None


def digest_of_shards(digests: Mapping[str, str]) -> str:
    """Of index and shards, `digests` by path; the last part of a path counts, as the files lie in one folder."""
    named = {PurePosixPath(path).name: digest for path, digest in digests.items()}
    return sha256(canonical([{"digest": named[name], "path": name} for name in sorted(named)]))
