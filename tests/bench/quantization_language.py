"""A causal language model whose weights are stored small: how much more a token of real text surprises it than its parent."""

from __future__ import annotations

from tests.bench.harness import Row, not_measured
from tests.bench.quantization_material import Material

_REASON = "the sample is not built yet"


def rows(material: Material) -> list[Row]:
    """Perplexity as a ratio to the parent's."""
    return [
        not_measured(
            f"language.{name}.perplexity", f"SmolLM2-135M: {name}, perplexity of the original's", "ratio", _REASON
        )
        for name in ("int8", "int4")
    ]
