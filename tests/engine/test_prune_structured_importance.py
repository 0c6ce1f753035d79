"""What a channel's importance by the loss is made of: whole batches, and states along their sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from compression_engine.methods.prune_structured_axes import Classes
from compression_engine.methods.prune_structured_importance import taylor
from compression_engine.methods.prune_structured_readers import Reader
from compression_engine.progress import silent
from compression_engine.training.material import Training
from tests.engine import learning, nets
from tests.engine import test_along_sequences as along


def scores(model: onnx.ModelProto, source: str, weight: str, training: Training) -> nets.Array:
    """The importance of each input of a product."""
    size = next(tensor.dims[0] for tensor in model.graph.initializer if tensor.name == weight)
    numbers = np.arange(size + 1)
    classes = Classes({}, numbers, size + 1, {}, numbers)
    reader = Reader("MatMul", source, weight, None, "", False, None, numbers[1:], numbers[1:])
    found: nets.Array = taylor(model, classes, [reader], training, silent)[1:]
    return found


@pytest.mark.parametrize("size", [1, 3])
def test_rows_that_are_answered_one_by_one_count_as_those_of_a_batch(size: int, tmp_path: Path) -> None:
    training, fixed = learning.handed(tmp_path), learning.net()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    found = [scores(net, "a", "second", training) for net in (learning.net(), fixed)]
    assert found[0].min() >= 0 < found[0].max()
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)


def test_what_reads_the_state_is_judged_along_sequences(tmp_path: Path) -> None:
    training = learning.handed(tmp_path, along.remembered(), along.PLAN)
    assert scores(along.recurrent(), "state", "again", training).min() > 0
