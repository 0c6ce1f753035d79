"""Documents as `pressmark measure` writes them on a serving host."""

from __future__ import annotations

from typing import Any

from registry.catalog.models import ModelVersion
from registry.digests import canonical, sha256
from tests.worlds.catalog import figure


def named(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(values.items())]


def weights_of(version: ModelVersion) -> dict[str, Any]:
    file = version.artifacts.get(role="weights")
    return {"digest": file.digest, "path": "model.onnx", "size_bytes": file.size_bytes}


def measurement(version: ModelVersion, **changes: Any) -> dict[str, Any]:
    """What `pressmark measure` writes about a version; `p95` is the latency that it found."""
    p95 = changes.pop("p95", "12.5")
    host = changes.pop("host", named(cpu_model="Edge 3000", kernel="6.1"))
    settings = changes.pop("settings", named(threads="2", setting_replicas="3"))
    figures = [figure("latency_p95_ms", p95, "millisecond", n=60, low="12", high="14", spread="0.5")]
    document = {
        "environment": named(onnxruntime="1.22"), "figures": figures, "kind": "target",
        "method": {"name": "measure", "version": "1"}, "seed": 0, "source": "measured", "subjects": [],
        "type": "pressmark/evidence/1",
    }  # fmt: skip
    return {
        "data": {"broken": [], "digest": "sha256:" + "d" * 64, "role": "evaluation", "rows": 60},
        "engine": {"name": "compression_engine", "version": "0.1.0"},
        "evidence": [{"document": document, "plain": ["It answers fast."]}],
        "host": host, "host_digest": sha256(canonical(host)), "parent": None, "plan": None, "plan_digest": None,
        "seed": 0, "settings": settings, "settings_digest": sha256(canonical(settings)),
        "type": "pressmark/target_measurement/1", "version_digest": version.digest, "weights": weights_of(version),
        **changes,
    }  # fmt: skip
