"""Every shipped recipe over one network as torch's two exporters write it: right, or refused for the same reason; and alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from compression_engine import compress
from compression_engine.errors import EngineError
from compression_engine.recipe import Recipe, shipped_recipes
from tests.engine import exported, nets
from tests.engine.made import untrained

LEAST = {
    "half-size": 0.99999,
    "smaller-same-speed": 0.9999,
    "faster-int8": 0.9999,
    "fastest-int8": 0.999,
    "smallest-4-bit": 0.99,
}
"""The least cosine to the parent's answers over held-out rows, below what the worst of the networks gives (4 bits: 0.994)."""
ALIKE = 0.999
_CALIBRATION_ROWS, _ROWS = 48, 32
FITS = {"convolutions": set(LEAST)} | dict.fromkeys(("recurrent", "attention"), set(LEAST) - {"fastest-int8"})
"""Which recipes have something to do: the small products of the others would be slower in integers, and are refused."""
MINUTES = pytest.mark.long  # the first export of the newer kind takes seconds, and each other one some
CASES = [pytest.param("convolutions", ("legacy", "dynamo"), id="convolutions")] + [
    pytest.param(name, exported.EXPORTERS, marks=MINUTES, id=f"{name}-every-way") for name in exported.NETS
]


@dataclass(frozen=True)
class Written:
    """One network in several files, and rows for it."""

    folders: dict[str, Path]
    calibration: Path
    feed: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, tuple[str, ...]], Written]:
    """Exports each network once a session and exporter."""
    root, done = tmp_path_factory.mktemp("exported"), dict[tuple[str, str], Path]()

    def of(name: str, exporters: tuple[str, ...]) -> Written:
        for exporter in exporters:
            if (name, exporter) not in done:
                done[name, exporter] = exported.write(name, exporter, root / name / exporter)
        net, generator = exported.NETS[name], np.random.default_rng(1)
        rows = nets.save_rows({net.input_name: net.draw(generator, _CALIBRATION_ROWS)}, root / f"{name}.npz")
        feed = {net.input_name: net.draw(generator, _ROWS)}
        return Written({exporter: done[name, exporter] for exporter in exporters}, rows, feed)

    return of


def answers(folder: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, feed)[0].astype(np.float64)
    return found


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other)))


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.name.startswith("model.onnx"))


def refused_by(folder: Path, recipe: Recipe, child: Path, calibration: Path | None) -> EngineError | None:
    """Compresses, and gives the refusal where there is one."""
    try:
        compress(folder, recipe, output_folder=child, calibration=calibration)
    except EngineError as error:
        return error
    return None


@pytest.mark.parametrize("recipe", LEAST)
@pytest.mark.parametrize(("name", "exporters"), CASES)
def test_a_network_is_compressed_alike_whichever_exporter_wrote_it(
    name: str, exporters: tuple[str, ...], recipe: str, written: Callable[..., Written], tmp_path: Path
) -> None:
    files, chosen = written(name, exporters), shipped_recipes()[recipe].recipe
    calibration = files.calibration if any(step.needs_calibration for step in chosen.steps) else None
    parents = [answers(folder, files.feed) for folder in files.folders.values()]
    assert all(cosine(parents[0], other) > 1 - 1e-9 for other in parents)
    found, refused = [], []
    for exporter, folder in files.folders.items():
        child = tmp_path / exporter
        refusal = refused_by(folder, chosen, child, calibration)
        if refusal is not None:
            assert refusal.code == "recipe_does_not_fit"
            assert "going to integers and back would take longer than they save" in refusal.message
            assert "Use quantize_weights" in refusal.hint
            assert not child.exists()
            refused.append(exporter)
            continue
        assert size_bytes(child) < size_bytes(folder)
        found.append(answers(child, files.feed))
    assert [len(found), len(refused)] == ([len(exporters), 0] if recipe in FITS[name] else [0, len(exporters)])
    assert all(LEAST[recipe] <= cosine(parents[0], one) < 1 for one in found)
    assert all(cosine(found[0], other) >= ALIKE for other in found[1:])


def test_every_shipped_recipe_is_tried() -> None:
    """All that train no further: what those do with a graph is shown where they are tested."""
    assert set(untrained()) == set(LEAST)
