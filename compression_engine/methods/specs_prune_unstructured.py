"""What prune_unstructured says about itself. Standard library only: web processes read it."""

from __future__ import annotations

from compression_engine.methods.spec import Above, MethodSpec, OneOf, Parameter

_FREE = ("pattern", "unstructured")
_TRAINS = ("epochs_per_round", Above(0))

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
        Parameter(
            name="rounds",
            kind="integer",
            default=1,
            minimum=1,
            maximum=32,
            summary="In how many rounds the share is reached: much in the first, little in the last.",
            only_with=_TRAINS,
        ),
        Parameter(
            name="most_loss_per_mille",
            kind="integer",
            default=1000,
            minimum=0,
            maximum=1000,
            summary="How much rounds may lose on rows that are held out, in thousandths: of rows that are answered rightly, or, "
            "without labels, as the model answered them before. The last round that keeps this is the outcome; 1000 sets no limit.",
            only_with=_TRAINS,
        ),
        Parameter(
            name="batch_size",
            kind="integer",
            default=32,
            minimum=1,
            maximum=65_536,
            summary="How many rows are learned from together.",
            only_with=_TRAINS,
        ),
        Parameter(
            name="learning_rate_per_million",
            kind="integer",
            default=1000,
            minimum=1,
            maximum=1_000_000,
            summary="The highest learning rate of a round, in millionths; each round begins with it again and falls to zero.",
            only_with=_TRAINS,
        ),
        Parameter(
            name="weight_decay_per_million",
            kind="integer",
            default=0,
            minimum=0,
            maximum=1_000_000,
            summary="How much weights that stay are drawn towards zero, in millionths, as AdamW does it.",
            only_with=_TRAINS,
        ),
        Parameter(
            name="patience",
            kind="integer",
            default=0,
            minimum=0,
            maximum=10_000,
            summary="A round's training ends after so many epochs in a row without a better answer to the rows that are held "
            "out; 0: never before its time.",
            only_with=_TRAINS,
        ),
        Parameter(
            name="optimiser",
            kind="text",
            default="adamw",
            choices=("adamw", "sgd"),
            summary="How weights follow their gradients: AdamW, or plain descent with a momentum of 0.9.",
            only_with=_TRAINS,
        ),
        Parameter(
            name="loss",
            kind="text",
            default="labels",
            choices=("labels", "teacher", "both"),
            summary="What training lessens: how far answers are from the labels, from those of a teacher (the recipe's parent "
            "where none is named), or from both.",
            only_with=_TRAINS,
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
            summary="What scores are divided by, in hundredths, before a teacher's are learned.",
            only_with=("loss", OneOf("teacher", "both")),
        ),
    ),
    module="compression_engine.methods.prune_unstructured",
    trained_by=(_TRAINS,),
    shrinks=False,
)
