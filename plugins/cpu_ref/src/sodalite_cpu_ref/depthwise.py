"""DEPTHWISE_CONV_2D: out[n, y, x, o] = act(bias[o] + sum filter[0, i, j, o] · input[n, y·s + i·d, x·s + j·d, o / m])

input (n, h, w, c), filter (1, kh, kw, c · m), bias (c · m,) or none; m is the multiplier. Types as for CONV_2D. One
multiplication and one addition of whole tiles for each of the kh · kw taps; integers are exact in float32.
Source: kernels/depthwise_conv.cc, reference/depthwiseconv_*.h and reference/integer_ops/depthwise_conv.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sodalite.errors import ShapeError
from sodalite.graph import Array, TensorSpec
from sodalite.kernel import Buffers, NodeSpec, Prepared, Reason, Step

from ._checks import affine, constant, declined, optional, shape_of, tensor, types
from ._engine import no_bias, weights_once
from ._finish import Finish, bind_float, bind_scaled, float_range
from ._hybrid import asymmetric
from ._integer import Rules, scheme
from ._memory import Part, Scratch, rows_per_tile
from .conv import FLOAT32, Layout, check_bias, check_sizes, convolve, operands, windows
from .nodes import quiet
from .shapes import Window, element_count

TILE_NBYTES = 256 << 10
LONG = 512  # elements in a row of weights: several pixels' where there are few channels


RULES = Rules(axis=3)


class OneChannel(Layout):
    """A filter (1, kh, kw, o) over one channel is a dense one."""

    def rows(self, filters: Array) -> Array:
        return filters.reshape(self.k, self.o).T


def depthwise_conv_2d(node: NodeSpec) -> Prepared:
    """Prepare DEPTHWISE_CONV_2D; see the module."""
    x, w, bias = tensor(node, 0, "input"), tensor(node, 1, "filter"), optional(node, 2)
    n, h, width, c = shape_of(x, 4)
    one, kh, kw, o = shape_of(w, 4, "filter")
    check_sizes("input", (h, width, c))
    check_sizes("filter", (kh, kw, o))
    if one != 1:
        raise ShapeError(f"filter has first dimension {one}, wanted 1")
    if o % c:
        raise ShapeError(f"filter has {o} channels, not a multiple of the input's {c}")
    check_bias(bias, o)
    wy, wx = windows(node, h, width, kh, kw)
    kind = types(x, ("float32", "int8", "uint8", "int16"), "input")
    hybrid = kind == "float32" and w.dtype != "float32"
    if c == 1 and not hybrid:
        return convolve(node, OneChannel((n, h, width, c), wy, wx, o, 1), x, w, bias, RULES)
    layout = Layout((n, h, width, c), wy, wx, o, c)
    if kind != "float32":
        return _integer(node, layout, x, w, bias)
    types(node.outputs[0], ("float32",), "output")
    if bias is not None:
        types(bias, ("float32",), "bias")
    types(w, ("float32", "int8"), "filter")
    return _hybrid(node, layout, w) if hybrid else _float(node, layout, w)


class Tile(NamedTuple):
    """load: fills the padded buffer, if there is one; taps: a view of the input for each tap, (rows, ow / q, q · o);
    rows: of the output matrix (n · oh · ow, o); image: the first dimension's index.
    """

    load: Step | None
    taps: list[Array]
    rows: slice
    image: int


class Taps:
    """Plans the tiles of one shape; q pixels' channels are taken as one row of *dtype*."""

    def __init__(self, layout: Layout, source: Any, dtype: Any, scratch: Scratch) -> None:
        self.layout = layout
        wy, wx, o = layout.wy, layout.wx, layout.o
        ow = max(wx.out, 1)
        self.q = max(q for q in range(1, ow + 1) if ow % q == 0 and (q == 1 or q * o <= LONG))
        c = layout.shape[3]
        padded = bool(wy.before or wy.after or wx.before or wx.after)
        self.buffered = padded or source != dtype or o != c or wx.stride > 1
        size = dtype.itemsize
        self.width = -(-self._reach(wx, wx.out) // wx.stride)  # of one phase
        down = wy.stride * wx.stride * self.width * o * size if self.buffered else 0
        self.rows = rows_per_tile(wy.out, down + 2 * ow * o * size, TILE_NBYTES)
        self._buffer: Part | None = None
        if self.buffered:
            # Columns of the same phase modulo the stride lie side by side, so that every tap is contiguous.
            self._buffer = scratch.take((wx.stride, self._reach(wy, self.rows), self.width, o), dtype)
        self.shape = (self.rows, wx.out // self.q, self.q * o)  # of sums and products

    @staticmethod
    def _reach(window: Window, out: int) -> int:
        return (out - 1) * window.stride + window.span if out else 0

    def repeated(self, weights: Array) -> Array:
        """(kh · kw, o) weights for q pixels at once."""
        several = np.empty((weights.shape[0], self.q, weights.shape[1]), weights.dtype)
        several[:] = weights[:, None]
        return several.reshape(weights.shape[0], -1)

    def bind(self, x: Array, scratch: Array, fill: Any = 0) -> Iterator[Tile]:
        """The tiles over *x*; padding is *fill*. A run loads them all, in order."""
        n, h = self.layout.shape[:2]
        wy, wx = self.layout.wy, self.layout.wx
        buffer = None if self._buffer is None else self._buffer(scratch)
        for image in range(n):
            for y in range(0, wy.out, self.rows):
                rows = min(self.rows, wy.out - y)
                at = (image * wy.out + y) * wx.out
                place = slice(at, at + rows * wx.out)
                top, reach = y * wy.stride - wy.before, self._reach(wy, rows)
                if buffer is None:
                    yield Tile(None, self._taps(x[image, top : top + reach][None], rows), place, image)
                    continue
                first = min(max(-top, 0), reach)
                last = max(min(h - top, reach), first)
                source = x[image, top + first : top + last]
                steps = self._margins(buffer, fill) if not image and not y else []
                steps += [(buffer[:, :first], fill), (buffer[:, last:reach], fill)]
                steps += self._columns(buffer[:, first:last], source)
                load = _copies([s for s in steps if s[0].size])
                yield Tile(load, self._taps(buffer[:, :reach], rows), place, image)

    def _columns(self, buffer: Array, source: Array) -> list[tuple[Array, Any]]:
        """Copies of the columns of *source* (rows, w, c) into the phases of *buffer*, each channel m times."""
        steps: list[tuple[Array, Any]] = []
        c = self.layout.shape[3]
        for phase in range(self.layout.wx.stride):
            column, at, count = self._phase(phase)
            to = buffer[phase, :, at : at + count]
            what = source[:, column :: self.layout.wx.stride][:, :count]
            steps.append((to.reshape(*to.shape[:2], c, self.layout.o // c), what[..., None]))
        return steps

    def _margins(self, buffer: Array, fill: Any) -> list[tuple[Array, Any]]:
        """What no column is copied to; stays as it is from tile to tile."""
        steps: list[tuple[Array, Any]] = []
        for phase in range(self.layout.wx.stride):
            _, at, count = self._phase(phase)
            steps += [(buffer[phase, :, :at], fill), (buffer[phase, :, at + count :], fill)]
        return steps

    def _phase(self, phase: int) -> tuple[int, int, int]:
        """First column of the input in *phase*, its place there, and how many fit."""
        stride, before, w = self.layout.wx.stride, self.layout.wx.before, self.layout.shape[2]
        column = (phase - before) % stride
        at = (before + column) // stride
        return column, at, max(min(-(-(w - column) // stride), self.width - at), 0)

    def _taps(self, seen: Array, rows: int) -> list[Array]:
        """Views (rows, ow / q, q · o) of *seen* (phases, reach, width, o), one a tap."""
        wy, wx, o = self.layout.wy, self.layout.wx, self.layout.o
        phases, reach, width, _ = seen.shape
        flat = seen.reshape(phases, reach, width * o)  # a view: only rows may lie apart
        taps = []
        for i in range(wy.size):
            top = i * wy.dilation
            for j in range(wx.size):
                across, column = divmod(j * wx.dilation, phases)
                tap = flat[column, top : top + (rows - 1) * wy.stride + 1 : wy.stride, across * o : (across + wx.out) * o]
                taps.append(tap.reshape(rows, wx.out // self.q, self.q * o))
        return taps


def _copies(steps: list[tuple[Array, Any]]) -> Step:
    def load() -> None:
        for to, what in steps:
            np.copyto(to, what, casting="unsafe")

    return load


def _bind(
    tiles: Iterator[Tile],
    out: Array,
    sums: Array | None,
    spare: Array,
    weights: Callable[[], tuple[Array, Array]],
    finish: Callable[[Tile, Array, Array], Finish],
) -> Step:
    """The step: for each tile the sum over taps, then finish. sums: None if they are made in *out* (m, o) itself."""
    jobs = []
    for tile in tiles:
        rows = out[tile.rows]
        shape = tile.taps[0].shape
        acc = rows.reshape(shape) if sums is None else sums[: shape[0]]
        jobs.append(
            (tile.load, tile.taps, acc, spare[: shape[0]], finish(tile, acc.reshape(rows.shape), rows))
        )

    def step() -> None:
        filters, bias = weights()
        for load, taps, acc, product, done in jobs:
            if load is not None:
                load()
            np.multiply(taps[0], filters[0], out=acc)
            for tap, w in zip(taps[1:], filters[1:], strict=True):
                np.multiply(tap, w, out=product)
                np.add(acc, product, out=acc)
            done(bias)

    return quiet(step)


def _float(node: NodeSpec, layout: Layout, w: TensorSpec) -> Prepared:
    low, high = float_range(node.options["fused_activation_function"])
    scratch = Scratch()
    taps = Taps(layout, FLOAT32, FLOAT32, scratch)
    spare = scratch.take(taps.shape)
    known = constant(w)

    def bind(buffers: Buffers) -> Step:
        x, w, bias, out = operands(buffers)
        filters = weights_once(node, known, lambda: taps.repeated(w.reshape(-1, layout.o)), taps.q)
        biases = no_bias(bias, layout.o)
        return _bind(
            taps.bind(x, buffers.scratch),
            out.reshape(-1, layout.o),
            None,
            spare(buffers.scratch),
            lambda: (filters(), biases),
            lambda _tile, _sums, rows: bind_float(rows, low, high),
        )

    return Prepared((layout.out,), bind, scratch.nbytes, packed=_packed(taps) if known else 0)


def _packed(taps: Taps) -> int:
    return taps.layout.wy.size * taps.layout.wx.size * taps.q * taps.layout.o * 4


def _exact(k: int, bound: float) -> Any:
    """The dtype in which sums up to *bound* are exact."""
    return FLOAT32 if bound <= 1 << 24 else np.dtype(np.float64)


def _integer(
    node: NodeSpec, layout: Layout, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None
) -> Prepared:
    k, o = layout.wy.size * layout.wx.size, layout.o
    how = scheme(node, x, w, bias, lambda filters: filters.reshape(k, o).T, k, o, RULES)
    dtype = _exact(k, how.cut.bound)
    scratch = Scratch()
    taps = Taps(layout, np.dtype(x.dtype), dtype, scratch)
    sums, spare = scratch.take(taps.shape, dtype), scratch.take(taps.shape, dtype)
    work = scratch.take((how.requant.work(o),), np.float64)

    def bind(buffers: Buffers) -> Step:
        x, w, bias, out = operands(buffers)
        space = work(buffers.scratch)

        def make() -> tuple[Array, Array]:
            made = how.weights(w, bias)
            return taps.repeated(made.matrix.T).astype(dtype, copy=False), made.bias

        return _bind(
            taps.bind(x, buffers.scratch, how.x_zero),
            out.reshape(-1, o),
            sums(buffers.scratch),
            spare(buffers.scratch),
            weights_once(node, how.constant, make, taps.q),
            lambda _tile, acc, rows: how.requant.bind(acc, rows, space),
        )

    packed = k * taps.q * o * dtype.itemsize + o * 8 if how.constant else 0
    return Prepared((layout.out,), bind, scratch.nbytes, packed=packed)


def _hybrid(node: NodeSpec, layout: Layout, w: TensorSpec) -> Prepared:
    """The input of each image becomes 8-bit levels, asymmetric."""
    scales = affine(w, "filter").scales
    n, o = layout.shape[0], layout.o
    if scales.size not in (1, o):
        raise declined(f"filter has {scales.size} scales; only 1 or {o}", Reason.QUANT)
    low, high = float_range(node.options["fused_activation_function"])
    k, size = layout.wy.size * layout.wx.size, element_count(layout.shape[1:])
    dtype = _exact(k, k * 255.0 * 128)
    scratch = Scratch()
    levels, steps = scratch.take((n, size)), scratch.take((n,))
    taps = Taps(layout, FLOAT32, dtype, scratch)
    sums, spare = scratch.take(taps.shape, dtype), scratch.take(taps.shape, dtype)
    known = constant(w)

    def bind(buffers: Buffers) -> Step:
        x, w, bias, out = operands(buffers)
        flat, q, s = x.reshape(n, size), levels(buffers.scratch), steps(buffers.scratch)
        filters = weights_once(node, known, lambda: taps.repeated(w.reshape(k, o)).astype(dtype), taps.q)
        biases = no_bias(bias, o)
        multiply = _bind(
            taps.bind(q.reshape(layout.shape), buffers.scratch),
            out.reshape(-1, o),
            sums(buffers.scratch),
            spare(buffers.scratch),
            lambda: (filters(), biases),
            lambda tile, acc, rows: bind_scaled(acc, rows, lambda: scales * s[tile.image], None, low, high),
        )

        def step() -> None:
            if n:
                asymmetric(flat, q, s)
            multiply()

        return quiet(step)

    return Prepared((layout.out,), bind, scratch.nbytes, packed=_packed(taps) if known else 0)
