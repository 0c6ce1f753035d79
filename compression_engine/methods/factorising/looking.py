"""What calibration rows say to a factorisation: the inputs of each layer, as sums, and factors that are nearest for them.

Rules:
- sums alone are kept, so memory does not grow with rows; layers that read the same tensor share them;
- a layer whose inputs cannot be looked at, or that has too many, is not among what is found: its weight alone tells then.
Tried and left out: fitting each layer again, by least squares, to the original's answers on what the factored layers before it
give. On 140 sentences it took an encoder from a mean cosine of 0.918 to 0.890: so many matrices learn the rows, not the language.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from compression_engine.methods.factorising.factors import Matrix, Spectrum, by_inputs
from compression_engine.methods.factorising.layers import Layer
from compression_engine.progress import Progress
from compression_engine.steps.activations import Wanted, grams
from compression_engine.steps.calibration import Calibration

_INPUTS_MOST = 8192


def matrix_of(layer: Layer) -> Matrix:
    """The weight as [rows, columns]."""
    found: Matrix = numpy_helper.to_array(layer.tensor).astype(np.float64).reshape(layer.rows, layer.columns)
    return found


def spectra(
    model: onnx.ModelProto, layers: Sequence[Layer], calibration: Calibration, progress: Progress
) -> dict[str, Spectrum]:
    """By the weight's name, of those whose inputs can be looked at; DataError (data_does_not_fit) where they are no numbers."""
    together: dict[Wanted, list[Layer]] = defaultdict(list)
    for layer in layers:
        if layer.product is not None and layer.inner <= _INPUTS_MOST:
            together[Wanted(layer.product.sources, layer.inner)].append(layer)
    found: dict[str, Spectrum] = {}
    for one, gram in grams(model, calibration, list(together), progress):
        for layer in together[one]:
            progress("factor", len(found), len(layers), layer.name)
            assert layer.product is not None  # others are not looked at
            found[layer.name] = by_inputs(matrix_of(layer), gram, layer.product.inner_axis)
    return found
