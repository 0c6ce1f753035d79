"""Each operator alone, with attributes and shapes drawn at random, beside the runtime; and that none is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compression_engine.training.network import Network
from compression_engine.training.operators.table import STANDARD
from tests.engine import nets, operator_cases_layers, operator_cases_numbers, operator_cases_shapes
from tests.engine.carried import as_tensors, distance
from tests.engine.operator_cases import CASES, Draw, covered

FILLED_BY = (operator_cases_layers, operator_cases_numbers, operator_cases_shapes)
"""What fills the table of cases when it is imported."""
_NEAR = 2e-5
_RUNTIME_HAS_NOT = {
    "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CastLike", "GlobalLpPool", "Not",
    "RMSNormalization", "SimplifiedLayerNormalization", "Swish", "SequenceAt", "SequenceConstruct", "SequenceEmpty",
    "SequenceErase", "SequenceInsert", "SequenceLength", "SplitToSequence", "ConcatFromSequence",
}  # fmt: skip
"""Those without a case of their own here: plain functions of torch, newer than the runtime, or met in other tests."""


_HOW: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=4, **_HOW)
@given(data=st.data())
def test_an_operator_answers_as_the_runtime_does(name: str, data: st.DataObject) -> None:
    compare(name, data)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=100, **_HOW)
@given(data=st.data())
def test_an_operator_answers_as_the_runtime_does_however_it_is_written(name: str, data: st.DataObject) -> None:
    compare(name, data)


def compare(name: str, data: st.DataObject) -> None:
    """One case: shapes, kinds of numbers, and numbers."""
    case = CASES[name](Draw(data))
    model = case.model()
    try:
        theirs = nets.answer(model, case.given)
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:  # a mode that the runtime has no kernel for
        return
    ours = list(Network(model)(as_tensors(case.given)).values())
    for mine, their in zip(ours, theirs, strict=True):
        found = mine.detach().numpy()
        assert found.shape == their.shape
        assert found.dtype.kind == their.dtype.kind
        assert distance(found, np.asarray(their)) < _NEAR


def test_every_operator_of_the_table_has_a_case() -> None:
    assert set(STANDARD) - covered(list(CASES)) == _RUNTIME_HAS_NOT
