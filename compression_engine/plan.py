"""How a model is to be evaluated, as data: the task, which columns are what, which slices, which measures. Standard library only.

Rules:
- a plan is a canonical document; its digest stands in every figure's environment, since preprocessing decides figures;
- what it does not say is taken from the rows and the model, and the evidence says what was taken.
"""

from __future__ import annotations

from dataclasses import dataclass

PLAN_TYPE = "pressmark/evaluation_plan/1"
TASKS = ("none", "classification", "regression", "embedding", "sequence", "language-model")
MODALITIES = ("image", "audio", "tabular", "text")
SCORES = ("logits", "probabilities")


@dataclass(frozen=True)
class State:
    """A recurrent model's state: what `output` gave for a row is `input` of the next row of its sequence; zeros at its start."""

    input: str
    output: str


@dataclass(frozen=True)
class Plan:
    """A plan. Columns are names of arrays, of Parquet columns or of members of JSON lines."""

    task: str = "none"
    inputs: tuple[tuple[str, str], ...] = ()
    """(input of the model, column); where empty, columns of the same names."""
    text: str | None = None
    """The column that the tokenizer reads; `text` where the rows are text and nothing is said."""
    max_tokens: int = 128
    label: str | None = None
    """Class index or name, number, token ids or string: what is right for a row."""
    output: str | None = None
    """The output that is judged; the first of floats with one entry a row where nothing is said."""
    scores: str | None = None
    """Whether a classifier's output are logits or probabilities; looked at where nothing is said."""
    classes: tuple[str, ...] = ()
    """Names of the classes, or the symbols of a sequence's alphabet, by index."""
    blank: int | None = None
    """For connectionist temporal classification (task sequence): the index of the blank."""
    slices: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    """The slices among which groups are compared for fairness; a subset of `slices`."""
    favourable: str | None = None
    """The class that is good for whom it is decided about (fairness); the class 1 of two where nothing is said."""
    sequence: str | None = None
    """The column that names the sequence of a row, for recurrent models; rows of one sequence follow each other."""
    states: tuple[State, ...] = ()
    modality: str | None = None
    """What corruptions make sense; looked at where nothing is said."""
    measures: tuple[str, ...] = ()
    """Names of measures; all that fit where empty."""
    batch_sizes: tuple[int, ...] = (1,)
    thread_counts: tuple[int, ...] = (1,)
