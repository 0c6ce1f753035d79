"""Where torch calculates, and how it is held to giving the same numbers again.

Rules:
- `cpu`, or `cuda:N` where there is such a device; another name, or one that is not there, is refused before anything is read;
- one thread, so that sums are taken in one order, whatever number of threads is asked for elsewhere;
- only algorithms that torch calls deterministic; on CUDA also those of cuBLAS (CUBLAS_WORKSPACE_CONFIG), no search for the fastest
  convolution and no TF32, as in torch's notes on reproducibility;
- on the processor no more memory is taken than is at hand (see `pass_limits`);
- what was set before is set again afterwards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from compression_engine.errors import EngineError
from compression_engine.training.pass_limits import is_out_of_memory, out_of_memory, within_memory

CPU = "cpu"
_FORM = re.compile(r"cpu|cuda:[0-9]{1,3}\Z")
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def check_device(name: str) -> str:
    """The name of a device that is there; raises EngineError (device_missing)."""
    if not _FORM.fullmatch(name):
        raise EngineError("device_missing", f"{name!r:.60} is no device.", "Use cpu, or cuda:0, cuda:1 and so on.")
    if name == CPU:
        return name
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(name.removeprefix("cuda:")) >= count:
        there = ", ".join([CPU, *(f"cuda:{number}" for number in range(count))])
        built = "" if torch.version.cuda else " This torch is built for processors alone."
        raise EngineError("device_missing", f"There is no device {name} here.{built}", f"Use one of: {there}.")
    return name


@contextmanager
def settled(device: str) -> Iterator[None]:
    """Holds torch to one thread and deterministic algorithms while something is trained. Raises EngineError (out_of_memory)."""
    import torch

    if device != CPU:
        os.environ.setdefault(_CUBLAS, ":4096:8")
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with within_memory(on_processor=device == CPU):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before[3], before[4]
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[5], before[6]


@contextmanager
def deterministic_or_told() -> Iterator[None]:
    """Around whatever asks for gradients: EngineError (cannot_be_trained) where there are none, or a device cannot give the same
    ones again, (out_of_memory) where they are more than there is room for."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise out_of_memory("the gradients of a batch") from error
        if "deterministic" not in str(error):
            lines = str(error).strip().splitlines() or [type(error).__name__]
            message = f"The model cannot be trained: the loss gives no gradients ({lines[0]:.200})."
            raise EngineError("cannot_be_trained", message, "Use a method that does not train.") from error
        hint = "Train on the device cpu."
        message = f"On this device torch has no algorithm that gives the same numbers again: {str(error)[:200]}"
        raise EngineError("cannot_be_trained", message, hint) from error
