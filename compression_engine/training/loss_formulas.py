"""The formulas of losses, each a mean over rows or over the places that count; where a loss takes them is in `losses`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compression_engine.errors import EngineError
from compression_engine.plan import Plan
from compression_engine.training.score_forms import LEAST_PROBABILITY

if TYPE_CHECKING:
    from torch import Tensor

    from compression_engine.training.material import Batch

_CONTRAST_TEMPERATURE = 0.1


def classes(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of [rows, classes] against int64 [rows]; a single score is one of two classes."""
    import torch.nn.functional as functional

    if logits.shape[1] == 1:
        target = labels.to(logits.dtype) * (1.0 - smoothing) + 0.5 * smoothing
        return functional.binary_cross_entropy_with_logits(logits[:, 0], target)
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def contrast(rows: Tensor, labels: Tensor) -> Tensor:
    """Rows of one label against the others of the batch; rows that stand alone are only among the others."""
    import torch
    import torch.nn.functional as functional

    rows = functional.normalize(rows, dim=1)
    alone = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    scores = (rows @ rows.T / _CONTRAST_TEMPERATURE).masked_fill(alone, -torch.inf)
    logs = torch.log_softmax(scores, dim=1).masked_fill(alone, 0.0)
    same = (labels[:, None] == labels[None, :]) & ~alone
    counts = same.sum(1)
    return -((logs * same).sum(1) / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


def symbols(logits: Tensor, batch: Batch, plan: Plan) -> Tensor:
    """Sequences: [rows, frames, symbols] against labels one behind the other."""
    import torch
    import torch.nn.functional as functional

    assert batch.labels is not None
    if logits.ndim != 3 or batch.label_lengths is None:
        hint = "Export the model so that it gives [rows, frames, symbols], or learn from a teacher."
        raise EngineError("loss_does_not_fit", "Labels of sequences need scores of frames and symbols.", hint)
    frames = torch.full((len(logits),), logits.shape[1], dtype=torch.long)
    if plan.blank is not None:
        logs = torch.log_softmax(logits, dim=-1).transpose(0, 1)
        return functional.ctc_loss(
            logs, batch.labels, frames, batch.label_lengths, blank=plan.blank, zero_infinity=True
        )
    if (batch.label_lengths != frames.to(batch.label_lengths.device)).any():
        hint = "Give one symbol for each frame, or name the blank in the plan."
        raise EngineError("loss_does_not_fit", "Labels of frames have other lengths than the model's answers.", hint)
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch.labels)


def judged_places(batch: Batch) -> Tensor:
    """Behind which places a token follows that is judged, [rows, tokens - 1]: neither of the two is padding."""
    import torch

    ids, mask = batch.feed["input_ids"][: len(batch.rows)], batch.feed.get("attention_mask")
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[: len(ids)] != 0
    return real[:, 1:] & real[:, :-1]


def next_token(logits: Tensor, batch: Batch) -> Tensor:
    """The token that follows, the mean over all places where one is judged; nothing where none is."""
    import torch.nn.functional as functional

    ids, judged = batch.feed["input_ids"][: len(logits)], judged_places(batch)
    if not bool(judged.any()):
        return logits.sum() * 0.0
    return functional.cross_entropy(logits[:, :-1][judged], ids[:, 1:][judged])


def softened(ours: Tensor, theirs: Tensor, temperature: float, positions: Tensor | None) -> Tensor:
    """Divergence (Kullback-Leibler) of softened probabilities, times the temperature squared."""
    import torch.nn.functional as functional

    if positions is not None:
        ours, theirs = ours[positions], theirs[positions]
    width = ours.shape[-1] if ours.ndim > 1 else 1
    ours, theirs = ours.reshape(-1, width) / temperature, theirs.to(ours.dtype).reshape(-1, width) / temperature
    if width == 1:
        right = theirs.sigmoid()
        least = functional.binary_cross_entropy_with_logits(theirs, right)
        return (functional.binary_cross_entropy_with_logits(ours, right) - least) * temperature**2
    logs, right_logs = ours.log_softmax(1), theirs.log_softmax(1)
    return functional.kl_div(logs, right_logs, reduction="batchmean", log_target=True) * temperature**2


def embeddings(ours: Tensor, theirs: Tensor, relations: float) -> Tensor:
    """1 - cosine to the teacher, and how far the cosines between the rows are from the teacher's, each as a mean over rows."""
    import torch.nn.functional as functional

    ours, theirs = functional.normalize(ours, dim=1), functional.normalize(theirs.to(ours.dtype), dim=1)
    apart = (1.0 - (ours * theirs).sum(1)).mean()
    if not relations or len(ours) < 2:
        return apart
    return apart + relations * (ours @ ours.T - theirs @ theirs.T).square().sum(1).mean() / 2


def likeliest(logits: Tensor, logs: Tensor, places: Tensor, temperature: float, positions: Tensor | None) -> Tensor:
    """Divergence over the teacher's likeliest tokens and all the others as one, the mean over the positions that count."""
    if positions is not None:
        logits, logs, places = logits[positions], logs[positions], places[positions]
    ours = (logits / temperature).log_softmax(-1).gather(-1, places.long())
    logs = logs.to(ours.dtype)

    def rest(found: Tensor) -> Tensor:
        return (1.0 - found.exp().sum(-1)).clamp(min=LEAST_PROBABILITY).log()

    named = (logs.exp() * (logs - ours)).sum(-1)
    others = rest(logs)
    return (named + others.exp() * (others - rest(ours))).mean() * temperature**2
