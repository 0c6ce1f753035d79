"""`python -m tests.engine.replayed FOLDER`: makes children of the nets there by every recipe that ships, prints their digests.

Each folder below FOLDER holds model.onnx and rows.npz (or rows.jsonl). Run in processes with other settings: bytes must not depend
on them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from compression_engine.canonical import digest_of
from compression_engine.errors import RecipeError
from tests.engine import made


def digests(folder: Path) -> dict[str, str]:
    """The digest of every child by net and recipe; why there is none, where a recipe does not fit a net."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for parent in sorted(path for path in folder.iterdir() if path.is_dir()):
            for name, shipped in made.untrained().items():
                key = f"{parent.name}/{name}"
                looks = any(step.needs_calibration for step in shipped.recipe.steps)
                rows = next(parent.glob("rows.*")) if looks else None
                try:
                    file = made.child(parent, shipped.recipe, Path(temporary) / key, calibration=rows)
                except RecipeError as error:
                    found[key] = error.code
                else:
                    found[key] = digest_of(b"".join(part.read_bytes() for part in sorted(file.parent.iterdir())))
    return found


if __name__ == "__main__":
    print(json.dumps(digests(Path(sys.argv[1]))))
