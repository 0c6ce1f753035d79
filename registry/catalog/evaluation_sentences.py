"""What figures of an evaluation say, for a reader who is no engineer. Pure; `sentences` adds slice, n and interval.

Rules:
- a difference says lost or won, whichever way round the metric is good, and against whom; where its interval holds no difference,
  that chance alone could explain it;
- a p value never stands alone: the sentence says what would come about by chance that often, and what follows;
- differences of shares are percentage points, so that nobody takes a point for a percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from registry.catalog.number_words import number, percent, points

Figure = Mapping[str, Any]
LEVEL = Decimal("0.05")
_POINTS = ("share", "probability")
_DIFFERENCES = ("_difference", "_gap", "_loss", "calibration_error", "overconfidence")
_WHOSE = {
    "parent_": "the original", "incumbent_": "the incumbent", "first_": "the first approved version",
}  # fmt: skip
_AGAINST = {"-incumbent": "the incumbent", "-first": "the first approved version"}
_NAMES = {
    "accuracy": "accuracy",
    "top5_accuracy": "accuracy among the first five answers",
    "balanced_accuracy": "accuracy averaged over the classes",
    "f1_macro": "F1 averaged over the classes",
    "auroc": "telling cases apart (AUROC)",
    "log_loss": "log loss",
    "mean_absolute_error": "mean error",
    "root_mean_squared_error": "root mean squared error",
    "absolute_error": "mean error",
    "squared_error": "mean squared error",
    "r2": "explained variance",
    "recall_at_1": "recall at 1",
    "recall_at_5": "recall at 5",
    "recall_at_10": "recall at 10",
    "character_error_rate": "characters wrong",
    "edit_distance": "edits needed",
    "exact_match": "sequences right as a whole",
    "perplexity": "perplexity",
    "token_accuracy": "next tokens right",
    "token_nll": "surprise per token",
    "expected_calibration_error": "distance of confidence from truth",
    "brier_score": "Brier score",
    "answer_share": "how often it is answered",
    "selection_rate": "favourable answers",
    "true_positive_rate": "favourable answers where they are right",
    "false_positive_rate": "favourable answers where they are wrong",
    "agreement": "answers kept under damage",
}
_LESS_IS_BETTER = {
    "log_loss", "mean_absolute_error", "root_mean_squared_error", "absolute_error", "squared_error", "character_error_rate",
    "edit_distance", "perplexity", "token_nll", "expected_calibration_error", "brier_score", "false_positive_rate",
    "overconfidence", "answer_shift", "fpr95_max_probability", "fpr95_energy",
}  # fmt: skip
_TEXTS = {
    "answer_shift": "The answers of {who} move by {value} under the damage",
    "answer_share": "{who} answers so for {percent} of the rows",
    "cosine": "Under the damage the answers of {who} agree to {value} with those without it (1 is identical)",
    "cpu_time_ms": "{who} takes {value} ms of processor time for an answer",
    "disturbed_share": "In {percent} of the rounds other programs took the processor away for a moment",
    "energy_ratio": "An answer takes {value} times the energy that it takes with {other}",
    "flip_destination_expected": "{percent} of the rows that were lost would go there by doubt alone",
    "flip_destination_share": "{percent} of the rows that were lost go there",
    "slices_lost": "{percent} of the parts that were looked at lost beyond what chance explains for any of them",
    "slices_lost_false_discovery": "{percent} of the parts lost, of which one in twenty may be by chance",
    "accuracy": "{who} is right on {percent} of the rows",
    "top5_accuracy": "{who} has the right answer among its first five on {percent} of the rows",
    "balanced_accuracy": "{who} is right on {percent} of the rows, averaged over the classes",
    "f1_macro": "{who} reaches an F1 of {percent}, averaged over the classes (100 % is perfect)",
    "auroc": "{who} puts a case of the class before one of another in {percent} of all pairs (50 % is guessing)",
    "log_loss": "{who} has a log loss of {value} (0 is perfect)",
    "mean_absolute_error": "{who} is off by {value} on average",
    "root_mean_squared_error": "{who} is off by {value}, large errors weighing more",
    "r2": "{who} explains {percent} of the variance",
    "recall_at_1": "{who} finds a right one first for {percent} of the rows",
    "recall_at_5": "{who} finds a right one among the first five for {percent} of the rows",
    "recall_at_10": "{who} finds a right one among the first ten for {percent} of the rows",
    "character_error_rate": "{who} needs {value} corrections for each character that is right",
    "exact_match": "{who} gets {percent} of the sequences right as a whole",
    "perplexity": "{who} hesitates as between {value} equally likely tokens (perplexity; less is better)",
    "token_accuracy": "{who} names the next token right in {percent} of the places",
    "next_token_agreement": "{percent} of the places keep the same next token",
    "kl_divergence": "The probabilities are {value} nats away from the other's (KL divergence; 0 is identical)",
    "js_divergence": "The probabilities are {value} nats apart (Jensen-Shannon; 0 is identical, 0.693 the most)",
    "rank_correlation": "The order of the outputs agrees to {value} (1 is identical)",
    "top10_overlap": "{percent} of the ten nearest neighbours stay the same",
    "flips_lost": "{percent} of the rows were right with {other} and are wrong now",
    "flips_won": "{percent} of the rows were wrong with {other} and are right now",
    "selection_rate": "{who} gives {percent} the favourable answer",
    "true_positive_rate": "{who} gives {percent} of those for whom it is right the favourable answer",
    "false_positive_rate": "{who} gives {percent} of those for whom it is wrong the favourable answer",
    "expected_calibration_error": "The confidence of {who} is {points} away from how often it is right",
    "expected_calibration_error_by_chance": "A model that is as right as it is sure would show {points} on so many rows",
    "expected_calibration_error_debiased": "The confidence of {who} is {points} away from the truth, less what chance adds",
    "overconfidence": "The confidence of {who} lies {points} {side} how often it is right",
    "brier_score": "{who} has a Brier score of {value} (0 is perfect)",
    "best_temperature": "The scores of {who} would fit the truth best divided by {value}: it is {sure}",
    "bin_confidence": "{who} is {percent} sure on average",
    "bin_accuracy": "{who} is right on {percent} of these rows",
    "agreement": "{who} keeps {percent} of its answers under the damage",
    "auroc_max_probability": "By its highest probability {who} tells data of another kind apart in {percent} of all pairs",
    "auroc_energy": "By the energy of its scores {who} tells data of another kind apart in {percent} of all pairs",
    "fpr95_max_probability": "{who} takes {percent} of the other data for its own (highest probability, 95 % of its own kept)",
    "fpr95_energy": "{who} takes {percent} of the other data for its own (energy, 95 % of its own kept)",
    "rows_seen_share": "{percent} of the rows are rows that the version was made with",
    "latency_p99_ms": "99 of 100 answers of {who} come within {value} ms",
    "throughput_per_second": "{who} answers {value} rows a second",
}


def tell(figure: Figure, kind: str) -> str | None:
    """The sentence without slice, sample and full stop; None for a metric that is not of an evaluation."""
    metric, value = str(figure["metric"]), Decimal(figure["value"])
    for told in (
        _move(figure),
        _chance(metric, value),
        _smallest(metric, figure),
        _saved(metric, value),
        _change(figure, kind),
    ):
        if told is not None:
            return told
    if metric.startswith(("net_benefit", "break_even", "energy_per")):
        return _economy(metric, value, str(figure["unit"]))
    who, name = _who(metric)
    template = _TEXTS.get(name)
    if template is None:
        return None
    told = template.format(
        who=who, other=against(kind), value=number(value), percent=percent(value), points=points(value),
        side="above" if value > 0 else "below", sure=_sureness(value),
    )  # fmt: skip
    return told[0].upper() + told[1:]


def _sureness(temperature: Decimal) -> str:
    if temperature == 1:
        return "as sure as it is right"
    return "surer than it is right" if temperature > 1 else "right more often than it is sure"


def renamed(told: str, metric: str, kind: str) -> str:
    """A sentence about the original, about whom the figure is in truth: by the beginning of its name, or by its kind."""
    whose = next((who for prefix, who in _WHOSE.items() if metric.startswith(prefix)), against(kind))
    if whose == "the original":
        return told
    return told.replace("the original", whose).replace("The original", whose[0].upper() + whose[1:])


def end_words(figure: Figure, end: Decimal) -> str | None:
    """An end of the interval of a share or a difference of shares; None for a plain number."""
    metric = str(figure["metric"])
    if figure["unit"] not in _POINTS or "brier_score" in metric:
        return None
    if any(mark in metric for mark in _DIFFERENCES):
        return f"{'-' if end < 0 else ''}{points(end)}"
    return percent(end)


def against(kind: str) -> str:
    """With whom a kind of evidence compares."""
    return next((who for ending, who in _AGAINST.items() if kind.endswith(ending)), "the original")


def _who(metric: str) -> tuple[str, str]:
    return next(
        ((who, metric.removeprefix(p)) for p, who in _WHOSE.items() if metric.startswith(p)), ("the model", metric)
    )


def _named(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " "))


def _amount(figure: Figure) -> str:
    value = Decimal(figure["value"])
    in_points = figure["unit"] in _POINTS and "brier_score" not in str(figure["metric"])
    return points(value) if in_points else number(abs(value))


def _change(figure: Figure, kind: str) -> str | None:
    """`accuracy_difference`, `worst_slice_difference`, `selection_rate_gap`, `..._gap_change`."""
    metric, value = str(figure["metric"]), Decimal(figure["value"])
    if metric.endswith("_gap_change"):
        gap = f"the gap between the groups in {_named(metric.removesuffix('_gap_change'))}"
        if value == 0:
            return f"{gap.capitalize()} is as it was with {against(kind)}"
        return f"{gap.capitalize()} {'grew' if value > 0 else 'shrank'} by {_amount(figure)} against {against(kind)}{_luck(figure)}"
    if metric.endswith("_gap"):
        who, name = _who(metric.removesuffix("_gap"))
        return f"With {who} the groups differ by {_amount(figure)} in {_named(name)}"
    if not metric.endswith("_difference") or metric == "max_abs_difference":
        return None
    name = metric.removesuffix("_difference")
    what = "" if name == "worst_slice" else f" in {_named(name)}"
    if name == "overconfidence" and value != 0:
        sure = "surer" if value > 0 else "less sure"
        return f"The model is {_amount(figure)} {sure} of itself than {against(kind)}{_luck(figure)}"
    if value == 0:
        return f"The model neither lost nor won{what} against {against(kind)}"
    lost = (value > 0) if name in _LESS_IS_BETTER else (value < 0)
    word = "lost" if lost else "won"
    return f"The model {word} {_amount(figure)}{what} against {against(kind)}{_luck(figure)}"


def _saved(metric: str, value: Decimal) -> str | None:
    """`cpu_time_saved_ms`, `accuracy_excess_loss`: what the version spares or loses beyond another."""
    if metric.endswith("cpu_time_saved_ms"):
        than = f"{'less' if value >= 0 else 'more'} than with the original"
        return f"An answer takes {number(abs(value))} ms of processor time {than}"
    if metric.endswith("cpu_time_ratio"):
        return f"An answer takes {number(value)} times the processor time that it takes with the original"
    if metric.endswith("_excess_loss"):
        what = _named(metric.removesuffix("_excess_loss"))
        return f"By the damage the model loses {points(value)} {'more' if value >= 0 else 'less'} in {what} than the original does"
    return None


def _luck(figure: Figure) -> str:
    """What the interval lets one believe."""
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return ""
    return ", which chance alone could explain" if Decimal(low) <= 0 <= Decimal(high) else ""


def _chance(metric: str, value: Decimal) -> str | None:
    """A p value in words. Of a p value nothing follows but this: whether chance is a good enough explanation."""
    if not (metric == "p" or metric.endswith("_p")):
        return None
    follows = "so something else is at work" if value < LEVEL else "so chance explains it well enough"
    often = (
        f"in {percent(value)} of such comparisons"
        if value >= Decimal("0.0001")
        else "in fewer than 1 of 10,000 such comparisons"
    )
    if metric == "mcnemar_p":
        return f"If nothing had changed, losses and gains as uneven would come about {often} (McNemar's p), {follows}"
    if metric == "adjusted_p":
        return f"By chance alone, one of all the parts that were looked at would differ as much {often} (corrected p), {follows}"
    return f"By chance alone, a {_named(metric.removesuffix('_p'))} as large would come about {often} (p), {follows}"


def _smallest(metric: str, figure: Figure) -> str | None:
    if not metric.endswith("smallest_detectable_loss"):
        return None
    name = metric.removesuffix("smallest_detectable_loss").removesuffix("_")
    what = f" in {_named(name)}" if name else ""
    return f"A loss{what} of less than {_amount(figure)} would most likely not have been seen with this many rows"


def _move(figure: Figure) -> str | None:
    """`flips_from_to`: where rows went that were right; the ends stand in the slice."""
    if figure["metric"] != "flips_from_to":
        return None
    return f"{percent(Decimal(figure['value']))} of the rows went this way"


def _economy(metric: str, value: Decimal, unit: str) -> str:
    if metric == "net_benefit_per_month":
        verb = "saves" if value >= 0 else "costs"
        return f"Serving it {verb} {number(abs(value))} {unit.partition(':')[2] or unit} a month, its own making counted in"
    if metric == "break_even_predictions":
        return f"It has paid for its making after {number(value)} predictions"
    return f"One prediction takes {number(value)} {unit}"
