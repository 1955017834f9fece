# SPDX-License-Identifier: Apache-2.0
"""StableHLO operators that run a subgraph for pairs of elements: models compared with LiteRT."""

import numpy as np
import pytest
import sodalite
from sodalite.build import Builder
from sodalite.errors import SodaliteError
from sodalite_testkit.oracle import missing, oracle


def body(g, op, dtype):
    """A subgraph that puts two scalars together by *op*; without one, the second."""
    sub = g.subgraph("body")
    a, b = sub.input("a", (), dtype), sub.input("b", (), dtype)
    sub.output(sub.op(op, [a, b], [("c", (), dtype)]) if op else b)
    return sub


def ran(content, arrays, resolver="ref"):
    """The model's only output; it is LiteRT's."""
    run = sodalite.Interpreter(model_content=content)
    run.allocate_tensors()
    for detail, array in zip(run.get_input_details(), arrays, strict=True):
        run.set_tensor(detail["index"], array)
    run.invoke()
    got = run.get_tensor(run.get_output_details()[0]["index"])
    if missing() is None and resolver:
        answer = oracle().ask_runs(content, [arrays], resolver)
        assert answer.kind == "ok", answer.text
        np.testing.assert_array_equal(got, answer.runs[0][0])
    return got


def drawn(dtype, shape):
    rng = np.random.default_rng(3)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return rng.integers(-40, 40, shape).astype(dtype) / 4
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


WINDOWS = (
    ({"window_dimensions": [3]}, (7,)),
    ({"window_dimensions": [2, 3], "window_strides": [1, 2], "padding": [1, 0, 0, 2]}, (4, 6)),
    ({"window_dimensions": [2, 2], "window_dilations": [3, 2], "base_dilations": [2, 3], "padding": [-1, 2, 3, -2]}, (4, 5)),
    ({"window_dimensions": [1, 2, 2], "window_strides": [2, 1, 3], "padding": [0, 0, -1, 0, 0, -1]}, (3, 4, 6)),
    ({"window_dimensions": [9]}, (4,)),
)
REDUCED = [(op, dtype) for op in ("ADD", "MULTIPLY", "MAXIMUM", "MINIMUM") for dtype in ["float32", "int8", "uint8", "int16", "int32", "int64"]]


@pytest.mark.parametrize(("op", "dtype"), REDUCED)
def test_windows_are_reduced(op, dtype):
    """Strides, dilations, borders and cuts."""
    for how, shape in WINDOWS:
        full = {"window_strides": [1] * len(shape), "base_dilations": [1] * len(shape)}
        full |= {"window_dilations": [1] * len(shape), "padding": [0] * 2 * len(shape)} | how
        g = Builder("windows")
        x, start = g.input("x", shape, dtype), g.input("start", (), dtype)
        sub = body(g, f"STABLEHLO_{op}", dtype)
        y = g.op("STABLEHLO_REDUCE_WINDOW", [x, start], [("y", shape, dtype)], body_subgraph_index=sub, **full)
        g.output(y)
        arrays = [drawn(dtype, shape), np.array(3, dtype)]
        got = ran(g.finish(), arrays, "" if how["window_dimensions"] == [9] else "ref")
        assert (got.size == 0) == (how["window_dimensions"] == [9])


@pytest.mark.parametrize(("op", "whole"), [("LOGICAL_AND", True), ("LOGICAL_OR", False)])
def test_windows_of_truth(op, whole):
    """All and any."""
    g = Builder("truth")
    x, start = g.input("x", (9,), "bool"), g.input("start", (), "bool")
    sub = body(g, op, "bool")
    how = {"window_dimensions": [2], "window_strides": [1], "base_dilations": [1], "window_dilations": [1], "padding": [0, 0]}
    g.output(g.op("STABLEHLO_REDUCE_WINDOW", [x, start], [("y", (8,), "bool")], body_subgraph_index=sub, **how))
    ran(g.finish(), [drawn("bool", (9,)), np.array(whole)])


SCATTERED = (
    # rows of a matrix, one of them twice, one outside
    ((4, 3), [[1], [3], [1], [9], [-1]], (5, 3), {"update_window_dims": [1], "inserted_window_dims": [0], "scatter_dims_to_operand_dims": [0], "index_vector_dim": 1}),
    # single elements, three times the same
    ((4, 3), [[0, 0], [3, 2], [0, 0], [0, 0]], (4,), {"update_window_dims": [], "inserted_window_dims": [0, 1], "scatter_dims_to_operand_dims": [0, 1], "index_vector_dim": 1}),
    # windows, partly outside; index vectors lie along the first dimension
    ((4, 5), [[0, 3], [1, 4]], (2, 2, 2), {"update_window_dims": [1, 2], "inserted_window_dims": [], "scatter_dims_to_operand_dims": [0, 1], "index_vector_dim": 0}),
    # columns, with the batch last
    ((3, 4), [[[2], [0]], [[2], [3]]], (3, 2, 2), {"update_window_dims": [0], "inserted_window_dims": [1], "scatter_dims_to_operand_dims": [1], "index_vector_dim": 2}),
)


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("op", ["", "ADD", "MULTIPLY", "MAXIMUM", "MINIMUM"])
def test_updates_are_scattered(op, dtype, index):
    """In order where they meet, and not at all outside."""
    for shape, places, given, how in SCATTERED:
        g = Builder("scatter")
        x, at = g.input("x", shape, dtype), g.input("at", np.shape(places), index)
        updates = g.input("updates", given, dtype)
        sub = body(g, op and f"STABLEHLO_{op}", dtype)
        outs = [("y", shape, dtype)]
        g.output(g.op("STABLEHLO_SCATTER", [x, at, updates], outs, update_computation_subgraph_index=sub, **how))
        ran(g.finish(), [drawn(dtype, shape), np.array(places, index), drawn(dtype, given)])


@pytest.mark.parametrize("wrong", [{"update_window_dims": [0]}, {"inserted_window_dims": []}, {"scatter_dims_to_operand_dims": [2]}, {"index_vector_dim": 5}])
def test_what_does_not_fit_is_an_error(wrong):
    """Dimensions that are not there, or too few of them."""
    shape, places, given, how = SCATTERED[0]
    g = Builder("wrong")
    x, at, updates = g.input("x", shape, "int32"), g.input("at", np.shape(places), "int32"), g.input("u", given, "int32")
    sub = body(g, "STABLEHLO_ADD", "int32")
    outs = [("y", shape, "int32")]
    g.output(g.op("STABLEHLO_SCATTER", [x, at, updates], outs, update_computation_subgraph_index=sub, **how | wrong))
    with pytest.raises(SodaliteError):
        ran(g.finish(), [drawn("int32", shape), np.array(places, np.int32), drawn("int32", given)], "")
