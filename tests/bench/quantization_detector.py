"""Weights stored small on a recurrent voice detector, whose own state is carried from frame to frame.

Whole sequences are judged, since frames judged one by one hide drift. The file for one sampling rate binds; the default file,
with a network for each rate in the branches of an If, is reported.
"""

from __future__ import annotations

from pathlib import Path

from compression_engine.samples.speech import write_detector
from tests.bench.harness import Row, at_least, reported
from tests.bench.quantization_beside import Beside, beside, peer_rows
from tests.bench.quantization_material import Material

_PEERS = ("ort_default", "ort_static", "nncf_static", "nncf_weights")
_RECIPE = "smaller-same-speed"


def rows(material: Material) -> list[Row]:
    """Size and decisions of both files."""
    folder = material.sample("silero")
    found, whole = beside(material, folder, _RECIPE), _default_file(material, folder)
    name, what = "detector", "voice detector, whole sequences"
    return [
        at_least(f"{name}.size_ratio", f"{what}: quantize_weights, times smaller", found.size_ratio, 3.3, "ratio", 1),
        at_least(f"{name}.decisions", f"{what}: quantize_weights, decisions equal", found.equal, 0.99, "share", found.rows),
        reported(f"{name}.largest", f"{what}: quantize_weights, largest difference", found.largest, "output", found.rows),
        reported(f"{name}.default.size_ratio", "voice detector, default file: times smaller", whole.size_ratio, "ratio", 1),
        reported(f"{name}.default.decisions", "voice detector, default file: decisions equal", whole.equal, "share", whole.rows),
        *peer_rows(material, folder, name, what, _PEERS),
    ]  # fmt: skip


def _default_file(material: Material, folder: Path) -> Beside:
    """The file with both sampling rates in the branches of an If."""
    target = material.folder / "silero-default"
    target.mkdir()
    for name in ("plan.json", "calibration.npz", "evaluation.npz"):
        (target / name).symlink_to(folder / name)
    write_detector(target / "model.onnx", "silero_vad.onnx")
    return beside(material, target, _RECIPE)
