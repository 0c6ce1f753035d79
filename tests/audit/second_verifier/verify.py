"""The one entrance: a bundle or the folder of a completed receipt, and what the caller gives."""

from collections.abc import Sequence
from pathlib import Path

from .bundle import verify_bundle
from .call import read_call
from .findings import Findings, WrongCall
from .folder import verify_folder


def verify(
    target: str | Path,
    *,
    keys: Sequence[str] = (),
    witnesses: Sequence[str] = (),
    checkpoint: bytes | None = None,
    proof: bytes | None = None,
    receipts: Sequence[Path | bytes] = (),
    not_before: str = "",
) -> Findings:
    """Judges with key lines, the bytes of checkpoint and proof, and receipts; raises WrongCall where nothing can be judged."""
    call = read_call(keys, witnesses, checkpoint, proof, receipts, not_before)
    path = Path(target)
    if path.is_dir():
        if call.receipts or call.not_before is not None:
            raise WrongCall("a folder takes neither receipts nor a time")
        return verify_folder(path, call)
    if not path.is_file():
        raise WrongCall(f"{path} is not there")
    return verify_bundle(path, call)
