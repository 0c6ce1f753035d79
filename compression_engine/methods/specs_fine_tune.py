"""What fine_tune says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from compression_engine.methods.spec import MethodSpec, OneOf, Parameter
from compression_engine.methods.training_parameters import (
    ADVERSARIAL,
    ALPHA,
    BATCH_SIZE,
    EPOCHS,
    LEARNING_RATE,
    LOSS,
    OPTIMISER,
    PATIENCE,
    TEMPERATURE,
    WEIGHT_DECAY,
)

FINE_TUNE = MethodSpec(
    name="fine_tune",
    version="1",
    summary="Trains a model's weights further on training rows, by their labels, by a teacher's answers or by both, and keeps what "
    "is best on rows that are held out; zeros of pruned weights stay zeros, and nothing is saved.",
    formats=("onnx",),
    parameters=(
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        WEIGHT_DECAY,
        PATIENCE,
        OPTIMISER,
        LOSS,
        ALPHA,
        TEMPERATURE,
        Parameter(
            name="label_smoothing_per_mille",
            kind="integer",
            default=0,
            minimum=0,
            maximum=500,
            summary="How much of a label is shared out over all classes, in thousandths.",
            only_with=("loss", OneOf("labels", "both")),
        ),
        Parameter(
            name="frozen",
            kind="names",
            default=(),
            summary="Weights that stay as they are to the bit, by the names that the report of a step gives them; a name that "
            "ends in * means all that begin so.",
        ),
        *ADVERSARIAL,
    ),
    module="compression_engine.methods.fine_tune",
    needs_training=True,
    shrinks=False,
)
