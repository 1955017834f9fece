"""TRANSPOSE_CONV: every input element, times the filter, is added to the output where the filter of a convolution
with these strides and padding would have seen it.

inputs: shape of the output, int32 (4,); filter (o, kh, kw, c); input (n, h, w, c); bias (o,) or none. Types as for
CONV_2D. One matrix product gives each input pixel's kh · kw · o contributions; these are added tap by tap.
Source: kernels/transpose_conv.cc, reference/transpose_conv.h and reference/integer_ops/transpose_conv.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import affine, constant, declined, optional, shape_of, tensor, types
from ._engine import no_bias, weights_once
from ._finish import bind_float, bind_scaled, float_range
from ._hybrid import asymmetric
from ._integer import W_MOST, X_MOST, Rules, scheme
from ._memory import Scratch, rows_per_tile
from ._products import EXACT_FLOAT32, Cuts, cuts, product
from .conv import FLOAT32, check_bias, check_sizes
from .nodes import fresh, ints, quiet
from .shapes import Window, element_count, window

TILE_NBYTES = 384 << 10
RULES = Rules(w_types={"int8": ("int8",), "uint8": ("uint8",), "int16": ("int8",)})

Bound = Callable[[Array, Array, "Array | None", Array, Array], Step]  # input, filter, bias, output, scratch


class Layout(NamedTuple):
    """shape, out: (n, h, w, c) and (n, oh, ow, o); wy, wx: windows of the convolution from the output to the input."""

    shape: Shape
    out: Shape
    wy: Window
    wx: Window

    @property
    def taps(self) -> int:
        return self.wy.size * self.wx.size

    def columns(self, filters: Array) -> Array:
        """A filter (o, kh, kw, c) as (kh · kw · o, c)."""
        o, c = self.out[3], self.shape[3]
        return filters.reshape(o, self.taps, c).transpose(1, 0, 2).reshape(-1, c)


class Job(NamedTuple):
    """One way to do it for one shape: scratch and packed bytes, and the step over given memory."""

    scratch: int
    packed: int
    bind: Bound


def transpose_conv(node: NodeSpec) -> Prepared:
    """Prepare TRANSPOSE_CONV; see the module."""
    wanted, w = tensor(node, 0, "output shape"), tensor(node, 1, "filter")
    x, bias = tensor(node, 2, "input"), optional(node, 3)
    types(wanted, ("int32",), "output shape")
    if shape_of(wanted, 1, "output shape") != (4,):
        raise ShapeError(f"output shape has {wanted.shape} elements, wanted 4")
    n, h, width, c = shape_of(x, 4)
    o, kh, kw, deep = shape_of(w, 4, "filter")
    check_sizes("input", (h, width, c))
    check_sizes("filter", (o, kh, kw))
    if c != deep:
        raise ShapeError(f"filter has {deep} input channels, input has {c}")
    check_bias(bias, o)
    kind = types(x, ("float32", "int8", "uint8", "int16"), "input")
    if kind == "float32":
        types(node.outputs[0], ("float32",), "output")
        if bias is not None:
            types(bias, ("float32",), "bias")
        types(w, ("float32", "int8"), "filter")

    def job(out: Shape) -> Job:
        if out[0] != n or out[3] != o:
            raise ShapeError(f"output shape is {out}, wanted {n} images of {o} channels")
        layout = Layout((n, h, width, c), out, *_windows(node, out, (h, width), (kh, kw)))
        if kind != "float32":
            return _integer(node, layout, x, w, bias)
        return _float(node, layout, w) if w.dtype == "float32" else _hybrid(node, layout, w)

    if wanted.data is None:
        return _dynamic(job)
    made = job(tuple(ints(wanted.data)))

    def bind(buffers: Buffers) -> Step:
        out = buffers.outputs[0]
        assert out is not None  # noqa: S101  its shape is known
        return made.bind(*_given(buffers), out, buffers.scratch)

    return Prepared((tuple(ints(wanted.data)),), bind, made.scratch, packed=made.packed)


def _windows(
    node: NodeSpec, out: Shape, size: tuple[int, int], kernel: tuple[int, int]
) -> tuple[Window, Window]:
    options = node.options
    wy = window(out[1], kernel[0], options["stride_h"], 1, options["padding"])
    wx = window(out[2], kernel[1], options["stride_w"], 1, options["padding"])
    if (wy.out, wx.out) != size:
        raise ShapeError(f"a convolution of {out[1:3]} gives {(wy.out, wx.out)}, input has {size}")
    return wy, wx


def _given(buffers: Buffers) -> tuple[Array, Array, Array | None]:
    """Input, filter, bias."""
    x, w = buffers.inputs[2], buffers.inputs[1]
    assert x is not None and w is not None  # noqa: PT018, S101  core gives what prepare saw
    return x, w, buffers.inputs[3] if len(buffers.inputs) > 3 else None


def _dynamic(job: Callable[[Shape], Job]) -> Prepared:
    """The output's shape is a value: all is planned while running."""

    def bind(buffers: Buffers) -> Step:
        x, w, bias = _given(buffers)

        def step() -> None:
            shape = tuple(ints(buffers.inputs[0]))
            if min(shape) < 0:
                raise ShapeError(f"output shape is {shape}; sizes cannot be negative")
            made = job(shape)
            out = fresh(shape, x.dtype.name)
            made.bind(x, w, bias, out, fresh((made.scratch,), "uint8"))()
            buffers.emit(0, out)

        return step

    return Prepared((None,), bind)


class Spread:
    """Plans the products of one shape, a few rows of the input at a time, and their places in the sums."""

    def __init__(self, layout: Layout, source: Any, cut: Cuts, scratch: Scratch) -> None:
        self.layout, self.cut = layout, cut
        _, h, w, c = layout.shape
        columns = layout.taps * layout.out[3]
        size = cut.dtype.itemsize
        self.rows = rows_per_tile(h, w * (columns + c) * size, TILE_NBYTES)
        pixels = self.rows * w
        self._input = None if source == cut.dtype else scratch.take((pixels, c), cut.dtype)
        self._columns = scratch.take((pixels, columns), cut.sums)
        self._part = scratch.take((pixels, columns), cut.dtype) if cut.blocks > 1 else None

    def bind(
        self, x: Array, scratch: Array, zero: int
    ) -> Iterator[tuple[int, Callable[[Array, Array], None]]]:
        """(image, add) for each tile; add(weights, sums (oh, ow, o)) adds its contributions."""
        n, h, w, c = self.layout.shape
        given = None if self._input is None else self._input(scratch)
        columns = self._columns(scratch)
        part = None if self._part is None else self._part(scratch)
        for image in range(n):
            for y in range(0, h, self.rows):
                source = x[image, y : y + self.rows].reshape(-1, c)
                yield image, self._tile(source, given, columns, part, y, zero, w)

    def _tile(
        self,
        source: Array,
        given: Array | None,
        columns: Array,
        part: Array | None,
        y: int,
        zero: int,
        w: int,
    ) -> Callable[[Array, Array], None]:
        pixels = len(source)
        centred = None if given is None else given[:pixels]
        made = columns[:pixels]
        spare = None if part is None else part[:pixels]
        rows = pixels // w
        by_tap = made.reshape(rows, w, self.layout.wy.size, self.layout.wx.size, self.layout.out[3])
        moves = [
            (by_tap[tap_rows, tap_columns, i, j], to_rows, to_columns)
            for i in range(self.layout.wy.size)
            for j in range(self.layout.wx.size)
            for tap_rows, to_rows in _reached(self.layout.wy, i, y, rows, self.layout.out[1])
            for tap_columns, to_columns in _reached(self.layout.wx, j, 0, w, self.layout.out[2])
        ]

        def add(weights: Array, sums: Array) -> None:
            a = source
            if centred is not None:
                np.copyto(centred, source, casting="unsafe")
                if zero:
                    np.subtract(centred, zero, out=centred)
                a = centred
            product(a, weights, self.cut, made, spare)
            for tap, to_rows, to_columns in moves:
                place = sums[to_rows, to_columns]
                np.add(place, tap, out=place)

        return add


def _reached(window: Window, tap: int, start: int, count: int, length: int) -> Iterator[tuple[slice, slice]]:
    """The input elements (from *start*, *count* of them) whose *tap* falls inside the output, and where."""
    offset = tap - window.before
    first = max(start, -(offset // window.stride))
    last = min(start + count - 1, (length - 1 - offset) // window.stride)
    if first <= last:
        to = first * window.stride + offset
        yield (
            slice(first - start, last - start + 1),
            slice(to, to + (last - first) * window.stride + 1, window.stride),
        )


def _by_image(
    n: int, tiles: Iterator[tuple[int, Callable[[Array, Array], None]]]
) -> list[list[Callable[[Array, Array], None]]]:
    groups: list[list[Callable[[Array, Array], None]]] = [[] for _ in range(n)]
    for image, add in tiles:
        groups[image].append(add)
    return groups


def _float(node: NodeSpec, layout: Layout, w: TensorSpec) -> Job:
    low, high = float_range(node.options["fused_activation_function"])
    scratch = Scratch()
    n, o, c = layout.shape[0], layout.out[3], layout.shape[3]
    spread = Spread(layout, FLOAT32, Cuts((0, c), FLOAT32, 0), scratch)
    known = constant(w)

    def bind(x: Array, filters: Array, bias: Array | None, out: Array, space: Array) -> Step:
        weights = weights_once(node, known, lambda: layout.columns(filters))
        tiles = _by_image(n, spread.bind(x, space, 0))
        finish = bind_float(out.reshape(-1, o), low, high)
        biases = no_bias(bias, o)

        def step() -> None:
            matrix = weights()
            out.fill(0)
            for image, adds in enumerate(tiles):
                for add in adds:
                    add(matrix, out[image])
            finish(biases)

        return quiet(step)

    return Job(scratch.nbytes, layout.taps * o * c * 4 if known else 0, bind)


def _sums_dtype(bound: float) -> Any:
    return FLOAT32 if bound <= EXACT_FLOAT32 else np.dtype(np.float64)


def _integer(node: NodeSpec, layout: Layout, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None) -> Job:
    n, oh, ow, o = layout.out
    c = layout.shape[3]
    k = layout.taps * c
    how = scheme(node, x, w, bias, lambda filters: filters.reshape(o, k), k, o, RULES)
    most = X_MOST[x.dtype] + abs(how.x_zero)
    scratch = Scratch()
    cut = cuts(c, most, how.w_most, None)
    sums_of = _sums_dtype(how.cut.bound * most / X_MOST[x.dtype])
    spread = Spread(layout, np.dtype(x.dtype), cut, scratch)
    sums = scratch.take((oh, ow, o), sums_of)
    work = scratch.take((how.requant.work(o),), np.float64)

    def bind(given: Array, filters: Array, biases: Array | None, out: Array, space: Array) -> Step:
        def make() -> tuple[Array, Array]:
            matrix = layout.columns(filters).astype(cut.dtype)
            if how.w_zero:
                matrix -= how.w_zero
            return matrix, no_bias(biases, o).astype(np.float64)

        weights = weights_once(node, how.constant, make)
        tiles = _by_image(n, spread.bind(given, space, how.x_zero))
        acc = sums(space)
        finishes = [
            how.requant.bind(acc.reshape(-1, o), out[i].reshape(-1, o), work(space)) for i in range(n)
        ]

        def step() -> None:
            matrix, bias = weights()
            for adds, finish in zip(tiles, finishes, strict=True):
                acc.fill(0)
                for add in adds:
                    add(matrix, acc)
                finish(bias)

        return step

    return Job(scratch.nbytes, o * (k * cut.dtype.itemsize + 8) if how.constant else 0, bind)


def _hybrid(node: NodeSpec, layout: Layout, w: TensorSpec) -> Job:
    """The input of each image becomes 8-bit levels, asymmetric."""
    scales = affine(w, "filter").scales
    n, oh, ow, o = layout.out
    c = layout.shape[3]
    if scales.size not in (1, o):
        raise declined(f"filter has {scales.size} scales; only 1 or {o}", Reason.QUANT)
    low, high = float_range(node.options["fused_activation_function"])
    size = element_count(layout.shape[1:])
    cut = cuts(c, 255, W_MOST[w.dtype], None)
    sums_of = _sums_dtype(255.0 * W_MOST[w.dtype] * c * layout.taps)
    scratch = Scratch()
    levels, steps = scratch.take((n, size)), scratch.take((n,))
    spread = Spread(layout, FLOAT32, cut, scratch)
    sums = scratch.take((oh, ow, o), sums_of)
    known = constant(w)

    def bind(x: Array, filters: Array, bias: Array | None, out: Array, space: Array) -> Step:
        q, s, acc = levels(space), steps(space), sums(space)
        weights = weights_once(node, known, lambda: layout.columns(filters).astype(cut.dtype))
        tiles = _by_image(n, spread.bind(q.reshape(layout.shape), space, 0))
        biases = no_bias(bias, o)

        def finish(image: int) -> Callable[[Array], None]:
            rows = out[image].reshape(-1, o)
            return bind_scaled(acc.reshape(-1, o), rows, lambda: scales, lambda: s[image], low, high)

        finishes = [finish(image) for image in range(n)]

        def step() -> None:
            matrix = weights()
            if n:
                asymmetric(x.reshape(n, size), q, s)
            for adds, done in zip(tiles, finishes, strict=True):
                acc.fill(0)
                for add in adds:
                    add(matrix, acc)
                done(biases)

        return quiet(step)

    return Job(scratch.nbytes, layout.taps * o * c * cut.dtype.itemsize if known else 0, bind)
