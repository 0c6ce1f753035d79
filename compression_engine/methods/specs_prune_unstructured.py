"""What prune_unstructured says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from dataclasses import replace

from compression_engine.methods.spec import Above, MethodSpec, Parameter
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

_FREE = ("pattern", "unstructured")
_TRAINS = ("epochs_per_round", Above(0))
_RATE_OF_A_ROUND = (
    "The highest learning rate of a round, in millionths; each round begins with it again and falls to zero."
)

PRUNE_UNSTRUCTURED = MethodSpec(
    name="prune_unstructured",
    version="1",
    summary="Sets the smallest numbers of weights to zero, at once or in rounds with training between them. Zeros alone make the "
    "file no smaller and the answers no faster: they pay where the file is packed, since zeros take next to no room there.",
    formats=("onnx",),
    parameters=(
        Parameter(
            name="sparsity_per_mille",
            kind="integer",
            default=500,
            minimum=1,
            maximum=990,
            summary="How many of a thousand numbers become zero, of all weights that are pruned together.",
            only_with=_FREE,
        ),
        Parameter(
            name="scope",
            kind="text",
            default="adaptive",
            choices=("adaptive", "global", "layer"),
            summary="What is compared: adaptive the numbers of all weights, each as a share of its weight's own; global their "
            "plain magnitudes; layer only those of one weight, so that each loses the same share.",
            only_with=_FREE,
        ),
        Parameter(
            name="pattern",
            kind="text",
            default="unstructured",
            choices=("unstructured", "2:4"),
            summary="2:4: of every four neighbours along a layer's inputs two become zero, as some accelerators want it.",
        ),
        Parameter(
            name="min_elements",
            kind="integer",
            default=1024,
            minimum=1,
            maximum=2**40,
            summary="Weights with fewer numbers than this stay as they are.",
        ),
        Parameter(
            name="spare_ends",
            kind="boolean",
            default=True,
            summary="Whether the first and the last layers stay as they are where they hold at most a twentieth of all numbers: "
            "they save least and cost most.",
        ),
        Parameter(
            name="exclude",
            kind="names",
            default=(),
            summary="Weights that stay as they are, by the names that the report of a step gives them.",
        ),
        Parameter(
            name="epochs_per_round",
            kind="integer",
            default=0,
            minimum=0,
            maximum=1000,
            summary="How often the training rows are gone through after each round; 0 trains nothing and needs no rows.",
        ),
        replace(ROUNDS, only_with=_TRAINS),
        replace(MOST_LOSS, only_with=_TRAINS),
        replace(BATCH_SIZE, only_with=_TRAINS),
        replace(LEARNING_RATE, default=1000, summary=_RATE_OF_A_ROUND, only_with=_TRAINS),
        replace(WEIGHT_DECAY, only_with=_TRAINS),
        replace(PATIENCE, only_with=_TRAINS),
        replace(OPTIMISER, only_with=_TRAINS),
        replace(LOSS, only_with=_TRAINS),
        ALPHA,
        TEMPERATURE,
    ),
    module="compression_engine.methods.prune_unstructured",
    trained_by=(_TRAINS,),
    shrinks=False,
)
