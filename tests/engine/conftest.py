"""What the engine's tests share: small nets on disk, and the real sentence encoder, exported once a session."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compression_engine.steps.calibration import Calibration
from tests.engine import nets


@pytest.fixture
def mlp_folder(tmp_path: Path) -> Path:
    """A folder with model.onnx (a small perceptron) and rows.npz."""
    folder = tmp_path / "parent"
    nets.save(nets.mlp(), folder)
    nets.save_rows(nets.rows_for("x"), folder / "rows.npz")
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., Calibration]:
    """Makes calibration rows of arrays."""

    def made(**arrays: Any) -> Calibration:
        path = nets.save_rows(arrays, tmp_path / f"rows-{len(list(tmp_path.iterdir()))}.npz")
        return Calibration.of_inputs(path, None, None)

    return made


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real encoder (minilm/) and real sentences (data/), made as a user would make them."""
    folder = tmp_path_factory.mktemp("samples")
    for what, target in (("minilm", "minilm"), ("sentences", "data")):
        command = [sys.executable, "-m", "compression_engine.samples", what, str(folder / target)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder
