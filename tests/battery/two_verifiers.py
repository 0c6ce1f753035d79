"""One bundle, judged by the product's verifier and by the second one of the tests: the exit status of each."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit import offline_verify
from tests.audit import bundle_builder as builder
from tests.audit import second_verifier


def both(bundle: bytes | dict[str, bytes], outside: Mapping[str, Any]) -> tuple[int, int]:
    """The two exit statuses."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "bundle.zip"
        path.write_bytes(bundle if isinstance(bundle, bytes) else builder.pack(bundle))
        return offline_verify.verify_bundle(path, **outside).exit_code, _second(path, outside)


def _second(path: Path, outside: Mapping[str, Any]) -> int:
    receipts = [_on_disk(path.parent / f"receipt-{n}", data) for n, data in enumerate(outside.get("receipts", ()))]
    return second_verifier.verify(
        path,
        keys=outside.get("keys", ()),
        checkpoint=_on_disk(path.parent / "checkpoint", outside.get("checkpoint")),
        proof=_on_disk(path.parent / "proof", outside.get("proof")),
        witnesses=outside.get("witnesses", ()),
        receipts=[receipt for receipt in receipts if receipt],
        not_before=outside.get("not_before"),
    ).exit_code


def _on_disk(path: Path, data: bytes | Path | None) -> str | None:
    """The second verifier reads files."""
    if isinstance(data, bytes):
        path.write_bytes(data)
        return str(path)
    return None if data is None else str(data)
