"""Evaluations with figures of every kind, as a run's last unit writes them, without the cost of a run.

The figures are those of a mortgage model that lost most for one group: made up, but such as a real evaluation brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.access.queries import system_actor
from registry.catalog import services as catalog
from registry.catalog.evidence import EvidenceSpec
from registry.catalog.models import ModelVersion
from registry.compression import services
from registry.compression.models import Run
from registry.digests import canonical, decimal_text
from registry.events import Caller, emit, unit
from registry.provenance.models import DatasetVersion
from tests.world import World
from tests.worlds.catalog import figure

Figures = Sequence[dict[str, Any]]
SHARE = "share"
CLASSES = ("approved", "denied", "withdrawn", "incomplete")


def part(**where: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in where.items()]


def share(
    metric: str, value: str, n: int, low: str | None = None, high: str | None = None, **where: str
) -> dict[str, Any]:
    return figure(metric, value, SHARE, n=n, low=low, high=high, slice=part(**where))


def chance(metric: str, value: str, n: int, **where: str) -> dict[str, Any]:
    return figure(metric, value, "probability", n=n, slice=part(**where))


def sliced(value: str, low: str, high: str, p: str, n: int, **where: str) -> Figures:
    """The figures of one slice of a comparison."""
    return [
        share("accuracy_difference", value, n, low, high, **where),
        chance("adjusted_p", p, n, **where),
        share("flips_lost", str(abs(float(value)) + 0.02)[:6], n, **where),
        share("flips_won", "0.02", n, **where),
        share("smallest_detectable_loss", f"{0.6 / n**0.5:.4f}", n, **where),
    ]


SLICES: Figures = [
    *sliced("-0.152", "-0.198", "-0.106", "0.00002", 412, race="2"),
    *sliced("-0.081", "-0.121", "-0.041", "0.004", 380, found="income < 40 and race = 2"),
    *sliced("-0.034", "-0.071", "0.003", "0.31", 655, income="below 40"),
    *sliced("-0.012", "-0.03", "0.006", "0.62", 1200, parent_answer="denied"),
    *sliced("-0.004", "-0.014", "0.006", "1", 2890, race="5"),
    *sliced("0.002", "-0.02", "0.024", "1", 710, parent_confidence="lowest quarter"),
    *sliced("0.018", "0.004", "0.032", "1", 900, race="3"),
]


def comparison(value: str, low: str, high: str, *more: dict[str, Any]) -> Figures:
    return [
        share("accuracy_difference", value, 4000, low, high),
        share("flips_lost", "0.031", 4000, "0.026", "0.037"),
        share("flips_won", "0.013", 4000, "0.01", "0.017"),
        chance("mcnemar_p", "0.00001", 4000),
        share("smallest_detectable_loss", "0.0093", 4000),
        *more,
    ]


DESTINATION = {"to": "denied"}
MOVED: list[dict[str, Any]] = [
    share("flip_destination_share", "0.76", 124, "0.67", "0.83", **DESTINATION),
    share("flip_destination_expected", "0.41", 124, **DESTINATION),
    chance("flip_destination_p", "0.00001", 124, **DESTINATION),
    share("answer_share_difference", "0.03", 4000, answer="denied"),
    share("answer_share_difference", "-0.02", 4000, answer="approved"),
]
MOVED += [
    share("flips_from_to", value, 124, **{"from": source, "to": target})
    for source, target, value in (
        ("approved", "denied", "0.71"), ("approved", "withdrawn", "0.12"), ("denied", "approved", "0.09"),
        ("incomplete", "denied", "0.05"), ("withdrawn", "incomplete", "0.03"),
    )
]  # fmt: skip


def fairness() -> Figures:
    found = []
    for race, rate, parent in (("2", "0.41", "0.55"), ("3", "0.63", "0.62"), ("5", "0.66", "0.66")):
        found += [share("selection_rate", rate, 400, slice_low(rate), slice_high(rate), race=race)]
        found += [share("parent_selection_rate", parent, 400, race=race)]
    found += [
        share("selection_rate_difference", "-0.25", 800, "-0.31", "-0.19", race="2", against="5"),
        share("selection_rate_gap", "0.25", 4000, "0.2", "0.3", race="all groups"),
        share("selection_rate_gap_change", "0.14", 4000, "0.09", "0.19", race="all groups"),
        share("true_positive_rate_gap_change", "0.11", 4000, "0.04", "0.18", race="all groups"),
        share("false_positive_rate_gap_change", "-0.01", 4000, "-0.04", "0.02", race="all groups"),
    ]
    return found


def slice_low(value: str) -> str:
    return f"{float(value) - 0.04:.2f}"


def slice_high(value: str) -> str:
    return f"{min(1.0, float(value) + 0.04):.2f}"


def calibration() -> Figures:
    found: list[dict[str, Any]] = [
        share("expected_calibration_error", "0.061", 4000, "0.052", "0.07"),
        share("parent_expected_calibration_error", "0.018", 4000, "0.012", "0.025"),
        share("expected_calibration_error_difference", "0.043", 4000, "0.034", "0.052"),
        figure("brier_score", "0.118", "ratio", n=4000, low="0.111", high="0.125"),
        figure("best_temperature", "1.42", "ratio", n=4000, low="1.35", high="1.5"),
    ]
    for low, confidence, right, parent, n in (
        ("0.5", "0.553", "0.498", "0.55", 310), ("0.6", "0.651", "0.571", "0.648", 420), ("0.7", "0.752", "0.662", "0.749", 560),
        ("0.8", "0.853", "0.78", "0.851", 910), ("0.9", "0.967", "0.921", "0.966", 1800),
    ):  # fmt: skip
        place = {"confidence_bin": f"{low}-{float(low) + 0.1:.1f}"}
        found += [
            share("bin_confidence", confidence, n, **place),
            share("bin_accuracy", right, n, slice_low(right), slice_high(right), **place),
            share("parent_bin_confidence", confidence, n + 5, **place),
            share("parent_bin_accuracy", parent, n + 5, slice_low(parent), slice_high(parent), **place),
        ]
    return found


def robustness() -> Figures:
    found = [
        share("accuracy", "0.812", 20000, "0.806", "0.818"), share("parent_accuracy", "0.861", 20000, "0.856", "0.866"),
        share("accuracy_difference", "-0.049", 20000, "-0.055", "-0.043"),
    ]  # fmt: skip
    for corruption, drop, parent_drop in (
        ("jitter", 0.04, 0.018),
        ("missing_values", 0.015, 0.012),
        ("outliers", 0.06, 0.025),
    ):
        for severity in range(1, 6):
            own, theirs = 0.912 - drop * severity, 0.93 - parent_drop * severity
            where = {"corruption": corruption, "severity": str(severity)}
            found += [
                share("accuracy", f"{own:.4f}", 1000, f"{own - 0.02:.4f}", f"{own + 0.02:.4f}", **where),
                share("parent_accuracy", f"{theirs:.4f}", 1000, f"{theirs - 0.018:.4f}", f"{theirs + 0.018:.4f}", **where),
                share("accuracy_difference", f"{own - theirs:.4f}", 1000, f"{own - theirs - 0.015:.4f}",
                      f"{own - theirs + 0.015:.4f}", **where),
            ]  # fmt: skip
    return found


def timing() -> Figures:
    ms = {"n": 240, "spread": "0.02"}
    found = [
        figure("latency_p50_ms", "0.84", "millisecond", low="0.82", high="0.86", **ms),
        figure("parent_latency_p50_ms", "1.52", "millisecond", low="1.5", high="1.55", **ms),
        figure("latency_ratio", "0.553", n=240, low="0.54", high="0.57", spread="0.02"),
    ]
    for threads, gain in (("1", 1.0), ("2", 1.7)):
        for batch, own, parent in (("1", 0.84, 1.52), ("8", 4.9, 10.1), ("32", 17.8, 39.4)):
            where = part(batch=batch, threads=threads)
            for metric, value in (
                ("latency_p50_ms", own / gain), ("latency_p95_ms", own * 1.2 / gain), ("latency_p99_ms", own * 1.5 / gain),
                ("parent_latency_p50_ms", parent / gain),
            ):  # fmt: skip
                ends = {"low": f"{value * 0.96:.3f}", "high": f"{value * 1.05:.3f}"}
                found.append(
                    figure(
                        metric, f"{value:.3f}", "millisecond", slice=part(batch=batch, threads=threads), **ends, **ms
                    )
                )
            rate = float(batch) / own * 1000 * gain
            found += [
                figure("throughput_per_second", f"{rate:.0f}", "per_second", n=240, slice=where),
                figure("latency_ratio", f"{own / parent:.3f}", n=240, slice=where, low="0.44", high="0.57"),
            ]
    return found


def every_kind() -> dict[str, Figures]:
    """All kinds, as one evaluation by a plan with labels, groups and a price sheet brings them."""
    return {
        "size": [
            figure("size_bytes", "231142", "byte"), figure("parent_size_bytes", "909158", "byte"), figure("size_ratio", "3.933"),
        ],
        "quality": [
            share("accuracy", "0.912", 4000, "0.903", "0.921"), share("parent_accuracy", "0.93", 4000, "0.922", "0.938"),
            share("f1_macro", "0.874", 4000, "0.861", "0.886"), share("parent_f1_macro", "0.902", 4000, "0.891", "0.912"),
            figure("auroc", None, SHARE, reason="class 'incomplete' has 3 rows; 10 are needed"),
        ],
        "fidelity": [
            share("top1_agreement", "0.956", 4000, "0.949", "0.962"),
            figure("kl_divergence", "0.0213", "nat", n=4000, low="0.0201", high="0.0226"),
        ],
        "comparison-parent": comparison("-0.018", "-0.025", "-0.011", *SLICES, *MOVED, share(
            "worst_slice_difference", "-0.152", 412, "-0.198", "-0.106", race="2")),
        "comparison-incumbent": comparison("-0.004", "-0.011", "0.003"),
        "comparison-first": comparison("-0.026", "-0.034", "-0.018"),
        "fairness": fairness(),
        "calibration": calibration(),
        "robustness": robustness(),
        "out-of-distribution": [
            share("auroc_max_probability", "0.811", 2000, "0.79", "0.83"),
            share("parent_auroc_max_probability", "0.902", 2000, "0.89", "0.915"),
            share("fpr95_max_probability", "0.52", 2000, "0.49", "0.55"),
            share("parent_fpr95_max_probability", "0.31", 2000, "0.29", "0.34"),
        ],
        "timing": timing(),
        "memory": [
            figure("peak_memory_bytes", "61286092", "byte", n=5, low="61000000", high="61500000"),
            figure("parent_peak_memory_bytes", "64803968", "byte", n=5),
            figure("peak_memory_ratio", "0.9457", n=5),
        ],
        "cost": [
            figure("net_benefit_per_month", "412.5", "currency:EUR", n=240, low="380", high="441"),
            figure("break_even_predictions", "182000", "ratio", n=240, low="170000", high="197000"),
        ],
    }  # fmt: skip


PLAN = {
    "label": "approved", "protected": ["race"], "slices": ["race", "income"], "task": "classification",
    "type": "pressmark/evaluation_plan/1",
}  # fmt: skip


def evaluated(
    world: World, version: ModelVersion, others: Mapping[str, ModelVersion], kinds: Mapping[str, Figures] | None = None,
    *, plan: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, data: DatasetVersion | None = None,
) -> Run:  # fmt: skip
    """An evaluation that has succeeded: `others` are the models it was compared with, by role; the plan's bytes are stored."""
    data = data or world.arrays_dataset(400)
    run = services.request_evaluation(actor=world.cast.ada, version=version, evaluation=data, plan=plan)
    said = {"onnxruntime": "1.23.2", "cpu": "x86_64 avx2 avx512_vnni", "threads": "1", **(environment or {})}
    if plan is not None:
        said["plan"] = run.plan_digest
    specs = [_spec(version, others, data, kind, rows, said) for kind, rows in (kinds or every_kind()).items()]
    worker = Caller(actor_id=system_actor().pk, via="worker", on_behalf_of=run.requested_by_id)
    with unit(worker, role="system") as opened:
        ended = {"state": "succeeded", "started_at": opened.now, "finished_at": opened.now, "attempt": 1}
        Run.objects.filter(pk=run.pk).update(**ended, engine_version="1.0.0")
        catalog.add_evidence(opened, version=version, specs=specs, created_by=run.requested_by)
        run = Run.objects.get(pk=run.pk)
        emit("run.succeeded", run, team=run.model.team_id)
    return run


def exact(row: Mapping[str, Any]) -> dict[str, Any]:
    """The figure with its decimals as a document has them."""
    ends = {
        name: decimal_text(float(row[name])) for name in ("value", "low", "high", "spread") if row[name] is not None
    }
    return {**row, **ends}


def _spec(
    version: ModelVersion,
    others: Mapping[str, ModelVersion],
    data: Any,
    kind: str,
    rows: Figures,
    said: Mapping[str, str],
) -> EvidenceSpec:
    role = next((role for role in ("incumbent", "first") if kind.endswith(f"-{role}")), "parent")
    other = others.get(role)
    subjects = [("version", version.digest), ("dataset", data.bound_digest)]
    subjects += [("parent" if role == "parent" else "incumbent", other.digest)] if other is not None else []
    document = {
        "environment": [{"name": name, "value": value} for name, value in said.items()],
        "figures": [exact(row) for row in rows],
        "kind": kind,
        "method": {"name": kind, "version": "1"},
        "seed": 0,
        "source": "measured",
        "subjects": sorted(({"digest": digest, "role": r} for r, digest in set(subjects)), key=canonical),
        "type": "pressmark/evidence/1",
    }
    return EvidenceSpec(kind, "measured", document, other if role == "parent" else None, data)
