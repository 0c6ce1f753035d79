"""The settings that methods which train have in common: one meaning and one set of bounds, each method with its own defaults.

A method takes one as it is, or with `dataclasses.replace` another default or condition. Standard library only.
"""

from __future__ import annotations

from compression_engine.methods.spec import Above, OneOf, Parameter

EPOCHS = Parameter(
    name="epochs",
    kind="integer",
    default=5,
    minimum=1,
    maximum=10_000,
    summary="How often the training rows are gone through.",
)
BATCH_SIZE = Parameter(
    name="batch_size",
    kind="integer",
    default=32,
    minimum=1,
    maximum=65_536,
    summary="How many rows are learned from together.",
)
LEARNING_RATE = Parameter(
    name="learning_rate_per_million",
    kind="integer",
    default=200,
    minimum=1,
    maximum=1_000_000,
    summary="The highest learning rate, in millionths; it is reached after a twentieth of the updates and falls to zero.",
)
WEIGHT_DECAY = Parameter(
    name="weight_decay_per_million",
    kind="integer",
    default=0,
    minimum=0,
    maximum=1_000_000,
    summary="How much matrices and kernels are drawn towards zero, in millionths, as AdamW does it.",
)
PATIENCE = Parameter(
    name="patience",
    kind="integer",
    default=0,
    minimum=0,
    maximum=10_000,
    summary="Training ends after so many epochs in a row without a better answer to the rows that are held out; 0: never "
    "before its time.",
)
OPTIMISER = Parameter(
    name="optimiser",
    kind="text",
    default="adamw",
    choices=("adamw", "sgd"),
    summary="How weights follow their gradients: AdamW, or plain descent with a momentum of 0.9.",
)
LOSS = Parameter(
    name="loss",
    kind="text",
    default="labels",
    choices=("labels", "teacher", "both"),
    summary="What training lessens: how far answers are from the labels, from those of a teacher (the recipe's parent where none "
    "is named, which needs no labels), or from both.",
)
ALPHA = Parameter(
    name="alpha_percent",
    kind="integer",
    default=50,
    minimum=1,
    maximum=99,
    summary="The teacher's share of the loss, the rest is the labels'.",
    only_with=("loss", "both"),
)
TEMPERATURE = Parameter(
    name="temperature_percent",
    kind="integer",
    default=100,
    minimum=10,
    maximum=10_000,
    summary="What scores of classes or tokens are divided by, in hundredths, before a teacher's are learned: above 100 what it "
    "holds unlikely counts for more.",
    only_with=("loss", OneOf("teacher", "both")),
)
_ATTACKED = ("adversarial_percent", Above(0))
ADVERSARIAL = (
    Parameter(
        name="adversarial_percent",
        kind="integer",
        default=0,
        minimum=0,
        maximum=100,
        summary="The share of the loss that is of rows which are moved against the model while it learns, in hundredths; 0: none. "
        "Pictures, sound and tables alone: the numbers of tokens cannot be moved.",
        added_later=True,
    ),
    Parameter(
        name="adversarial_epsilon_per_mille",
        kind="integer",
        default=50,
        minimum=1,
        maximum=1000,
        summary="How far each number of an input is moved at most, in thousandths of the range that it has in the training rows; "
        "it never leaves that range.",
        added_later=True,
        only_with=_ATTACKED,
    ),
    Parameter(
        name="adversarial_steps",
        kind="integer",
        default=5,
        minimum=1,
        maximum=100,
        summary="How many steps along the gradient a row is moved by; each costs a pass forwards and backwards.",
        added_later=True,
        only_with=_ATTACKED,
    ),
    Parameter(
        name="adversarial_scale",
        kind="text",
        default="automatic",
        choices=("automatic", "input", "feature"),
        summary="What a range is taken over: all numbers of an input, each place of a row, or the one that fits: places of tables, "
        "whole inputs of pictures and sound.",
        added_later=True,
        only_with=_ATTACKED,
    ),
    Parameter(
        name="adversarial_asks",
        kind="text",
        default="loss",
        choices=("loss", "answers"),
        summary="What is asked of a moved row: what the loss asks of the row itself, its label or its teacher's answer; or that it "
        "is answered as the row itself is, which needs neither.",
        added_later=True,
        only_with=_ATTACKED,
    ),
)
"""What a method takes that offers an adversarial share; see `training.adversarial`."""
ROUNDS = Parameter(
    name="rounds",
    kind="integer",
    default=1,
    minimum=1,
    maximum=32,
    summary="In how many rounds the share is reached: much in the first, little in the last.",
)
MOST_LOSS = Parameter(
    name="most_loss_per_mille",
    kind="integer",
    default=1000,
    minimum=0,
    maximum=1000,
    summary="How much rounds may lose on rows that are held out, in thousandths: of rows that are answered rightly, or, without "
    "labels, as the model answered them before. The last round that keeps this is the outcome; 1000 sets no limit.",
)
