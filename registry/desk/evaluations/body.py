"""An evaluation as JSON: the same facts as its page, every figure with its plain sentence."""

from __future__ import annotations

from typing import Any

from registry.compression.queries import Names
from registry.desk.evaluations.against import Against
from registry.desk.evaluations.record import OTHERS, WHO
from registry.desk.evaluations.view import Evaluation
from registry.digests import time_text
from registry.events import Caller


def evaluation_body(caller: Caller, evaluation: Evaluation) -> dict[str, Any]:
    """What the page shows, for programs. Numbers are decimals in text, as the documents have them."""
    record, names = evaluation.record, Names(caller)
    run = record.run
    return {
        "version": {"reference": str(record.version), "digest": record.version.digest},
        "run": str(run.pk),
        "finished_at": time_text(run.finished_at) if run.finished_at else None,
        "engine_version": run.engine_version,
        "seed": run.seed,
        "data": {"reference": names.reference(run.evaluation), "digest": run.evaluation.bound_digest,
                 "rows": run.evaluation.row_count},
        "seen_rows": record.seen or None,
        "plan_digest": record.plan_digest or None,
        "plan": record.plan,
        "compared_with": [
            {"role": role, "digest": digest, "reference": str(record.others[role]) if role in record.others else None}
            for role in OTHERS
            if (digest := record.subject(role))
        ],
        "summary": evaluation.said.sentence,
        "answers": [{"question": t.label, "answer": t.strong, "detail": t.soft} for t in evaluation.said.tiles],
        "warnings": list(evaluation.said.warnings),
        "worst_slices": [_worst(c) for c in evaluation.comparisons],
        "evidence": [
            {
                "id": str(m.evidence.pk),
                "kind": m.evidence.kind,
                "digest": m.evidence.digest,
                "document": d.body,
                "plain": list(m.plain),
            }
            for m, d in zip(evaluation.documents, record.documents, strict=True)
        ],
        "not_measured": [{"what": m.what, "why": m.why} for m in evaluation.missing],
    }  # fmt: skip


def _worst(comparison: Against) -> dict[str, Any]:
    """The slices of a comparison as the page orders them, worst first."""
    return {
        "against": comparison.role,
        "who": WHO[comparison.role],
        "metric": comparison.metric,
        "slices": [
            {
                "slice": d.figure["slice"],
                "difference": d.figure["value"],
                "low": d.figure["low"],
                "high": d.figure["high"],
                "n": d.n,
                "state": d.state,
            }
            for d in comparison.slices
        ],
    }
