"""Weights stored small on a convolutional network that is trained on 5,000 images of digits before it is measured."""

from __future__ import annotations

from tests.bench.harness import Row, at_least, not_measured, reported
from tests.bench.quantization_beside import beside, peer_rows
from tests.bench.quantization_material import Material

_PEERS = ("ort_default", "ort_static", "nncf_static", "nncf_weights")


def rows(material: Material) -> list[Row]:
    """Classes kept with weights alone stored as integers; a quick run trains nothing."""
    what = "digits: quantize_weights"
    if material.quick:
        return [
            not_measured("digits.decisions", f"{what}, first class kept", "share", "--quick does not train a network")
        ]
    folder = material.sample("mnist")
    found = beside(material, folder, "smaller-same-speed")
    return [
        at_least("digits.decisions", f"{what}, first class kept", found.equal, 1, "share", found.rows),
        reported("digits.size_ratio", f"{what}, times smaller", found.size_ratio, "ratio", 1),
        *peer_rows(material, folder, "digits", "digits", _PEERS),
    ]
