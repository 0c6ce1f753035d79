"""What fine_tune says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from compression_engine.methods.spec import MethodSpec, OneOf, Parameter

FINE_TUNE = MethodSpec(
    name="fine_tune",
    version="1",
    summary="Trains a model's weights further on training rows, by their labels, by a teacher's answers or by both, and keeps what "
    "is best on rows that are held out; zeros of pruned weights stay zeros, and nothing is saved.",
    formats=("onnx",),
    parameters=(
        Parameter(
            name="epochs",
            kind="integer",
            default=5,
            minimum=1,
            maximum=10_000,
            summary="How often the training rows are gone through.",
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
            default=200,
            minimum=1,
            maximum=1_000_000,
            summary="The highest learning rate, in millionths; it is reached after a twentieth of the updates and falls to zero.",
        ),
        Parameter(
            name="weight_decay_per_million",
            kind="integer",
            default=0,
            minimum=0,
            maximum=1_000_000,
            summary="How much matrices and kernels are drawn towards zero, in millionths, as AdamW does it.",
        ),
        Parameter(
            name="patience",
            kind="integer",
            default=0,
            minimum=0,
            maximum=10_000,
            summary="Training ends after so many epochs in a row without a better answer to the rows that are held out; 0: never "
            "before its time.",
        ),
        Parameter(
            name="optimiser",
            kind="text",
            default="adamw",
            choices=("adamw", "sgd"),
            summary="How weights follow their gradients: AdamW, or plain descent with a momentum of 0.9.",
        ),
        Parameter(
            name="loss",
            kind="text",
            default="labels",
            choices=("labels", "teacher", "both"),
            summary="What training lessens: how far answers are from the labels, from those of a teacher (the recipe's parent "
            "where none is named), or from both.",
        ),
        Parameter(
            name="alpha_percent",
            kind="integer",
            default=50,
            minimum=1,
            maximum=99,
            summary="The teacher's share of the loss, the rest is the labels'.",
            only_with=("loss", "both"),
        ),
        Parameter(
            name="temperature_percent",
            kind="integer",
            default=100,
            minimum=10,
            maximum=10_000,
            summary="What scores are divided by, in hundredths, before a teacher's are learned: above 100 what it holds "
            "unlikely counts for more.",
            only_with=("loss", OneOf("teacher", "both")),
        ),
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
    ),
    module="compression_engine.methods.fine_tune",
    needs_training=True,
    shrinks=False,
)
