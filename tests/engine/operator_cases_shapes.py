"""Cases of operators that move, choose or make numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from tests.engine.operator_cases import Case, Draw, case


@case("Reshape")
def reshape(draw: Draw, operator: str) -> Case:
    shape = np.array(draw.one_of([6, 4], [0, -1], [-1], [2, 0, 4], [4, 3, -1, 1]))
    x = draw.numbers(2, 3, 4)
    return (
        Case(operator, ["x", "s"], {"x": x}, {"s": shape})
        if draw.flag()
        else Case(operator, ["x", "s"], {"x": x, "s": shape})
    )


@case("Flatten")
def flatten(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": draw.numbers(2, 3, 4)}, attributes={"axis": draw.integer(-3, 3)})


@case("Transpose")
def transpose(draw: Draw, operator: str) -> Case:
    how = {} if draw.flag() else {"perm": draw.one_of([0, 2, 1], [2, 0, 1], [1, 0, 2])}
    return Case(operator, ["x"], {"x": draw.numbers(2, 3, 4)}, attributes=how)


@case("Concat")
def concat(draw: Draw, operator: str) -> Case:
    given = {name: draw.numbers(2, draw.integer(0, 3), 2) for name in "ab"}
    return Case(operator, ["a", "b", "a"], given, attributes={"axis": draw.one_of(1, -2)})


@case("Slice")
def slices(draw: Draw, operator: str) -> Case:
    axes = draw.axes(3)
    bounds = [(draw.integer(-6, 6), draw.one_of(-(2**62), -3, -1, 0, 2, 4, 2**62)) for _ in axes]
    starts, ends = [one[0] for one in bounds], [one[1] for one in bounds]
    x = {"x": draw.numbers(3, 4, 5)}
    if draw.flag():
        return Case(operator, ["x"], x, attributes={"starts": starts, "ends": ends, "axes": axes}, opset=9)
    steps = [draw.one_of(1, 2, -1, -2) for _ in axes]
    lists = {name: np.array(value) for name, value in (("s", starts), ("e", ends), ("a", axes), ("t", steps))}
    return Case(operator, ["x", *lists], x | lists) if draw.flag() else Case(operator, ["x", *lists], x, lists)


@case("Split")
def split(draw: Draw, operator: str) -> Case:
    x, form = {"x": draw.numbers(2, 6)}, draw.one_of("attribute", "input", "equal", "uneven")
    if form == "attribute":
        return Case(operator, ["x"], x, attributes={"split": [1, 2, 3], "axis": 1}, outputs=3, opset=11)
    if form == "input":
        return Case(operator, ["x", "s"], x, {"s": np.array([1, 2, 3])}, {"axis": -1}, 3)
    if form == "uneven":
        return Case(
            operator, ["x"], {"x": draw.numbers(2, 7)}, attributes={"axis": 1, "num_outputs": 4}, outputs=4, opset=18
        )
    return Case(operator, ["x"], x, attributes={"axis": 1}, outputs=3)


@case("Squeeze", "Unsqueeze")
def ones(draw: Draw, operator: str) -> Case:
    x = {"x": draw.numbers(1, 3, 1, 2)}
    axes = draw.one_of([0], [0, 2], [-4], [2]) if operator == "Squeeze" else draw.one_of([0], [1, 4], [-1], [0, 5])
    if draw.flag():
        return Case(operator, ["x"], x, attributes={"axes": axes}, opset=11)
    if operator == "Squeeze" and draw.flag():
        return Case(operator, ["x"], x)
    return Case(operator, ["x", "a"], x, {"a": np.array(axes)})


@case("Expand")
def expand(draw: Draw, operator: str) -> Case:
    shape = np.array(draw.one_of([2, 3, 4], [1], [3, 1], [5, 1, 3, 4]))
    return Case(operator, ["x", "s"], {"x": draw.numbers(3, 1), "s": shape})


@case("Shape")
def part_of_a_shape(draw: Draw, operator: str) -> Case:
    return Case(
        operator,
        ["x"],
        {"x": draw.numbers(2, 3, 4)},
        attributes={"start": draw.integer(-3, 1), "end": draw.integer(2, 5)},
    )


@case("Tile")
def tile(draw: Draw, operator: str) -> Case:
    return Case(
        operator, ["x", "r"], {"x": draw.numbers(2, 3)}, {"r": np.array([draw.integer(1, 3), draw.integer(1, 2)])}
    )


@case("Pad")
def pad(draw: Draw, operator: str) -> Case:
    mode = draw.one_of("constant", "reflect", "edge")
    pads = [draw.integer(-1 if mode == "constant" else 0, 2) for _ in range(4)]
    x = {"x": draw.numbers(3, 4)}
    if draw.flag():
        return Case(operator, ["x"], x, attributes={"mode": mode, "pads": pads, "value": 0.5}, opset=10)
    fixed = {"p": np.array(pads), "v": np.array(0.5, np.float32)}
    return Case(operator, ["x", *fixed] if mode == "constant" and draw.flag() else ["x", "p"], x, fixed, {"mode": mode})


@case("Pad")
def pad_some_axes(draw: Draw, operator: str) -> Case:
    fixed = {"p": np.array([1, 2]), "a": np.array([draw.integer(-2, 1)])}
    how = {"mode": draw.one_of("constant", "wrap", "reflect")}
    return Case(operator, ["x", "p", "", "a"], {"x": draw.numbers(3, 4)}, fixed, how, opset=19)


@case("DepthToSpace", "SpaceToDepth")
def blocks(draw: Draw, operator: str) -> Case:
    how: dict[str, Any] = {"blocksize": 2}
    if operator == "DepthToSpace":
        how["mode"] = draw.one_of("DCR", "CRD")
    return Case(operator, ["x"], {"x": draw.numbers(2, 8, 4, 2)}, attributes=how)


@case("Gather")
def gather(draw: Draw, operator: str) -> Case:
    rank = draw.integer(1, 3)
    shape, axis = (4, 3, 5)[:rank], draw.integer(-rank, rank - 1)
    places = draw.generator.integers(-shape[axis], shape[axis], draw.one_of((), (2,), (2, 3)))
    x, places = {"x": draw.numbers(*shape)}, {"p": np.asarray(places, dtype=draw.one_of(np.int64, np.int32))}
    if draw.flag():
        return Case(operator, ["x", "p"], x, places, {"axis": axis})
    return Case(operator, ["x", "p"], x | places, attributes={"axis": axis})


@case("GatherElements", "ScatterElements")
def elements(draw: Draw, operator: str) -> Case:
    axis = draw.one_of(0, 1, -1)
    size = (4, 3)[axis]
    places = np.stack([draw.generator.permutation(size) for _ in range((4, 3)[1 - axis % 2])])
    places = places if axis % 2 else places.T
    x = {"x": draw.numbers(4, 3), "p": places - size * (places % 2)}
    if operator == "GatherElements":
        return Case(operator, ["x", "p"], x, attributes={"axis": axis})
    how = {"axis": axis} | ({"reduction": draw.one_of("add", "mul")} if draw.flag() else {})
    return Case(operator, ["x", "p", "u"], x | {"u": draw.numbers(*places.shape)}, attributes=how)


@case("GatherND")
def gather_nd(draw: Draw, operator: str) -> Case:
    batch, shape = draw.one_of((0, (2, 3)), (0, (5, 2)), (1, (2, 1)), (1, (2, 3, 2)))
    places = draw.generator.integers(-2, 2, shape)
    return Case(operator, ["x", "p"], {"x": draw.numbers(2, 3, 4), "p": places}, attributes={"batch_dims": batch})


@case("ScatterND")
def scatter_nd(draw: Draw, operator: str) -> Case:
    places = np.array(draw.one_of([[0], [2]], [[1], [-1]]))
    how = {"reduction": "add"} if draw.flag() else {}
    given = {"x": draw.numbers(4, 3), "p": places, "u": draw.numbers(2, 3)}
    return Case(operator, ["x", "p", "u"], given, attributes=how)


@case("OneHot")
def one_hot(draw: Draw, operator: str) -> Case:
    fixed = {"d": np.array(4), "v": np.array([0.5, 2.0], np.float32)}
    return Case(
        operator, ["p", *fixed], {"p": draw.generator.integers(-4, 6, (2, 3))}, fixed, {"axis": draw.integer(-3, 2)}
    )


@case("TopK")
def top(draw: Draw, operator: str) -> Case:
    how = {"axis": draw.integer(-2, 1), "largest": int(draw.flag())}
    return Case(operator, ["x", "k"], {"x": draw.numbers(4, 5)}, {"k": np.array([draw.integer(1, 4)])}, how, 2)


@case("ArgMax", "ArgMin")
def extremes(draw: Draw, operator: str) -> Case:
    how = {"axis": draw.integer(-2, 1), "keepdims": int(draw.flag()), "select_last_index": int(draw.flag())}
    return Case(operator, ["x"], {"x": np.round(draw.numbers(4, 5))}, attributes=how)


@case("CumSum")
def cumulated(draw: Draw, operator: str) -> Case:
    how = {"reverse": int(draw.flag()), "exclusive": int(draw.flag())}
    return Case(operator, ["x", "a"], {"x": draw.numbers(3, 4)}, {"a": np.array(draw.one_of(0, 1, -1))}, how)


@case("Range")
def ranges(draw: Draw, operator: str) -> Case:
    kind = draw.one_of(np.float32, np.int64)
    values = draw.one_of((0, 5, 1), (5, -2, -2), (1, 1, 1), (2, 9, 3))
    return Case(
        operator, ["a", "b", "c"], {name: np.array(value, kind) for name, value in zip("abc", values, strict=True)}
    )


@case("ConstantOfShape")
def constants(draw: Draw, operator: str) -> Case:
    value = numpy_helper.from_array(draw.one_of(np.array([1.5], np.float32), np.array([3])))
    return Case(operator, ["s"], {"s": np.array([2, 3])}, attributes={"value": value} if draw.flag() else {})


@case("EyeLike")
def eye(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": draw.numbers(3, 4)}, attributes={"k": draw.integer(-2, 2)})


@case("Trilu")
def triangle(draw: Draw, operator: str) -> Case:
    x, fixed = {"x": draw.numbers(2, 3, 4)}, {"k": np.array(draw.integer(-2, 2))}
    return Case(operator, ["x", "k"] if draw.flag() else ["x"], x, fixed, {"upper": int(draw.flag())})


@case("NonZero")
def places_of_numbers(draw: Draw, operator: str) -> Case:
    return Case(operator, ["x"], {"x": np.round(draw.numbers(3, 4))})


@case("Compress")
def compress(draw: Draw, operator: str) -> Case:
    given = {"x": draw.numbers(3, 4), "c": np.array([True, False, True])}
    return Case(operator, ["x", "c"], given, attributes={"axis": 0} if draw.flag() else {})


@case("ReverseSequence")
def turned(draw: Draw, operator: str) -> Case:
    batch = draw.one_of(0, 1)
    return Case(
        operator, ["x", "l"], {"x": draw.numbers(3, 3, 2), "l": np.array([1, 3, 2])},
        attributes={"batch_axis": batch, "time_axis": 1 - batch},
    )  # fmt: skip
