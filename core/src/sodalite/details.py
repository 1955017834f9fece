"""The dictionaries that TensorFlow Lite's interpreter describes tensors, operators and signatures with."""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import Array, Graph, Quant, Shape, Sparsity
from .values import numpy_type


def tensor_details(
    graph: Graph, tensor: int, shape: Shape | None, *, compress: bool = False
) -> dict[str, Any]:
    """The details of one tensor. shape: the current one; compress: equal zero points are shown once."""
    spec = graph.tensors[tensor]
    now = np.array(() if shape is None else shape, np.int32)
    scales, zero_points, axis, block = _quantisation(graph, spec.quant)
    if compress and zero_points.size > 1 and (zero_points == zero_points[0]).all():
        zero_points = zero_points[:1]
    single = scales.size == 1
    return {
        "name": spec.name,
        "index": tensor,
        "shape": now,
        "shape_signature": now.copy() if spec.signature is None else np.array(spec.signature, np.int32),
        "dtype": numpy_type(spec),
        "quantization": (float(scales[0]), int(zero_points[0])) if single else (0.0, 0),
        "quantization_parameters": {
            "scales": scales,
            "zero_points": zero_points,
            "quantized_dimension": axis,
            "block_size": block,
        },
        "sparsity_parameters": {} if spec.sparsity is None else _sparsity(spec.sparsity),
    }


def _quantisation(graph: Graph, quant: Quant | None) -> tuple[Array, Array, int, int]:
    scales: Array = np.zeros(0, np.float32)
    zero_points: Array = np.zeros(0, np.int32)
    if quant is None:
        return scales, zero_points, 0, 0
    if quant.kind == "affine":
        return quant.scales.copy(), quant.zero_points.astype(np.int32), quant.axis, 0
    if quant.scales_tensor >= 0 and (data := graph.tensors[quant.scales_tensor].data) is not None:
        scales = data.ravel().copy()
    if quant.zero_points_tensor >= 0 and (data := graph.tensors[quant.zero_points_tensor].data) is not None:
        zero_points = data.ravel().astype(np.int32)
    return scales, zero_points, quant.axis, quant.block_size


def _sparsity(sparsity: Sparsity) -> dict[str, Any]:
    dims: list[dict[str, Any]] = []
    for form, *rest in sparsity.dims:
        if form == "dense":
            dims.append({"format": 0, "dense_size": int(rest[0])})
        else:
            segments, indices = (np.array(a, np.int32) for a in rest)
            dims.append({"format": 1, "array_segments": segments, "array_indices": indices})
    blocks = {"block_map": np.array(sparsity.block_map, np.int32)} if sparsity.block_map else {}
    return {
        "traversal_order": np.array(sparsity.traversal_order, np.int32),
        **blocks,
        "dim_metadata": dims,
    }


def op_details(graph: Graph) -> list[dict[str, Any]]:
    """One dictionary a node, in execution order; an omitted input has index -1 and no type."""
    return [
        {
            "index": place,
            "op_name": node.op.removeprefix("custom:"),
            "inputs": np.array(node.inputs, np.int32),
            "outputs": np.array(node.outputs, np.int32),
            "operand_types": [numpy_type(graph.tensors[i]) for i in node.inputs if i >= 0],
            "result_types": [numpy_type(graph.tensors[i]) for i in node.outputs if i >= 0],
        }
        for place, node in enumerate(graph.nodes)
    ]
