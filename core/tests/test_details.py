"""The detail dictionaries: keys, types and values as TensorFlow Lite's interpreter has them."""

from __future__ import annotations

import numpy as np
from core_graphs import Rows
from sodalite.graph import Quant, Sparsity
from sodalite.interpreter import op_details, tensor_details


def _quant(scales, zero_points, **more):
    return Quant(np.array(scales, np.float32), np.array(zero_points, np.int64), **more)


def _details(shape=(4,), now=(4,), *, compress=False, **more):
    rows = Rows()
    rows.tensor("t", shape, **more)
    graph = rows.graph([], [])
    return tensor_details(graph, graph.tensors[0], now, compress=compress)


def _same(got, wanted):
    """Equal, and of the same types all the way down."""
    assert type(got) is type(wanted)
    if isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for key, value in wanted.items():
            _same(got[key], value)
    elif isinstance(wanted, list):
        assert len(got) == len(wanted)
        for ours, theirs in zip(got, wanted, strict=True):
            _same(ours, theirs)
    elif isinstance(wanted, np.ndarray):
        assert got.dtype == wanted.dtype
        assert got.tolist() == wanted.tolist()
    else:
        assert got == wanted


def test_a_plain_tensor():
    """All keys, in TFLite's order; the signature is the shape where the file has none."""
    _same(
        _details(),
        {
            "name": "t",
            "index": 0,
            "shape": np.array([4], np.int32),
            "shape_signature": np.array([4], np.int32),
            "dtype": np.float32,
            "quantization": (0.0, 0),
            "quantization_parameters": {
                "scales": np.zeros(0, np.float32),
                "zero_points": np.zeros(0, np.int32),
                "quantized_dimension": 0,
                "block_size": 0,
            },
            "sparsity_parameters": {},
        },
    )


def test_shapes():
    """The current shape, the file's signature, and an empty shape where the rank is unknown."""
    resized = _details((1, 8), (3, 8), signature=(-1, 8))
    assert resized["shape"].tolist() == [3, 8]
    assert resized["shape_signature"].tolist() == [-1, 8]
    assert _details((1, 8), (3, 8))["shape_signature"].tolist() == [3, 8]
    unknown = _details(None, None)
    assert unknown["shape"].shape == (0,)
    assert unknown["shape_signature"].shape == (0,)


def test_quantisation():
    """The pair is (0.0, 0) unless there is exactly one scale."""
    one = _details(dtype="int8", quant=_quant([0.1], [-3]))
    assert one["quantization"] == (float(np.float32(0.1)), -3)
    many = _details((2, 4), (2, 4), dtype="int8", quant=_quant([0.1] * 4, [5] * 4, axis=1))
    assert many["quantization"] == (0.0, 0)
    assert many["quantization_parameters"]["quantized_dimension"] == 1
    _same(many["quantization_parameters"]["zero_points"], np.array([5] * 4, np.int32))
    short = _details((2, 4), (2, 4), dtype="int8", quant=_quant([0.1] * 4, [5] * 4, axis=1), compress=True)
    _same(short["quantization_parameters"]["zero_points"], np.array([5], np.int32))


def test_blockwise():
    """Scales are the scale tensor's elements, in its own type; the block size is told."""
    rows = Rows()
    rows.constant("scales", np.array([[1, 2], [3, 4]], np.float16), "float16")
    rows.tensor("w", (2, 64), "int4", quant=_quant([], [], kind="blockwise", scales_tensor=0, block_size=32))
    graph = rows.graph([], [])
    details = tensor_details(graph, graph.tensors[1], (2, 64))
    assert details["quantization"] == (0.0, 0)
    parameters = details["quantization_parameters"]
    _same(parameters["scales"], np.array([1, 2, 3, 4], np.float16))
    assert parameters["block_size"] == 32


def test_numpy_types():
    """Strings are bytes_, resources object_; 4-bit integers lie in int8."""
    types = {
        d: _details(dtype=d)["dtype"] for d in ("string", "resource", "bool", "int4", "uint4", "complex64")
    }
    assert types == {
        "string": np.bytes_,
        "resource": np.object_,
        "bool": np.bool_,
        "int4": np.int8,
        "uint4": np.uint8,
        "complex64": np.complex64,
    }


def test_sparsity():
    """The levels by number: 0 dense, 1 compressed; blocks where there are any."""
    sparsity = Sparsity((0, 1), (), (("dense", 2), ("csr", np.array([0, 1, 2]), np.array([0, 3]))))
    _same(
        _details(sparsity=sparsity)["sparsity_parameters"],
        {
            "traversal_order": np.array([0, 1], np.int32),
            "dim_metadata": [
                {"format": 0, "dense_size": 2},
                {
                    "format": 1,
                    "array_segments": np.array([0, 1, 2], np.int32),
                    "array_indices": np.array([0, 3], np.int32),
                },
            ],
        },
    )


def test_blocks_of_a_sparse_tensor():
    sparsity = Sparsity((0, 1, 2), (1,), (("dense", 2),))
    _same(_details(sparsity=sparsity)["sparsity_parameters"]["block_map"], np.array([1], np.int32))


def test_operators():
    """A custom operator goes by its own name; an omitted input has index -1 and no type."""
    rows = Rows()
    rows.tensor("x", dtype="int8")
    rows.op("custom:Mine", ["x", None], ["y"])
    (op,) = op_details(rows.graph(["x"], ["y"]))
    _same(
        {k: v for k, v in op.items() if not k.endswith("types")},
        {
            "index": 0,
            "op_name": "Mine",
            "inputs": np.array([0, -1], np.int32),
            "outputs": np.array([1], np.int32),
        },
    )
    assert (op["operand_types"], op["result_types"]) == ([np.int8], [np.float32])
