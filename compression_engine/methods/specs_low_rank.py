"""What low_rank says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from compression_engine.methods.spec import MethodSpec, Parameter

LOW_RANK = MethodSpec(
    name="low_rank",
    version="1",
    summary="Puts two thinner matrices in the place of a weight, so that products and convolutions have fewer numbers and fewer "
    "multiply-adds; which ranks suffice is chosen over the whole network, best by what calibration rows send through it.",
    formats=("onnx",),
    parameters=(
        Parameter(
            name="share_per_mille",
            kind="integer",
            default=200,
            minimum=1,
            maximum=990,
            summary="How much is saved at least, in thousandths of what `share_of` says.",
        ),
        Parameter(
            name="share_of",
            kind="text",
            default="multiply_adds",
            choices=("multiply_adds", "numbers"),
            summary="What the share is of: multiply-adds of all products and convolutions with weights, or all numbers of weights "
            "(embeddings, which stay as they are, are among them).",
        ),
        Parameter(
            name="fit",
            kind="text",
            default="weights",
            choices=("weights", "inputs"),
            summary="To what two factors are fitted: weights, to the numbers of the weight; inputs, to what it answers to "
            "calibration rows, which is nearer to the original.",
        ),
        Parameter(
            name="scope",
            kind="text",
            default="global",
            choices=("global", "layer"),
            summary="Whether ranks are chosen over the whole network, where least error buys most, or save the same "
            "share of every layer.",
        ),
        Parameter(
            name="round_to",
            kind="integer",
            default=8,
            choices=(1, 2, 4, 8, 16, 32),
            summary="Ranks are multiples of this; kernels are fastest on such numbers.",
        ),
        Parameter(
            name="min_elements",
            kind="integer",
            default=4096,
            minimum=1,
            maximum=2**40,
            summary="Weights with fewer numbers than this stay as they are.",
        ),
        Parameter(
            name="exclude",
            kind="names",
            default=(),
            summary="Weights that stay whole, by the names that the report of a step gives them.",
        ),
    ),
    module="compression_engine.methods.low_rank",
    calibrated_by=(("fit", "inputs"),),
    sums_by_kernels=True,
)
