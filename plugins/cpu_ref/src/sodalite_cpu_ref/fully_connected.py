"""FULLY_CONNECTED: out[b, o] = act(bias[o] + sum weights[o, k] · input[b, k])

input (..., k), taken as (b, k); weights (o, k), bias (o,) or none; out (b, o), or with keep_num_dims (..., o).
float32; int8, uint8 and int16 with weights of 8 and fewer bits (or 16); float32 with such weights, where each row of
the input is quantised on the fly. The integer kernels of LiteRT 2.3 apply the multiplier in float64; the generations
before it, and TensorFlow Lite Micro, as CONV_2D does. Source: kernels/fully_connected.cc, reference/fully_connected.h
and reference/integer_ops/fully_connected.h.
"""

from __future__ import annotations

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import LITERT, Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import affine, constant, declined, optional, shape_of, tensor, types
from ._engine import Engine, no_bias, weights_once
from ._finish import bind_by_row, float_range
from ._hybrid import asymmetric, symmetric
from ._integer import W_MOST, Rules
from ._memory import Scratch
from ._patches import Patches
from ._products import cuts
from .conv import Layout, check_bias, dense_float, dense_integer, operands
from .nodes import quiet
from .shapes import Window, element_count

W_TYPES = {
    "int8": ("int8", "int4", "int2"),
    "uint8": ("uint8",),
    "int16": ("int8", "int4", "int2", "int16"),
}
OUT_TYPES = {"int8": ("int8",), "uint8": ("uint8", "int16"), "int16": ("int16",)}


def fully_connected(node: NodeSpec) -> Prepared:
    """Prepare FULLY_CONNECTED; see the module."""
    x, w, bias = tensor(node, 0, "input"), tensor(node, 1, "weights"), optional(node, 2)
    options = node.options
    if options["weights_format"] != "DEFAULT":
        raise declined(f"weights_format {options['weights_format']}; only DEFAULT", Reason.OPTION)
    if w.sparsity is not None:
        raise declined("weights are sparse", Reason.OTHER)
    o, k = shape_of(w, 2, "weights")
    check_bias(bias, o)
    shape = output_shape(shape_of(x), o, k, keep=options["keep_num_dims"])
    if k == 0:
        return _empty(shape)
    rows = element_count(shape[:-1])
    layout = Layout((1, rows, 1, k), Window(rows, 0, 0, 1, 1, 1), Window(1, 0, 0, 1, 1, 1), o, 1)
    kind = types(x, ("float32", *W_TYPES), "input")
    if kind != "float32":
        rules = Rules(
            0, W_TYPES, OUT_TYPES, w_zero=True, real=node.mode.arithmetic == LITERT, checks_bias=True
        )
        return dense_integer(node, layout, x, w, bias, rules)._replace(outputs=(shape,))
    types(node.outputs[0], ("float32",), "output")
    if bias is not None:
        types(bias, ("float32",), "bias")
    if types(w, ("float32", "int8", "int4", "int2", "uint8"), "weights") == "float32":
        return dense_float(node, layout)._replace(outputs=(shape,))
    return _hybrid(node, layout, w)._replace(outputs=(shape,))


def output_shape(shape: Shape, o: int, k: int, *, keep: bool) -> Shape:
    """The output's shape; ShapeError if rows of *k* do not make up the input."""
    if keep or k == 0:
        if keep and (not shape or shape[-1] != k):
            raise ShapeError(f"weights have {k} columns, input is {shape} and keeps its dimensions")
        return (*shape[:-1], o) if keep else (element_count(shape[:-1]), o)
    size = element_count(shape)
    if size % k:
        raise ShapeError(f"weights have {k} columns, input {shape} has {size} elements, not a multiple")
    return (size // k, o)


def _empty(shape: Shape) -> Prepared:
    """Without columns the kernel fills its output with zero bytes, whatever the bias."""

    def bind(buffers: Buffers) -> Step:
        out = buffers.outputs[0]
        return lambda: None if out is None else out.fill(0)

    return Prepared((shape,), bind)


def _hybrid(node: NodeSpec, layout: Layout, w: TensorSpec) -> Prepared:
    """Each row of the input becomes 8-bit levels: asymmetric if the option says so."""
    scales = affine(w, "weights").scales
    o, k, rows = layout.o, layout.k, layout.shape[1]
    if scales.size not in (1, o):
        raise declined(f"weights have {scales.size} scales; only 1 or {o}", Reason.QUANT)
    both_ends = bool(node.options["asymmetric_quantize_inputs"])
    low, high = float_range(node.options["fused_activation_function"])

    def levels_of(filters: Array) -> Array:
        """uint8 is what early converters called int8 weights."""
        return filters.view(np.int8) if filters.dtype == np.uint8 else filters

    known = constant(w)
    most = W_MOST["int8" if w.dtype == "uint8" else w.dtype]
    cut = cuts(k, 255 if both_ends else 127, most, None if w.data is None else levels_of(w.data))
    scratch = Scratch()
    levels, steps = scratch.take((rows, k), cut.dtype), scratch.take((rows,))
    patches = Patches(
        layout.shape, layout.wy, layout.wx, 1, cut.dtype, cut.dtype, scratch, o * cut.sums.itemsize
    )
    engine = Engine(patches.pixels, o, 1, cut, scratch, in_place=False)

    def bind(buffers: Buffers) -> Step:
        x, w, bias, out = operands(buffers)
        flat, q, s = x.reshape(rows, k), levels(buffers.scratch), steps(buffers.scratch)
        matrix = weights_once(node, known, lambda: levels_of(w).astype(cut.dtype))
        biases = no_bias(bias, o)
        multiply = engine.bind(
            patches.bind(q, buffers.scratch),
            out.reshape(-1, o),
            buffers.scratch,
            lambda: (matrix(), biases),
            lambda tile, sums, rows: bind_by_row(sums, rows, scales, s[tile.rows], low, high),
        )
        quantised = asymmetric if both_ends else symmetric

        def step() -> None:
            if rows:
                quantised(flat, q, s)
            multiply()

        return quiet(step)

    packed = o * k * cut.dtype.itemsize if known else 0
    return Prepared((layout.out,), bind, scratch.nbytes, packed=packed)
