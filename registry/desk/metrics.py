"""What metrics and kinds of evidence are called for people, in which order they stand, and which way is worse. Pure data.

Rules:
- a metric that stands in no table keeps its own name, without a meaning;
- `parent_`, `incumbent_` and `first_` before a metric say whose figure it is; `_difference` behind it is version minus the other.
"""

from __future__ import annotations

from registry.catalog.sentences import MOVED

NAMES = {
    "size_bytes": "Size of the files",
    "size_ratio": "Times smaller than the parent",
    "packed_size_bytes": "Size packed, for storage and transfer",
    "packed_ratio": "Times smaller packed, for storage and transfer",
    "sparsity": "Weights that are exactly zero",
    "carried_calls": "Times both forms were asked",
    "carried_cosine": "Least cosine, ONNX form against the torch model",
    "carried_difference": "Largest difference, ONNX form against the torch model",
    "quality_lost": "Quality lost by the labels",
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
    "mean_abs_difference": "Mean difference of outputs",
    "decoded_agreement": "Decoded text the same as the parent's",
    "decoded_difference": "Share of characters decoded otherwise",
    "frame_agreement": "Frames answered the same",
    "frame_agreement_without_blank": "Frames answered the same, blanks apart",
    "drift_along_sequence": "Distance that grows along a sequence",
    "batch_difference_max": "Largest difference, alone against in a batch",
    "repeat_difference_max": "Largest difference when asked again",
    "rows_seen_share": "Rows that it was made with",
    "near_seen_rows": "Rows that are such rows, or almost",
    "distinct_rows": "Rows that differ",
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
    "worst_slice_difference": "Worst slice, bounded for all slices together",
    "slices_lost": "Slices that lost, none of them by chance (Holm)",
    "slices_lost_false_discovery": "Slices that lost, one in twenty of them by chance",
    "flip_destination_share": "Lost rows that go to one answer",
    "flip_destination_expected": "Lost rows that would go there by doubt",
    "flip_destination_p": "Chance of so many going there (p)",
    "answer_share": "How often it is answered",
    "selection_rate": "Share selected",
    "true_positive_rate": "Rightly selected (true positive rate)",
    "false_positive_rate": "Wrongly selected (false positive rate)",
    "expected_calibration_error": "Confidence against truth (expected calibration error)",
    "expected_calibration_error_debiased": "The same, less what chance adds",
    "expected_calibration_error_by_chance": "What chance alone would show",
    "cpu_time_ratio": "Processor time against the parent's",
    "overconfidence": "Surer than right",
    "brier_score": "Brier score",
    "best_temperature": "Temperature that fits best",
    "bin_confidence": "Mean confidence in the bin",
    "bin_accuracy": "Accuracy in the bin",
    "agreement": "Answers as before the damage",
    "clean_accuracy": "Accuracy before the damage",
    "clean_absolute_error": "Absolute error before the damage",
    "clean_recall_at_1": "Recall at 1 before the damage",
    "clean_exact_match": "Exact match before the damage",
    "clean_token_nll": "Surprise per token before the damage",
    "clean_next_token_agreement": "Next token as the parent's before the damage",
    "hidden": "Stood its own gradients and fell otherwise",
    "answer_shift": "How far answers move by the damage",
    "cosine": "Cosine to the answers before the damage",
    "auroc_max_probability": "Told apart by highest probability (AUROC)",
    "auroc_energy": "Told apart by energy (AUROC)",
    "fpr95_max_probability": "False alarms at 95 % kept, highest probability",
    "fpr95_energy": "False alarms at 95 % kept, energy",
    "latency_p50_ms": "Latency, median",
    "latency_p95_ms": "Latency, 95th percentile",
    "latency_p99_ms": "Latency, 99th percentile",
    "latency_ratio": "Latency against the parent's",
    "throughput_per_second": "Throughput",
    "token_latency_p50_ms": "Time for the next token, median",
    "token_latency_ratio": "Time for the next token against the parent's",
    "prefill_latency_p50_ms": "Time to read the context, median",
    "cache_latency_ratio": "Time for a token with its cache against without",
    "cache_difference_max": "Largest difference, from the cache against from the whole text",
    "cache_agreement": "Tokens that keep their first choice from the cache",
    "cpu_time_ms": "Processor time",
    "cpu_time_saved_ms": "Processor time saved against the parent",
    "disturbed_share": "Rounds that other programs disturbed",
    "peak_memory_bytes": "Peak memory of the process",
    "model_memory_bytes": "Memory that the model adds",
    "peak_memory_ratio": "Peak memory against the parent's",
    "energy_per_prediction": "Energy of one prediction",
    "energy_ratio": "Energy against the parent's",
    "energy_per_1000_predictions": "Energy of 1,000 predictions",
    "energy_saved_per_prediction": "Energy saved on each prediction against the parent",
    "evaluation_cpu_seconds": "Processor time of this evaluation",
    "run_cpu_seconds": "Processor time that making it took",
    "one_time_cost": "Spent once, on making and judging it",
    "serving_cost_per_1000_predictions": "Cost of 1,000 predictions",
    "serving_saving_per_month": "Saved on processors a month against the parent",
    "electricity_saving_per_month": "Saved on electricity a month against the parent",
    "memory_saving_per_month": "Saved on memory a month against the parent",
    "storage_saving_per_month": "Saved on storage a month against the parent",
    "co2_saving_per_month": "Carbon dioxide saved a month against the parent",
    "net_benefit_per_month": "Net benefit a month against the parent",
    "break_even_predictions": "Predictions until it has paid for itself against the parent",
    "output_mean": "Outputs, mean",
    "output_spread": "Outputs, spread",
    "output_norm_mean": "Outputs, mean norm",
}
HEADS = {"parent_": "Parent", "incumbent_": "Incumbent", "first_": "First approved"}
WHOSE = {"parent_": "the parent's", "incumbent_": "the incumbent's", "first_": "the first approved version's"}
PARENT = "the parent"
_OTHERS = {"-incumbent": "the incumbent", "-first": "the first approved version"}
_STEP = "step_"
SUFFIXES = {
    "_difference": "difference",
    "_difference_change": "change of the difference",
    "_difference_p": "chance of such a difference by luck (p)",
    "_gap": "gap",
    "_gap_change": "change of the gap",
    "_ratio": "ratio",
    "_excess_loss": "lost beyond what the parent loses",
    "_loss": "lost by the damage",
    "_smallest_detectable_loss": "smallest loss to be seen",
}
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
    "fairness-incumbent": "Fairness between groups, against the incumbent",
    "fairness-first": "Fairness between groups, against the first approved version",
    "calibration": "Calibration",
    "calibration-incumbent": "Calibration against the incumbent",
    "calibration-first": "Calibration against the first approved version",
    "robustness": "Robustness",
    "robustness-incumbent": "Robustness against the incumbent",
    "adversarial": "Rows moved against the model",
    "out-of-distribution": "Data of another kind",
    "out-of-distribution-incumbent": "Data of another kind, against the incumbent",
    "timing": "Speed",
    "memory": "Memory",
    "energy": "Energy",
    "cost": "Cost",
    "target": "On the target",
    "outputs": "Outputs",
    "invariance": "Same answers, however asked",
    "seen": "Rows that it was made with",
    "step": "After each step",
    "carried": "The torch model and its ONNX form",
    "carried-version": "This version of torch and its ONNX form",
    "carried-incumbent": "The incumbent of torch and its ONNX form",
    "carried-first": "The first approved version of torch and its ONNX form",
    "carried-teacher": "The teacher of torch and its ONNX form",
    "carried-student": "The student of torch and its ONNX form",
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
        "answer_shift", "cpu_time_ms",
        "fpr95_max_probability", "fpr95_energy", "false_positive_rate", "latency_p50_ms", "latency_p95_ms",
        "latency_p99_ms", "peak_memory_bytes", "model_memory_bytes",
    }
)  # fmt: skip
COLUMNS = {
    "parent_answer": "the parent answers", "incumbent_answer": "the incumbent answers",
    "first_answer": "the first version answers", "parent_confidence": "parent’s confidence:",
    "incumbent_confidence": "incumbent’s confidence:", "first_confidence": "first version’s confidence:",
    "confidence_bin": "confidence", "context_tokens": "tokens of context", "corruption": "", "batch": "batch", "found": "",
}  # fmt: skip
"""How columns that the engine makes itself are said before their value; a declared column keeps its name."""


def other_of(kind: str) -> str:
    """With whom evidence of a kind compares: `fidelity-incumbent` with the incumbent."""
    return next((who for ending, who in _OTHERS.items() if kind.endswith(ending)), PARENT)


def name_of(metric: str, other: str = PARENT) -> str:
    """A metric in words; one that we do not know keeps its own name. `other` is who it compares with."""
    return _name_of(metric).replace(PARENT, other)


def _name_of(metric: str) -> str:
    if metric in NAMES:
        return NAMES[metric]
    if metric.startswith(_STEP):
        return f"{_name_of(metric.removeprefix(_STEP))}, after the step"
    for prefix, whose in WHOSE.items():
        if metric.startswith(prefix):
            own = _name_of(metric.removeprefix(prefix))
            beside = own.replace("the parent's", whose).replace("the parent", whose.removesuffix("'s"))
            return beside if beside != own else f"{own}, {whose}"
    moved = MOVED.fullmatch(metric)
    if moved is not None:
        return f"{_name_of(moved[1] + moved[3])}, inputs moved by up to {moved[2]} ‰"
    for suffix, word in SUFFIXES.items():
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
