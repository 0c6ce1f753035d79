"""Cases of layers: convolutions, pooling, normalisations, resizing, recurrent layers, and a vendor's fused operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.engine.operator_cases import Case, Draw, case


def _window(draw: Draw, axes: int, *, dilated: bool = True) -> dict[str, Any]:
    """Strides, dilations and pads; auto_pad with strides alone."""
    how: dict[str, Any] = {"strides": [draw.integer(1, 2) for _ in range(axes)]}
    automatic = draw.one_of("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if automatic != "NOTSET":
        return how | {"auto_pad": automatic}
    if dilated and draw.flag():
        how["dilations"] = [draw.integer(1, 2) for _ in range(axes)]
    return how | {"pads": [draw.integer(0, 1) for _ in range(2 * axes)]}


@case("Conv", "ConvTranspose")
def convolutions(draw: Draw, operator: str) -> Case:
    axes, group = draw.integer(1, 3), draw.one_of(1, 2)
    kernel = [draw.integer(1, 3) for _ in range(axes)]
    how = _window(draw, axes) | {"group": group}
    x = draw.numbers(draw.integer(1, 2), 2 * group, *(draw.integer(5, 7) for _ in range(axes)))
    shape = (2 * group, 3 if operator == "ConvTranspose" else 2, *kernel)
    outputs = 3 * group if operator == "ConvTranspose" else 2 * group
    fixed = {"w": draw.numbers(*shape)}
    if operator == "ConvTranspose" and "pads" in how and draw.flag():
        how["output_padding"] = [stride - 1 for stride in how["strides"]]
    if draw.flag():
        fixed["b"] = draw.numbers(outputs)
    return Case(operator, ["x", *fixed], {"x": x}, fixed, how)


@case("ConvTranspose")
def convolution_to_a_shape(draw: Draw, operator: str) -> Case:
    size, stride = draw.integer(3, 5), draw.integer(1, 2)
    full = (size - 1) * stride + 3
    how = {
        "strides": [stride],
        "output_shape": [full - draw.integer(0, 2)],
        "auto_pad": draw.one_of("NOTSET", "SAME_UPPER"),
    }
    return Case(operator, ["x", "w"], {"x": draw.numbers(1, 2, size)}, {"w": draw.numbers(2, 3, 3)}, how)


@case("MaxPool", "AveragePool", "LpPool")
def pooling(draw: Draw, operator: str) -> Case:
    axes = draw.integer(1, 3)
    how = _window(draw, axes, dilated=operator == "MaxPool")
    how["kernel_shape"] = [draw.integer(2, 3) for _ in range(axes)]
    if operator != "LpPool" and "pads" in how:
        how["ceil_mode"] = int(draw.flag())
    if operator == "AveragePool":
        how["count_include_pad"] = int(draw.flag())
    if operator == "LpPool":
        how["p"] = draw.integer(1, 3)
    x = draw.numbers(draw.integer(1, 2), 2, *(draw.integer(5, 7) for _ in range(axes)))
    outputs = 2 if operator == "MaxPool" and draw.flag() else 1
    # ceil_mode of AveragePool was put right in set 19
    return Case(operator, ["x"], {"x": x}, {}, how, outputs, opset=19 if operator == "AveragePool" else 17)


@case("BatchNormalization", "InstanceNormalization")
def normalisations(draw: Draw, operator: str) -> Case:
    x = draw.numbers(3, 4, *draw.shape(1, 2))
    fixed = {"scale": draw.numbers(4), "bias": draw.numbers(4)}
    if operator == "BatchNormalization":
        fixed |= {"mean": draw.numbers(4), "var": draw.numbers(4, low=0.2)}
    return Case(operator, ["x", *fixed], {"x": x}, fixed, {"epsilon": draw.one_of(1e-3, 1e-2)})


@case("LayerNormalization")
def layer_normalisation(draw: Draw, operator: str) -> Case:
    shape = draw.shape(2, 4)
    axis = draw.integer(1, len(shape) - 1)
    inside = shape[axis:]
    fixed = {"scale": draw.numbers(*inside)} | ({"bias": draw.numbers(*inside)} if draw.flag() else {})
    how = {"axis": axis - len(shape) if draw.flag() else axis, "epsilon": 1e-3}
    return Case(operator, ["x", *fixed], {"x": draw.numbers(*shape)}, fixed, how, draw.one_of(1, 1, 3))


@case("GroupNormalization")
def group_normalisation(draw: Draw, operator: str) -> Case:
    opset, groups = draw.one_of(18, 21), draw.one_of(1, 2, 4)
    width = 4 if opset == 21 else groups
    fixed = {"scale": draw.numbers(width), "bias": draw.numbers(width)}
    return Case(
        operator,
        ["x", *fixed],
        {"x": draw.numbers(2, 4, 3)},
        fixed,
        {"num_groups": groups, "epsilon": 1e-3},
        opset=opset,
    )


@case("LRN")
def local_response(draw: Draw, operator: str) -> Case:
    how = {"size": draw.one_of(1, 3, 5), "alpha": 0.1, "beta": 0.6, "bias": 1.2}
    return Case(operator, ["x"], {"x": draw.numbers(2, 5, 3, 2)}, attributes=how)


@case("LpNormalization")
def unit_length(draw: Draw, operator: str) -> Case:
    return Case(
        operator, ["x"], {"x": draw.numbers(2, 3, 4)}, attributes={"axis": draw.one_of(-1, 1), "p": draw.one_of(1, 2)}
    )


@case("MeanVarianceNormalization")
def mean_variance(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": draw.numbers(2, 3, 4, 2)}, attributes={"axes": draw.one_of([0, 2, 3], [2, 3])})


@case("Softmax", "LogSoftmax", "Hardmax")
def choices(draw: Draw, operator: str) -> Case:
    shape, opset = draw.shape(2, 4), draw.one_of(11, 13, 17)
    how = {} if draw.flag() else {"axis": draw.integer(0 if opset < 13 else -len(shape), len(shape) - 1)}
    return Case(operator, ["x"], {"x": draw.numbers(*shape)}, attributes=how, opset=opset)


@case("Dropout")
def dropout(draw: Draw, operator: str) -> Case:
    return Case(
        operator, ["x"], {"x": draw.numbers(*draw.shape())}, outputs=draw.one_of(1, 2), opset=draw.one_of(10, 13)
    )


@case("Resize")
def resize(draw: Draw, operator: str) -> Case:
    mode = draw.one_of("nearest", "linear", "cubic")
    coordinates = draw.one_of("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    how = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        how["nearest_mode"] = draw.one_of("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    x = {"x": draw.numbers(1, 2, draw.integer(2, 5), draw.integer(2, 5))}
    if draw.flag():
        return Case(
            operator,
            ["x", "", "s"],
            x,
            {"s": np.array([1, 1, draw.one_of(0.6, 2, 1.5), draw.one_of(1, 2.3, 3)], np.float32)},
            how,
        )
    sizes = np.array([1, 2, draw.integer(1, 8), draw.integer(1, 8)])
    return Case(operator, ["x", "", "", "s"], x, {"s": sizes}, how)


@case("Upsample")
def upsample(draw: Draw, operator: str) -> Case:
    how = {"mode": draw.one_of("nearest", "linear")}
    scales = np.array([1, 1, draw.one_of(1, 2, 3), 2], np.float32)
    return Case(operator, ["x", "s"], {"x": draw.numbers(1, 2, 3, 4)}, {"s": scales}, how, opset=9)


_ACTIVATIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}


@case("LSTM", "GRU", "RNN")
def recurrent(draw: Draw, operator: str) -> Case:
    gates, width, time, rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator], 3, draw.integer(1, 4), draw.integer(1, 3)
    direction = draw.one_of("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    given = {"x": draw.numbers(time, rows, 2)}
    fixed = {"w": draw.numbers(ways, gates * width, 2), "r": draw.numbers(ways, gates * width, width)}
    names = ["x", "w", "r", "", "", "", "", ""]
    if draw.flag():
        names[3], fixed["b"] = "b", draw.numbers(ways, 2 * gates * width)
    if draw.flag():
        names[4], fixed["n"] = "n", draw.generator.integers(1, time + 1, rows).astype(np.int32)
    if draw.flag():
        names[5], given["h"] = "h", draw.numbers(ways, rows, width)
    if operator == "LSTM" and draw.flag():
        names[6], given["c"] = "c", draw.numbers(ways, rows, width)
    if operator == "LSTM" and draw.flag():
        names[7], fixed["p"] = "p", draw.numbers(ways, 3 * width)
    how: dict[str, Any] = {"hidden_size": width, "direction": direction}
    if operator == "GRU":
        how["linear_before_reset"] = int(draw.flag())
    if draw.flag():
        how["clip"] = 0.7
    if draw.flag():
        how["activations"] = ["HardSigmoid", "Relu", "Softsign"][3 - _ACTIVATIONS[operator] :] * ways
    return Case(operator, names[: 8 if operator == "LSTM" else 6], given, fixed, how, 3 if operator == "LSTM" else 2)


@case("FusedMatMul", "BiasGelu", "QuickGelu", "FastGelu", "SkipLayerNormalization")
def vendor(draw: Draw, operator: str) -> Case:
    x = {"x": draw.numbers(2, 3, 4)}
    if operator == "FusedMatMul":
        turned = int(draw.flag())
        fixed = {"w": draw.numbers(*((2, 4) if turned else (4, 2)))}
        return Case(operator, ["x", "w"], x, fixed, {"transB": turned, "alpha": 0.5}, domain="com.microsoft")
    if operator == "SkipLayerNormalization":
        fixed = {"g": draw.numbers(4), "b": draw.numbers(4), "bias": draw.numbers(4)}
        return Case(operator, ["x", "s", *fixed], x | {"s": draw.numbers(2, 3, 4)}, fixed, domain="com.microsoft")
    fixed = {} if operator == "QuickGelu" else {"b": draw.numbers(4)}
    return Case(operator, ["x", *fixed], x, fixed, domain="com.microsoft")
