"""What prune_structured says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from compression_engine.methods.spec import MethodSpec, Parameter

PRUNE_STRUCTURED = MethodSpec(
    name="prune_structured",
    version="1",
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
            choices=("magnitude", "activation", "taylor"),
            summary="By what a channel is judged: magnitude of its weights; activation, how much of the next layers' answers to "
            "calibration rows varies with it; taylor, how the loss on labelled training rows would change.",
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
    ),
    module="compression_engine.methods.prune_structured",
    calibrated_by=(("importance", "activation"), ("compensation", "bias"), ("compensation", "weights")),
    trained_by=(("importance", "taylor"),),
)
