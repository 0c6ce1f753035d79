"""What quantize_aware_training says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from dataclasses import replace

from compression_engine.methods.spec import MethodSpec, Parameter
from compression_engine.methods.training_parameters import (
    ADVERSARIAL,
    BATCH_SIZE,
    EPOCHS,
    LEARNING_RATE,
    LOSS,
    PATIENCE,
)

QUANTIZE_AWARE_TRAINING = MethodSpec(
    name="quantize_aware_training",
    version="1",
    summary="Trains a model while its weights and what flows between its layers are rounded, so that it learns to answer well with "
    "integers, and writes the integers that it was trained with.",
    formats=("onnx",),
    parameters=(
        Parameter(
            name="weight_bits",
            kind="integer",
            default=4,
            choices=(8, 4, 3, 2),
            summary="Bits of a weight; 8 hardly need training. 3 and 2 lie in the file as 4 do, and save room where it is packed.",
        ),
        Parameter(
            name="activation_bits",
            kind="integer",
            default=8,
            choices=(8, 32),
            summary="8: what flows between layers is rounded to bytes, and layers are computed in integers where that is faster; "
            "32: it stays floats, weights are stored and expanded when the model is loaded.",
        ),
        replace(EPOCHS, default=10),
        BATCH_SIZE,
        replace(LEARNING_RATE, default=50),
        PATIENCE,
        replace(LOSS, default="teacher"),
        Parameter(
            name="learn_scales",
            kind="boolean",
            default=True,
            summary="Whether the steps to which numbers are rounded are learned too; else they stay what rows gave at first.",
        ),
        Parameter(
            name="min_elements",
            kind="integer",
            default=64,
            minimum=1,
            maximum=2**40,
            summary="Weights with fewer numbers than this stay in floats; of those outside layers in integers also all below 1,024 "
            "where activation_bits is 8.",
        ),
        Parameter(
            name="exclude",
            kind="names",
            default=(),
            summary="Weights that are neither rounded nor trained, by the names that the report of a step gives them.",
        ),
        *ADVERSARIAL,
    ),
    module="compression_engine.methods.quantize_aware_training",
    needs_training=True,
)
