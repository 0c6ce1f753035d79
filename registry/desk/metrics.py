"""What metrics and kinds of evidence are called for people, in which order they stand, and which way is worse. Pure data.

Rules:
- a metric that stands in no table keeps its own name, without a meaning;
- `parent_`, `incumbent_` and `first_` before a metric say whose figure it is; `_difference` behind it is version minus the other.
"""

from __future__ import annotations

NAMES = {
    "size_bytes": "Size of the files",
    "size_ratio": "Times smaller than the parent",
    "cosine_mean": "Cosine to the parent's output, mean",
    "cosine_min": "Cosine to the parent's output, worst row",
    "cosine_p05": "Cosine to the parent's output, 5th percentile",
    "max_abs_difference": "Largest difference in any output",
    "nearest_neighbour_kept": "Rows that keep their nearest neighbour",
    "top1_agreement": "Rows that keep their first answer",
    "top10_overlap": "Ten nearest neighbours kept",
    "kl_divergence": "Distance of the probabilities (KL)",
    "js_divergence": "Distance of the probabilities (Jensen-Shannon)",
    "rank_correlation": "Order of the outputs kept (rank correlation)",
    "batch_difference_max": "Largest difference, alone against in a batch",
    "accuracy": "Accuracy",
    "top5_accuracy": "Right answer among the first five",
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "F1, mean over classes",
    "auroc": "AUROC",
    "log_loss": "Log loss",
    "mean_absolute_error": "Mean absolute error",
    "root_mean_squared_error": "Root mean squared error",
    "absolute_error": "Absolute error",
    "squared_error": "Squared error",
    "r2": "Variance explained (R²)",
    "recall_at_1": "Recall at 1",
    "recall_at_5": "Recall at 5",
    "recall_at_10": "Recall at 10",
    "character_error_rate": "Character error rate",
    "edit_distance": "Edit distance",
    "exact_match": "Exact match",
    "perplexity": "Perplexity",
    "token_accuracy": "Next token right",
    "token_nll": "Surprise per token",
    "next_token_agreement": "Next token as the parent's",
    "flips_lost": "Right before, wrong now",
    "flips_won": "Wrong before, right now",
    "flips_from_to": "Where lost rows went",
    "mcnemar_p": "Chance of such flips by luck (McNemar's p)",
    "adjusted_p": "Corrected p",
    "smallest_detectable_loss": "Smallest loss that could have been seen",
    "worst_slice_difference": "Worst slice",
    "selection_rate": "Share selected",
    "true_positive_rate": "Rightly selected (true positive rate)",
    "false_positive_rate": "Wrongly selected (false positive rate)",
    "expected_calibration_error": "Confidence against truth (expected calibration error)",
    "brier_score": "Brier score",
    "best_temperature": "Temperature that fits best",
    "bin_confidence": "Mean confidence in the bin",
    "bin_accuracy": "Accuracy in the bin",
    "agreement": "Answers as the clean parent's",
    "auroc_max_probability": "Told apart by highest probability (AUROC)",
    "auroc_energy": "Told apart by energy (AUROC)",
    "fpr95_max_probability": "False alarms at 95 % kept, highest probability",
    "fpr95_energy": "False alarms at 95 % kept, energy",
    "latency_p50_ms": "Latency, median",
    "latency_p95_ms": "Latency, 95th percentile",
    "latency_p99_ms": "Latency, 99th percentile",
    "latency_ratio": "Latency against the parent's",
    "throughput_per_second": "Throughput",
    "peak_memory_bytes": "Peak memory of the process",
    "model_memory_bytes": "Memory that the model adds",
    "peak_memory_ratio": "Peak memory against the parent's",
    "energy_per_prediction": "Energy of one prediction",
    "energy_ratio": "Energy against the parent's",
    "net_benefit_per_month": "Net benefit a month",
    "break_even_predictions": "Predictions until it has paid for itself",
    "output_mean": "Outputs, mean",
    "output_spread": "Outputs, spread",
    "output_norm_mean": "Outputs, mean norm",
}
WHOSE = {"parent_": "the parent's", "incumbent_": "the incumbent's", "first_": "the first approved version's"}
KINDS = {
    "size": "Size",
    "quality": "Quality",
    "fidelity": "Same answers as the parent",
    "fidelity-incumbent": "Same answers as the incumbent",
    "fidelity-first": "Same answers as the first approved version",
    "comparison-parent": "Against the parent, row by row",
    "comparison-incumbent": "Against the incumbent, row by row",
    "comparison-first": "Against the first approved version, row by row",
    "fairness": "Fairness between groups",
    "calibration": "Calibration",
    "robustness": "Robustness",
    "out-of-distribution": "Data of another kind",
    "timing": "Speed",
    "memory": "Memory",
    "energy": "Energy",
    "cost": "Cost",
    "target": "On the target",
    "outputs": "Outputs",
    "structure": "Structure of the files",
    "distribution": "Distribution of inputs and outputs",
    "baseline": "Baseline",
}
KIND_ORDER = tuple(kind for kind in KINDS if kind not in ("structure", "distribution", "baseline"))
FORMATS = {"onnx": "ONNX", "safetensors": "safetensors", "pt2": "PyTorch export"}
LOWER_IS_BETTER = frozenset(
    {
        "log_loss", "mean_absolute_error", "root_mean_squared_error", "absolute_error", "squared_error",
        "character_error_rate", "edit_distance", "perplexity", "token_nll", "expected_calibration_error", "brier_score",
        "fpr95_max_probability", "fpr95_energy", "false_positive_rate", "latency_p50_ms", "latency_p95_ms",
        "latency_p99_ms", "peak_memory_bytes", "model_memory_bytes",
    }
)  # fmt: skip
LEADING = (
    "accuracy", "exact_match", "recall_at_1", "token_accuracy", "token_nll", "absolute_error", "mean_absolute_error",
    "edit_distance", "squared_error",
)  # fmt: skip
"""Which metric of a comparison speaks first; where none of them is there, the first of the document."""


def name_of(metric: str) -> str:
    """A metric in words; one that we do not know keeps its own name."""
    if metric in NAMES:
        return NAMES[metric]
    for prefix, whose in WHOSE.items():
        if metric.startswith(prefix):
            return f"{name_of(metric.removeprefix(prefix))}, {whose}"
    for suffix, word in (("_difference", "difference"), ("_gap_change", "change of the gap"), ("_gap", "gap")):
        if metric.endswith(suffix) and metric.removesuffix(suffix) in NAMES:
            return f"{NAMES[metric.removesuffix(suffix)]}, {word}"
    return metric.replace("_", " ").capitalize()


def kind_name(kind: str) -> str:
    """A kind of evidence in words."""
    return KINDS.get(kind, kind.replace("_", " ").replace("-", " ").capitalize())


def kind_order(kind: str) -> tuple[int, str]:
    """Size first, then what it answers, then how fast and at what cost, then the rest by name."""
    return (KIND_ORDER.index(kind) if kind in KIND_ORDER else len(KIND_ORDER), kind)


def lower_is_better(metric: str) -> bool:
    """Whether more of it is worse."""
    return metric.removesuffix("_difference") in LOWER_IS_BETTER
