"""How good the answers are against labels, by task: classification, regression, embedding, sequence, language model."""

from compression_engine.measure.quality.task import measure

__all__ = ["measure"]
