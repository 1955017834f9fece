"""CONV_2D: out[n, y, x, o] = act(bias[o] + sum filter[o, i, j, c] · input[n, y·s + i·d, x·s + j·d, c])

input (n, h, w, c), filter (o, kh, kw, c / groups), bias (o,) or none. float32; int8 and uint8; int16 with
8-bit weights; float32 with 8-bit weights, whose input is quantised on the fly. The products are matrix products
over patches (_patches); integers go through float32 without a rounding (_products).
Source: kernels/conv.cc, reference/conv.h and reference/integer_ops/conv.h.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import affine, constant, declined, optional, shape_of, tensor, types
from ._engine import Engine, no_bias, weights_once
from ._finish import Finish, bind_float, bind_scaled, float_range
from ._hybrid import asymmetric, symmetric
from ._integer import W_MOST, Rules, scheme
from ._memory import Scratch
from ._patches import Patches, Tile
from ._products import Cuts, cuts
from .nodes import quiet
from .shapes import Window, element_count, window

FLOAT32 = np.dtype(np.float32)


class Layout(NamedTuple):
    """Shapes of one convolution. shape: (n, h, w, c) of the input; k: products in a sum; out: shape of the output."""

    shape: Shape
    wy: Window
    wx: Window
    o: int
    groups: int

    @property
    def k(self) -> int:
        return self.wy.size * self.wx.size * self.shape[3] // self.groups

    @property
    def out(self) -> Shape:
        return (self.shape[0], self.wy.out, self.wx.out, self.o)

    def rows(self, filters: Array) -> Array:
        """A filter as (o, k)."""
        return filters.reshape(self.o, self.k)


def conv_2d(node: NodeSpec) -> Prepared:
    """Prepare CONV_2D; see the module."""
    x, w, bias = tensor(node, 0, "input"), tensor(node, 1, "filter"), optional(node, 2)
    n, h, width, c = shape_of(x, 4)
    o, kh, kw, deep = shape_of(w, 4, "filter")
    check_sizes("input", (h, width, c))
    check_sizes("filter", (o, kh, kw, deep))
    if c % deep:
        raise ShapeError(f"filter has {deep} input channels, input has {c}")
    groups = c // deep
    if o % groups:
        raise ShapeError(f"filter has {o} output channels, not a multiple of the {groups} groups")
    check_bias(bias, o)
    wy, wx = windows(node, h, width, kh, kw)
    return convolve(node, Layout((n, h, width, c), wy, wx, o, groups), x, w, bias, Rules())


def convolve(
    node: NodeSpec, layout: Layout, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None, rules: Rules
) -> Prepared:
    """The kernel for the types of *node*."""
    if types(x, ("float32", "int8", "uint8", "int16"), "input") != "float32":
        return dense_integer(node, layout, x, w, bias, rules)
    types(node.outputs[0], ("float32",), "output")
    if bias is not None:
        types(bias, ("float32",), "bias")
    if types(w, ("float32", "int8", "int4"), "filter") == "float32":
        return dense_float(node, layout)
    return _hybrid(node, layout, w, bias)


def check_sizes(what: str, sizes: tuple[int, ...]) -> None:
    """ShapeError if one of *sizes* is not positive."""
    if min(sizes) <= 0:
        raise ShapeError(f"{what} has sizes {sizes}; all must be positive")


def check_bias(bias: TensorSpec | None, channels: int) -> None:
    """ShapeError if *bias* does not have *channels* elements."""
    if bias is not None and element_count(shape_of(bias)) != channels:
        raise ShapeError(
            f"bias has {element_count(shape_of(bias))} elements, filter has {channels} output channels"
        )


def windows(node: NodeSpec, h: int, w: int, kh: int, kw: int) -> tuple[Window, Window]:
    """How a filter slides down and along, by the options of *node*."""
    o = node.options
    return (
        window(h, kh, o["stride_h"], o["dilation_h_factor"], o["padding"]),
        window(w, kw, o["stride_w"], o["dilation_w_factor"], o["padding"]),
    )


def operands(buffers: Buffers) -> tuple[Array, Array, Array | None, Array]:
    """Input, filter, bias and output of a bound node."""
    x, w, out = buffers.inputs[0], buffers.inputs[1], buffers.outputs[0]
    assert x is not None and w is not None and out is not None  # noqa: PT018, S101  core gives what prepare saw
    return x, w, buffers.inputs[2] if len(buffers.inputs) > 2 else None, out


def dense_float(node: NodeSpec, layout: Layout) -> Prepared:
    low, high = float_range(node.options["fused_activation_function"])
    scratch = Scratch()
    patches = Patches(
        layout.shape, layout.wy, layout.wx, layout.groups, FLOAT32, FLOAT32, scratch, 4 * layout.o
    )
    engine = Engine(
        patches.pixels, layout.o, layout.groups, Cuts((0, layout.k), FLOAT32, 0), scratch, in_place=True
    )

    def bind(buffers: Buffers) -> Step:
        x, w, bias, out = operands(buffers)
        weights = layout.rows(w), no_bias(bias, layout.o)
        return engine.bind(
            patches.bind(x, buffers.scratch),
            out.reshape(-1, layout.o),
            buffers.scratch,
            lambda: weights,
            lambda _tile, _sums, rows: bind_float(rows, low, high),
        )

    return Prepared((layout.out,), bind, scratch.nbytes)


def dense_integer(
    node: NodeSpec, layout: Layout, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None, rules: Rules
) -> Prepared:
    how = scheme(node, x, w, bias, layout.rows, layout.k, layout.o, rules)
    scratch = Scratch()
    cut, extra = how.cut, layout.o * how.cut.sums.itemsize
    patches = Patches(
        layout.shape, layout.wy, layout.wx, layout.groups, np.dtype(x.dtype), cut.dtype, scratch, extra
    )
    engine = Engine(patches.pixels, layout.o, layout.groups, cut, scratch, in_place=False)
    work = scratch.take((how.requant.work(layout.o),), np.float64)

    def bind(buffers: Buffers) -> Step:
        x, w, bias, out = operands(buffers)
        space = work(buffers.scratch)
        return engine.bind(
            patches.bind(x, buffers.scratch, how.x_zero),
            out.reshape(-1, layout.o),
            buffers.scratch,
            weights_once(node, how.constant, lambda: how.weights(w, bias)),
            lambda _tile, sums, rows: how.requant.bind(sums, rows, space),
        )

    return Prepared((layout.out,), bind, scratch.nbytes, packed=how.packed)


def _hybrid(node: NodeSpec, layout: Layout, w: TensorSpec, bias: TensorSpec | None) -> Prepared:
    """The input of each image becomes 8-bit levels: symmetric if all filters share one scale, else asymmetric."""
    scales = affine(w, "filter").scales
    if scales.size not in (1, layout.o):
        raise declined(f"filter has {scales.size} scales; only 1 or {layout.o}", Reason.QUANT)
    by_channel = bool(np.any(scales != scales[0])) or layout.groups > 1
    quantised = asymmetric if by_channel else symmetric
    low, high = float_range(node.options["fused_activation_function"])
    cut = cuts(
        layout.k, 255 if by_channel else 127, W_MOST[w.dtype], None if w.data is None else layout.rows(w.data)
    )
    n = layout.shape[0]
    size = element_count(layout.shape[1:])
    scratch = Scratch()
    levels, steps = scratch.take((n, size)), scratch.take((n,))
    extra = layout.o * cut.sums.itemsize
    patches = Patches(
        layout.shape, layout.wy, layout.wx, layout.groups, FLOAT32, cut.dtype, scratch, extra, images=True
    )
    engine = Engine(patches.pixels, layout.o, layout.groups, cut, scratch, in_place=False)

    def bind(buffers: Buffers) -> Step:
        x, w, bias, out = operands(buffers)
        flat, q, s = x.reshape(n, size), levels(buffers.scratch), steps(buffers.scratch)

        def finish(tile: Tile, sums: Array, rows: Array) -> Finish:
            # In the order of the reference kernels: channel and then image, or both scales first.
            if by_channel:
                return bind_scaled(sums, rows, lambda: scales, lambda: s[tile.image], low, high)
            return bind_scaled(sums, rows, lambda: scales[:1] * s[tile.image], None, low, high)

        matrix = weights_once(node, constant(node.inputs[1]), lambda: layout.rows(w).astype(cut.dtype))
        biases = no_bias(bias, layout.o)
        multiply = engine.bind(
            patches.bind(q, buffers.scratch),
            out.reshape(-1, layout.o),
            buffers.scratch,
            lambda: (matrix(), biases),
            finish,
        )

        def step() -> None:
            if n:
                quantised(flat, q, s)
            multiply()

        return quiet(step)

    packed = layout.o * layout.k * cut.dtype.itemsize if constant(w) else 0
    return Prepared((layout.out,), bind, scratch.nbytes, packed=packed)
