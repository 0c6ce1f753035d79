"""Quality of embeddings for retrieval: recall at 1, 5 and 10, every row asked against all others.

Rows with the same label are relevant to each other; a row counts as found when one of the k nearest by cosine is relevant
(Jegou et al. 2011; Oh Song et al. 2016). A row whose label no other row has is never found, and the sentence says how many
there are. Interval: Wilson's, or one of whole sequences; rows are asked against each other, so it is that of the queries, with the
collection as it is.
"""

from __future__ import annotations

import numpy as np

from compression_engine.answers.outputs import Outputs
from compression_engine.measure import scores
from compression_engine.measure.retrieval import hits_at
from compression_engine.measure.statistics import bootstrap
from compression_engine.plan import Plan
from compression_engine.result import Measurement

RANKS = (1, 5, 10)


def figures(outputs: Outputs, role: str, plan: Plan, seed: int, who: str) -> list[Measurement]:
    """Recall at each rank that is smaller than the number of rows."""
    rows, groups = scores.matrix(outputs.answer(role), "embeddings"), scores.groups(outputs)
    n = len(rows)
    ranks = [rank for rank in RANKS if rank < n]
    if not ranks:
        plain = f"{who} has no recall: one row has no others."
        return [Measurement("recall_at_1", None, "share", n, plain, reason="one row has no others")]
    lone = int((np.bincount(groups)[groups] == 1).sum())
    note = f"; {lone} have a label of their own and count as not found" if lone else ""
    found = []
    for rank, hits in hits_at(rows, groups, ranks).items():
        count = int(hits.sum())
        low, high = bootstrap.interval_of_share(hits == 1, seed, outputs.sequences)
        where = "as its nearest" if rank == 1 else f"among its {rank} nearest"
        plain = f"{who} has a row of the same label {where} for {count} of {n} rows ({count / n:.1%}{note})."
        reason = bootstrap.TOO_FEW if low is None else None
        found.append(Measurement(f"recall_at_{rank}", count / n, "share", n, plain, low, high, reason=reason))
    return found
