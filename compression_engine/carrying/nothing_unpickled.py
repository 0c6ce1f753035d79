"""A guard that makes every way of unpickling raise while a foreign file is read.

Rules:
- carrying reads JSON and raw bytes; nothing in it needs a pickle, so that a pickle that is reached all the same is a fault;
- refused while the guard stands: `pickle.load`, `pickle.loads`, `pickle.Unpickler`, `torch.load` and torch's own object loader.
What torch's loader of .pt2 would unpickle (torch 2.13, `torch.export.pt2_archive`): weights and constants whose description says
`use_pickle`, constants that are objects (`custom_obj_*`, `opaque_obj_*`), and sample inputs; it also hands texts of the graph to
sympy, which evaluates them. None of it is called here: see `exported_program`.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest.mock import patch

from compression_engine.structure.pickles import refused


def _raise(*given: Any, **named: Any) -> NoReturn:
    raise refused("The model", "would be opened through a pickle")


@contextmanager
def nothing_unpickled() -> Iterator[None]:
    """Refuses unpickling (FileRefused, pickle_refused) until it is left; for one thread at a time."""
    import torch

    with (
        patch.object(pickle, "load", _raise),
        patch.object(pickle, "loads", _raise),
        patch.object(pickle, "Unpickler", _raise),
        patch.object(torch, "load", _raise),
        patch.object(torch._C, "_pickle_load_obj", _raise),
    ):
        yield
