"""What distill says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from dataclasses import replace

from compression_engine.methods.spec import MethodSpec, Parameter
from compression_engine.methods.training_parameters import BATCH_SIZE, EPOCHS, LEARNING_RATE, PATIENCE, WEIGHT_DECAY

DISTILL = MethodSpec(
    name="distill",
    version="1",
    summary="Makes a smaller student learn a teacher's answers: the model without some of its layers or channels, or another "
    "model that is handed in. The teacher is the recipe's parent where none is named, and the rows need no labels.",
    formats=("onnx",),
    parameters=(
        Parameter(
            name="student",
            kind="text",
            default="derived",
            choices=("derived", "declared"),
            summary="What the child begins as: derived, the model without some of its layers or channels; declared, a model that "
            "is handed in.",
        ),
        Parameter(
            name="layers_kept_per_mille",
            kind="integer",
            default=500,
            minimum=1,
            maximum=1000,
            summary="The share of the layers that stay, in thousandths, rounded up; 1000 keeps them all.",
            only_with=("student", "derived"),
        ),
        Parameter(
            name="layers_by",
            kind="text",
            default="answers",
            choices=("answers", "place"),
            summary="Which layers go: answers, one after the other those whose going changes the answers to training rows least; "
            "place, such that those that stay are evenly spread, the first and the last among them.",
            only_with=("student", "derived"),
        ),
        Parameter(
            name="width_per_mille",
            kind="integer",
            default=1000,
            minimum=1,
            maximum=1000,
            summary="The share of each layer's channels, heads and hidden units that stays, in thousandths, rounded up to "
            "multiples of four; what inputs and outputs of the model are tied to stays whole. 1000 keeps them all.",
            added_later=True,
            only_with=("student", "derived"),
        ),
        Parameter(
            name="alpha_percent",
            kind="integer",
            default=100,
            minimum=1,
            maximum=100,
            summary="The teacher's share of the loss, the rest is the labels'; with 100 the rows need none.",
        ),
        Parameter(
            name="temperature_percent",
            kind="integer",
            default=200,
            minimum=10,
            maximum=10_000,
            summary="What scores of classes or tokens are divided by, in hundredths, before they are learned: above 100 what the "
            "teacher holds unlikely counts for more.",
        ),
        Parameter(
            name="hints",
            kind="boolean",
            default=False,
            summary="Whether what leaves the student's layers is to be near what leaves the teacher's, too.",
        ),
        Parameter(
            name="hints_percent",
            kind="integer",
            default=30,
            minimum=1,
            maximum=10_000,
            summary="How much the hints count beside the answers, in hundredths.",
            only_with=("hints", True),
        ),
        Parameter(
            name="train_embeddings",
            kind="boolean",
            default=False,
            summary="Whether tables in which rows are looked up by number are trained too; of small models they are most of the "
            "weights, and they come from the teacher.",
        ),
        replace(EPOCHS, default=3),
        BATCH_SIZE,
        replace(LEARNING_RATE, default=500),
        WEIGHT_DECAY,
        PATIENCE,
    ),
    module="compression_engine.methods.distill",
    needs_training=True,
    always_taught=True,
    student_by=(("student", "declared"),),
)
