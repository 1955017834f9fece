"""SVDF: a fully connected layer over the last memories of its input, factorised.

inputs: x (b, k), feature weights (f, k), time weights (f, memory), bias (units,) or none, state (b, memory · f), which
is a variable; rank: f = units · rank. Each run shifts the state of every filter by one and appends x · feature;
out[b, u] = act(bias[u] + sum over the rank of time · state). float32; float32 with 8-bit weights, rows of x quantised on
the fly; int8 with an int16 state. Source: kernels/svdf.cc and reference/svdf.h.
"""

from __future__ import annotations

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import constant, declined, optional, per_tensor, shape_of, tensor, types
from ._engine import weights_once
from ._recurrent import WEIGHTS, Matrix, activation, expect, given, made, state
from .nodes import quiet
from .quant import multiplier_and_shift, rescale


def svdf(node: NodeSpec) -> Prepared:
    """Prepare SVDF; see the module."""
    x, feature, time = (
        tensor(node, 0, "input"),
        tensor(node, 1, "feature weights"),
        tensor(node, 2, "time weights"),
    )
    bias, rank = optional(node, 3), node.options["rank"]
    kind = types(x, ("float32", "int8"), "input")
    batch, k = shape_of(x, 2)
    filters = shape_of(feature, 2, "feature weights")[0]
    memory = shape_of(time, 2, "time weights")[1]
    if rank <= 0 or filters % rank:
        raise ShapeError(f"rank is {rank}; {filters} filters must be a multiple of it")
    units = filters // rank
    expect(feature, (filters, k), "feature weights")
    expect(time, (filters, memory), "time weights")
    if memory == 0:
        raise ShapeError("time weights have no memory")
    if bias is not None:
        expect(bias, (units,), "bias")
        types(bias, ("float32" if kind == "float32" else "int32",), "bias")
    types(node.outputs[0], (kind,), "output")
    shape = (batch, filters, memory, units)
    if kind == "int8":
        types(feature, ("int8",), "feature weights")
        types(time, ("int16",), "time weights")
        return _integer(node, shape, x, feature, time)
    types(feature, WEIGHTS, "feature weights")
    types(time, (feature.dtype,), "time weights")
    return _float(node, shape, feature, time)


def _memory(states: Array, shape: tuple[int, int, int, int]) -> Array:
    batch, filters, memory, _ = shape
    return states.reshape(batch, filters, memory)


def _float(
    node: NodeSpec, shape: tuple[int, int, int, int], feature: TensorSpec, time: TensorSpec
) -> Prepared:
    batch, filters, memory, units = shape
    state(node, 4, "state", (batch, memory * filters), "float32")
    act = activation(node.options["fused_activation_function"])
    matrix = Matrix(feature, bool(node.options["asymmetric_quantize_inputs"]), "feature weights")
    scale = per_tensor(time, "time weights").scales[0] if matrix.quantised else np.float32(1)
    known = constant(feature, time)

    def bind(buffers: Buffers) -> Step:
        x, held, out = given(buffers, 0), _memory(given(buffers, 4), shape), made(buffers)
        w, t, bias = given(buffers, 1), given(buffers, 2), buffers.inputs[3]

        def make() -> tuple[Array, Array]:
            levels = t.view(np.int8) if t.dtype == np.uint8 else t
            return matrix.packed(w), levels.astype(np.float32) * scale if matrix.quantised else t

        weights = weights_once(node, known, make)

        def step() -> None:
            features, times = weights()
            held[:, :, :-1] = held[:, :, 1:].copy()
            held[:, :, -1] = matrix.times(matrix.rows(x), features)
            sums = np.einsum("bfm,fm->bf", held, times)
            np.add.reduce(sums.reshape(batch, units, -1), axis=2, out=out)
            if bias is not None:
                np.add(out, bias, out=out)
            act(out)

        return quiet(step)

    packed = matrix.nbytes + 4 * filters * memory if matrix.quantised and known else 0
    return Prepared(((batch, units),), bind, writes=frozenset({4}), packed=packed)


def _integer(
    node: NodeSpec, shape: tuple[int, int, int, int], x: TensorSpec, feature: TensorSpec, time: TensorSpec
) -> Prepared:
    """Two scales, both formed in float32; the clamp of the output's type stands for its RELU."""
    batch, filters, memory, units = shape
    held_by = state(node, 4, "state", (batch, memory * filters), "int16")
    if node.options["fused_activation_function"] != "RELU":
        raise declined(
            f"activation {node.options['fused_activation_function']} of int8; only RELU", Reason.OPTION
        )
    xq, fq, tq = (
        per_tensor(x, "input"),
        per_tensor(feature, "feature weights"),
        per_tensor(time, "time weights"),
    )
    sq, oq = per_tensor(held_by, "state"), per_tensor(node.outputs[0], "output")
    inner = multiplier_and_shift(float(xq.scales[0] * fq.scales[0] / sq.scales[0]))
    outer = multiplier_and_shift(float(sq.scales[0] * tq.scales[0] / oq.scales[0]))

    def bind(buffers: Buffers) -> Step:
        given_x, held, out = given(buffers, 0), _memory(given(buffers, 4), shape), made(buffers)
        w, t, bias = given(buffers, 1), given(buffers, 2), buffers.inputs[3]
        features = weights_once(node, constant(feature), lambda: w.T.astype(np.float64))

        def step() -> None:
            held[:, :, :-1] = held[:, :, 1:].copy()
            sums = (given_x - np.float64(xq.zero_point)) @ features()
            held[:, :, -1] = np.clip(rescale(sums.astype(np.int64).astype(np.int32), *inner), -32768, 32767)
            products = held.astype(np.int64) * t
            total = products.reshape(batch, units, -1).sum(axis=2)
            if bias is not None:
                total += bias
            levels = rescale(total.astype(np.int32), *outer).astype(np.int64) + oq.zero_point
            np.copyto(out, np.clip(levels, -128, 127), casting="unsafe")

        return step

    packed = 8 * filters * shape_of(feature)[1] if constant(feature) else 0
    return Prepared(((batch, units),), bind, writes=frozenset({4}), packed=packed)
