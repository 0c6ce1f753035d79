"""What quantize_aware_training says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from compression_engine.methods.spec import MethodSpec, Parameter

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
        Parameter(
            name="epochs",
            kind="integer",
            default=10,
            minimum=1,
            maximum=1000,
            summary="How often the training rows are gone through at most.",
        ),
        Parameter(
            name="batch_size",
            kind="integer",
            default=32,
            minimum=1,
            maximum=65_536,
            summary="How many rows are learned from together.",
        ),
        Parameter(
            name="learning_rate_per_million",
            kind="integer",
            default=50,
            minimum=1,
            maximum=1_000_000,
            summary="The highest learning rate, in millionths.",
        ),
        Parameter(
            name="patience",
            kind="integer",
            default=0,
            minimum=0,
            maximum=1000,
            summary="Training ends after so many epochs in a row without a better answer to the rows that are held out; 0: never "
            "before its time.",
        ),
        Parameter(
            name="loss",
            kind="text",
            default="teacher",
            choices=("labels", "teacher", "both"),
            summary="What training lessens: how far answers are from the labels, from those of a teacher (the recipe's parent "
            "where none is named, which needs no labels), or from both.",
        ),
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
    ),
    module="compression_engine.methods.quantize_aware_training",
    needs_training=True,
)
