"""The one table of methods: what each is called, which formats and parameters it takes, and where its code lives.

Standard library only: web processes read this table to check a recipe; the code behind it is imported when a step runs.
"""

from __future__ import annotations

from compression_engine.methods.spec import MethodSpec, Parameter
from compression_engine.methods.specs_distill import DISTILL
from compression_engine.methods.specs_fine_tune import FINE_TUNE
from compression_engine.methods.specs_low_rank import LOW_RANK
from compression_engine.methods.specs_prune_structured import PRUNE_STRUCTURED
from compression_engine.methods.specs_prune_unstructured import PRUNE_UNSTRUCTURED
from compression_engine.methods.specs_quantize_aware_training import QUANTIZE_AWARE_TRAINING

_MIN_ELEMENTS = Parameter(
    name="min_elements",
    kind="integer",
    default=1024,
    minimum=1,
    maximum=2**40,
    summary="Weights with fewer numbers than this stay as they are.",
)

_EXCLUDE = Parameter(
    name="exclude",
    kind="names",
    default=(),
    summary="Weights that stay as they are, by the names that the report of a step gives them; a later step may change them.",
    added_later=True,
)

_BITS = Parameter(
    name="bits",
    kind="integer",
    default=8,
    choices=(8, 4),
    summary="Bits a number; 4 make a file half as large as 8 do, and the answers change more.",
    added_later=True,
)
_GRANULARITY = Parameter(
    name="granularity",
    kind="text",
    default="channel",
    choices=("channel", "block"),
    summary="Which numbers share a scale: those of an output channel, or blocks within it; blocks are nearer to the original "
    "and take more room.",
    added_later=True,
)
_BLOCK_SIZE = Parameter(
    name="block_size",
    kind="integer",
    default=32,
    choices=(32, 64, 128),
    summary="How many numbers a block has.",
    added_later=True,
    only_with=("granularity", "block"),
)
_SYMMETRIC = Parameter(
    name="symmetric",
    kind="boolean",
    default=True,
    summary="Whether ranges are centred on zero; without, each scale has a zero point beside it, which takes more room.",
    added_later=True,
)
_ROUNDING = Parameter(
    name="rounding",
    kind="text",
    default="nearest",
    choices=("nearest", "mse", "gptq"),
    summary="nearest: to the nearest integer; mse: the same, with the range of least squared error; gptq: each error is made "
    "good by the numbers that are rounded after it, weighed by inputs from calibration rows.",
    added_later=True,
)

_RANGES = Parameter(
    name="ranges",
    kind="text",
    default="mse",
    choices=("minmax", "percentile", "mse", "entropy"),
    summary="How the range of a tensor is chosen from what calibration rows show: minmax all of it; percentile a share of it; mse "
    "the range of least squared error; entropy the one that keeps most of the distribution.",
)
_PERCENTILE = Parameter(
    name="percentile",
    kind="integer",
    default=99_999,
    minimum=50_000,
    maximum=100_000,
    summary="The share of numbers within a range, in hundred-thousandths; half of the rest is cut off at either end.",
    only_with=("ranges", "percentile"),
)
_BIAS_CORRECTION = Parameter(
    name="bias_correction",
    kind="boolean",
    default=True,
    summary="Whether biases take back how far rounding moves the means of a layer's answers.",
)
_EQUALIZATION = Parameter(
    name="equalization",
    kind="boolean",
    default=True,
    summary="Whether what makes inputs of products hard to round is moved into their weights, where that lessens the error on "
    "calibration rows.",
)
_MOST_CHANGE = Parameter(
    name="most_change_per_mille",
    kind="integer",
    default=20,
    minimum=1,
    maximum=1000,
    summary="How far rounding may change the answers to calibration rows: squared differences as thousandths of the answers' own "
    "variation. Layers stay in floats, the worst first, until this is kept.",
)

_WEIGHT_BITS = Parameter(
    name="weight_bits",
    kind="integer",
    default=8,
    choices=(8, 4, 3, 2),
    summary="Bits of a weight; 4 halve the file, are computed as fast as 8 are, and the answers change much more. 3 and 2 lie in "
    "the file as 4 do, and save room where it is packed.",
    added_later=True,
)

METHODS: dict[str, MethodSpec] = {
    spec.name: spec
    for spec in (
        MethodSpec(
            name="quantize_weights",
            version="3",
            summary="Stores weights as 8-bit integers with one scale per output channel; the answers hardly change and "
            "the speed stays that of the original, because the runtime expands the weights once, when it loads. "
            "With 4 bits the file is little more than half as large as with 8.",
            formats=("onnx", "safetensors"),
            parameters=(_MIN_ELEMENTS, _BITS, _GRANULARITY, _BLOCK_SIZE, _SYMMETRIC, _ROUNDING, _EXCLUDE),
            module="compression_engine.methods.quantize_weights",
            calibrated_by=(("rounding", "gptq"),),
        ),
        MethodSpec(
            name="quantize_dynamic",
            version="3",
            summary="Computes matrix products in 8-bit integers: weights with one scale per output channel, inputs "
            "with scale and offset per token that are found at run time, so that a row's answer never depends on its batch.",
            formats=("onnx",),
            parameters=(_MIN_ELEMENTS, _EXCLUDE),
            module="compression_engine.methods.quantize_dynamic",
        ),
        MethodSpec(
            name="quantize_static",
            version="1",
            summary="Computes convolutions and products in 8-bit integers whose steps are fixed beforehand from calibration rows; "
            "layers whose rounding changes the answers too much stay in floats.",
            formats=("onnx",),
            parameters=(
                Parameter(
                    name="min_elements",
                    kind="integer",
                    default=64,
                    minimum=1,
                    maximum=2**40,
                    summary="Layers whose weights have fewer numbers than this stay in floats.",
                ),
                _RANGES,
                _PERCENTILE,
                _BIAS_CORRECTION,
                _EQUALIZATION,
                _MOST_CHANGE,
                _WEIGHT_BITS,
                _EXCLUDE,
            ),
            module="compression_engine.methods.quantize_static",
            needs_calibration=True,
        ),
        MethodSpec(
            name="convert_fp16",
            version="1",
            summary="Stores weights as 16-bit floats: half the size, practically the same answers, the same speed; what goes in "
            "and comes out stays float32.",
            formats=("onnx", "safetensors"),
            parameters=(
                _MIN_ELEMENTS,
                Parameter(
                    name="storage",
                    kind="text",
                    default="float16",
                    choices=("float16", "bfloat16"),
                    summary="float16 is nearer to the original; bfloat16 holds numbers as large as float32 does.",
                ),
                _EXCLUDE,
            ),
            module="compression_engine.methods.convert_fp16",
        ),
        MethodSpec(
            name="calibrate_temperature",
            version="1",
            summary="Divides a classifier's scores by one number that is fitted to labelled calibration rows, so that it is "
            "as often right as it says; which class comes first never changes, and nothing is saved.",
            formats=("onnx",),
            parameters=(
                Parameter(
                    name="min_rows",
                    kind="integer",
                    default=100,
                    minimum=20,
                    maximum=1_000_000,
                    summary="Fewer labelled calibration rows than this are refused.",
                ),
            ),
            module="compression_engine.methods.calibrate_temperature",
            needs_calibration=True,
            needs_labels=True,
            shrinks=False,
        ),
        FINE_TUNE,
        DISTILL,
        LOW_RANK,
        PRUNE_STRUCTURED,
        PRUNE_UNSTRUCTURED,
        QUANTIZE_AWARE_TRAINING,
    )
}

__all__ = ["METHODS", "MethodSpec", "Parameter"]
