"""What prune_structured says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from dataclasses import replace

from compression_engine.methods.spec import Above, MethodSpec, OneOf, Parameter
from compression_engine.methods.training_parameters import (
    ALPHA,
    BATCH_SIZE,
    LEARNING_RATE,
    LOSS,
    MOST_LOSS,
    OPTIMISER,
    PATIENCE,
    ROUNDS,
    TEMPERATURE,
    WEIGHT_DECAY,
)

_TRAINS = ("epochs_per_round", Above(0))
_RATE_OF_A_ROUND = (
    "The highest learning rate of a round, in millionths; each round begins with it again and falls to zero. A high one destroys "
    "what was made good."
)
_OF_ROUNDS = (
    *(
        replace(parameter, only_with=_TRAINS)
        for parameter in (
            ROUNDS,
            MOST_LOSS,
            BATCH_SIZE,
            replace(LEARNING_RATE, summary=_RATE_OF_A_ROUND),
            WEIGHT_DECAY,
            PATIENCE,
            OPTIMISER,
            LOSS,
        )
    ),
    ALPHA,
    TEMPERATURE,
)

PRUNE_STRUCTURED = MethodSpec(
    name="prune_structured",
    version="2",
    summary="Takes whole channels, heads and hidden units out of a network, with everything that depends on them, so that it is "
    "smaller and faster on any runtime; what is least important goes, and calibration rows can make good part of the loss.",
    formats=("onnx",),
    parameters=(
        Parameter(
            name="share_per_mille",
            kind="integer",
            default=500,
            minimum=1,
            maximum=990,
            summary="How much is saved at least, in thousandths of what `share_of` says.",
        ),
        Parameter(
            name="share_of",
            kind="text",
            default="multiply_adds",
            choices=("multiply_adds", "numbers"),
            summary="What the share is of: multiply-adds of products, convolutions and cells (speed), or numbers (size).",
        ),
        Parameter(
            name="importance",
            kind="text",
            default="magnitude",
            choices=("magnitude", "activation", "taylor", "answers"),
            summary="By what a channel is judged: magnitude of its weights; activation, how much of the next layers' answers to "
            "calibration rows varies with it; taylor, how the loss on labelled training rows would change; answers, how the "
            "model's answers to training rows would, which needs no labels.",
        ),
        Parameter(
            name="compensation",
            kind="text",
            default="none",
            choices=("none", "bias", "weights"),
            summary="What makes good the loss, from calibration rows: nothing; biases take what was lost on average; or layers "
            "that read fewer channels get the weights that answer most nearly as before.",
        ),
        Parameter(
            name="scope",
            kind="text",
            default="global",
            choices=("global", "layer"),
            summary="Whether the least important of the whole network go, or the same share of every group.",
        ),
        Parameter(
            name="round_to",
            kind="integer",
            default=4,
            choices=(1, 2, 4, 8, 16, 32),
            summary="What is left of a group is a multiple of this many channels, rounded up; kernels are fastest on such numbers.",
        ),
        Parameter(
            name="keep_at_least_per_mille",
            kind="integer",
            default=100,
            minimum=1,
            maximum=1000,
            summary="How much of each group is kept at least, in thousandths of its channels, heads or units; one always is.",
        ),
        Parameter(
            name="heads",
            kind="text",
            default="whole",
            choices=("whole", "size", "leave"),
            summary="What goes where channels are cut into heads: whole heads, the same places of all of them, or nothing.",
        ),
        Parameter(
            name="width",
            kind="boolean",
            default=False,
            summary="Whether channels over which means are taken may go too (the width of a transformer); the mean of fewer is "
            "another, so train afterwards.",
        ),
        Parameter(
            name="exclude",
            kind="names",
            default=(),
            summary="Weights that keep all their channels, by the names that the report of a step gives them.",
        ),
        Parameter(
            name="epochs_per_round",
            kind="integer",
            default=0,
            minimum=0,
            maximum=1000,
            summary="How often the training rows are gone through after each round; 0 trains nothing.",
            added_later=True,
        ),
        *(replace(parameter, added_later=True) for parameter in _OF_ROUNDS),
    ),
    module="compression_engine.methods.prune_structured",
    calibrated_by=(("importance", "activation"), ("compensation", "bias"), ("compensation", "weights")),
    trained_by=(("importance", OneOf("taylor", "answers")), _TRAINS),
)
