"""The facts about machine and libraries that a measurement or a replay depends on."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from compression_engine.canonical import JSON

ENGINE_VERSION = "0.4.0"
"""Changes whenever the same recipe could give other bytes or a figure could be computed in another way."""

_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS_OF_INTEREST = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm")
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "protobuf", "rapidfuzz", "scikit-learn", "scipy", "tokenizers")


def environment(
    threads: int, preprocessing: str | None = None, provider: str | None = None, device: str | None = None
) -> list[dict[str, JSON]]:
    """Names and values, sorted by name: libraries, processor with its flags, threads, preprocessing, execution provider.

    `device`: where something was trained, then with the version of torch; None where nothing was.
    `blas_kernel` says for which processors the kernels are written that BLAS chose; not said before a BLAS is loaded.
    """
    model, flags = _processor()
    facts = {
        "cpu_flags": " ".join(flag for flag in _FLAGS_OF_INTEREST if flag in flags),
        "cpu_model": model,
        "engine": ENGINE_VERSION,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "threads": str(threads),
    }
    facts |= {name: found for name in _LIBRARIES if (found := _version(name)) is not None}
    if preprocessing is not None:
        facts["preprocessing"] = preprocessing
    if provider is not None:
        facts["execution_provider"] = provider
    if device is not None:
        facts |= {"device": device, "torch": _version("torch") or "none"}
    kernel = _blas_kernel()
    if kernel:
        facts["blas_kernel"] = kernel
    return [{"name": name, "value": facts[name]} for name in sorted(facts)]


def _processor() -> tuple[str, frozenset[str]]:
    if not _CPU_INFO.is_file():
        return platform.processor() or "unknown", frozenset()
    fields: dict[str, str] = {}
    for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", ""))
    return fields.get("model name", platform.processor() or "unknown"), frozenset(flags.split())


def _blas_kernel() -> str:
    try:
        from threadpoolctl import threadpool_info  # not there where nothing but a target is measured
    except ImportError:
        return ""
    found = [one for one in threadpool_info() if one["user_api"] == "blas"]
    return ", ".join(sorted({f"{one['internal_api']} {one.get('architecture') or 'unknown'}" for one in found}))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
