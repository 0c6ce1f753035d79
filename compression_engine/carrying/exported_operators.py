"""Which operators of an exported program are called, and how: an explicit table; whatever is not in it is refused by name.

`PLAIN` are pure functions of numbers in torch's `aten`. `BY_SIZES` are those that take sizes, which must stay part of the graph
while it is traced: they are called through torch's Python functions, which know sizes that are traced. Nothing here touches a file,
a device, a generator of chance or a tensor in place.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

PLAIN = frozenset({
    "_adaptive_avg_pool2d", "_log_softmax", "_native_batch_norm_legit_no_training", "_softmax", "_to_copy", "abs",
    "acos", "acosh", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "add", "addmm", "alias", "all", "amax", "amin",
    "any", "arange", "argmax", "argmin", "asin", "asinh", "atan", "atan2", "atanh", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "baddbmm", "batch_norm", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "bmm", "cat",
    "ceil", "chunk", "clamp", "clamp_max", "clamp_min", "clone", "constant_pad_nd", "contiguous", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "convolution", "cos", "cosh", "cumsum", "detach", "div",
    "einsum", "elu", "embedding", "eq", "erf", "exp", "expand_as", "flatten", "flip", "floor", "floor_divide", "fmod",
    "full_like", "gather", "ge", "gelu", "glu", "group_norm", "gru", "gt", "hardsigmoid", "hardswish", "hardtanh",
    "index", "index_select", "instance_norm", "isinf", "isnan", "layer_norm", "le", "leaky_relu", "lift_fresh_copy",
    "linear", "log", "log1p", "log_softmax", "logical_and", "logical_not", "logical_or", "logical_xor", "logsumexp",
    "lstm", "lt", "masked_fill", "matmul", "max", "max_pool1d", "max_pool2d", "max_pool3d", "maximum", "mean", "min",
    "minimum", "mish", "mm", "movedim", "mul", "narrow", "native_group_norm", "native_layer_norm", "ne", "neg",
    "ones_like", "pad", "permute", "pixel_shuffle", "pow", "prelu", "prod", "reciprocal", "relu", "relu6",
    "remainder", "rms_norm", "rnn_relu", "rnn_tanh", "round", "rsqrt", "rsub", "scalar_tensor",
    "scaled_dot_product_attention", "select", "selu", "sigmoid", "sign", "silu", "sin", "sinh", "softmax", "softplus",
    "softsign", "split", "split_with_sizes", "sqrt", "square", "squeeze", "stack", "std", "sub", "sum", "swapaxes",
    "t", "tan", "tanh", "tile", "to", "topk", "transpose", "tril", "triu", "type_as", "unbind", "unflatten",
    "unsqueeze", "upsample_bilinear2d", "upsample_nearest2d", "var", "where", "zeros_like",
})  # fmt: skip
SKIPPED = frozenset(
    {"_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size"}
)
"""What only checks sizes."""
DROPOUT = frozenset({"dropout", "alpha_dropout", "native_dropout", "feature_dropout"})
VIEWING = frozenset({
    "_unsafe_view", "alias", "chunk", "contiguous", "detach", "dropout", "expand", "expand_as", "flatten", "getitem",
    "movedim", "narrow", "permute", "reshape", "select", "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "t",
    "to", "_to_copy", "transpose", "type_as", "unbind", "unflatten", "unsqueeze", "view",
})  # fmt: skip
"""What may give another look at the same numbers, so that a change in place would be seen through both."""
IN_PLACE = frozenset({
    "add_", "clamp_", "div_", "elu_", "hardsigmoid_", "hardswish_", "hardtanh_", "leaky_relu_", "mul_", "relu_", "selu_",
    "sigmoid_", "silu_", "sub_", "tanh_",
})  # fmt: skip
"""Changes in place of a tensor that only one name has: calculated as if they were not in place."""
_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "operator.add": operator.add, "operator.sub": operator.sub, "operator.mul": operator.mul,
    "operator.floordiv": operator.floordiv, "operator.mod": operator.mod, "operator.neg": operator.neg,
    "operator.getitem": operator.getitem,
}  # fmt: skip


def _identity(x: Any, *rest: Any, **named: Any) -> Any:
    return x


def by_sizes() -> dict[str, Callable[..., Any]]:
    """The operators that take or give sizes."""
    import torch

    def sliced(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
        return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]

    def filled(x: Any, size: Any, value: Any, dtype: Any = None) -> Any:
        return torch.full([*size], value, dtype=dtype or x.dtype)

    def ranged(start: Any, end: Any = None, step: Any = 1, dtype: Any = None) -> Any:
        return torch.arange(start, dtype=dtype) if end is None else torch.arange(start, end, step, dtype=dtype)

    return {
        "sym_size": lambda x, dim: x.shape[dim],
        "sym_numel": lambda x: x.numel(),
        "size": lambda x, dim: x.shape[dim],
        "view": lambda x, size: x.reshape([*size]),
        "_unsafe_view": lambda x, size: x.reshape([*size]),
        "reshape": lambda x, shape: x.reshape([*shape]),
        "expand": lambda x, size, implicit=False: x.expand([*size]),
        "repeat": lambda x, repeats: x.repeat([*repeats]),
        "slice": sliced,
        "full": lambda size, fill_value, dtype=None: torch.full([*size], fill_value, dtype=dtype),
        "zeros": lambda size, dtype=None: torch.zeros([*size], dtype=dtype),
        "ones": lambda size, dtype=None: torch.ones([*size], dtype=dtype),
        "new_zeros": lambda x, size, dtype=None: filled(x, size, 0, dtype),
        "new_ones": lambda x, size, dtype=None: filled(x, size, 1, dtype),
        "new_full": filled,
        "arange": ranged,
        "dropout": _identity,
        "alpha_dropout": _identity,
        "feature_dropout": _identity,
    }


def arithmetic(name: str) -> Callable[..., Any] | None:
    """Arithmetic with sizes; None for what is not in the table."""
    return _ARITHMETIC.get(name)
