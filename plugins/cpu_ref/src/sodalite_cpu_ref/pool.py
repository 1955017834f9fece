"""AVERAGE_POOL_2D, MAX_POOL_2D, L2_POOL_2D: out[n, y, x, c] = act(the mean, maximum, or root of the mean square of
input[n, y·s + i, x·s + j, c] over the part of the window that lies inside the input)

input (n, h, w, c), output (n, oh, ow, c), of one type: float32, int8, uint8, int16 (L2: float32). Integer kernels
copy levels without rescaling; means are rounded half away from zero. A window is reduced downwards first, then
along. Source: kernels/pooling.cc, reference/pooling.h and reference/integer_ops/pooling.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sodalite.graph import Array
from sodalite.kernel import Buffers, NodeSpec, Prepared, Step

from ._checks import option, per_tensor, shape_of, tensor, types
from ._finish import clamp, float_range
from ._memory import Scratch, rows_per_tile
from .conv import check_sizes
from .nodes import quiet
from .quant import RANGES, activation_range
from .shapes import Window, window

TILE_NBYTES = 256 << 10
INTEGERS = ("int8", "uint8", "int16")


class Reduction(NamedTuple):
    """How windows are reduced; dtype: of the sums."""

    ufunc: np.ufunc
    identity: Any
    dtype: Any


def average_pool_2d(node: NodeSpec) -> Prepared:
    """Prepare AVERAGE_POOL_2D; see the module."""
    return _pool(node, "average", ("float32", *INTEGERS))


def max_pool_2d(node: NodeSpec) -> Prepared:
    """Prepare MAX_POOL_2D; see the module."""
    return _pool(node, "max", ("float32", *INTEGERS))


def l2_pool_2d(node: NodeSpec) -> Prepared:
    """Prepare L2_POOL_2D; see the module."""
    return _pool(node, "l2", ("float32",))


def _pool(node: NodeSpec, kind: str, allowed: tuple[str, ...]) -> Prepared:
    x, o = tensor(node, 0, "input"), node.options
    n, h, w, c = shape_of(x, 4)
    check_sizes("input", (h, w, c))
    dtype = types(x, allowed, "input")
    types(node.outputs[0], (dtype,), "output")
    wy = window(h, o["filter_height"], o["stride_h"], 1, o["padding"], "window")
    wx = window(w, o["filter_width"], o["stride_w"], 1, o["padding"], "window")
    finish = _finish(node, kind, wy, wx, h, w)
    kernel = np.dtype(dtype)
    if kind == "max":
        low = np.finfo(kernel).min if kernel.kind == "f" else RANGES[dtype][0]
        reduction = Reduction(np.fmax if kernel.kind == "f" else np.maximum, low, kernel)
    else:
        reduction = Reduction(np.add, 0, kernel if kernel.kind == "f" else np.dtype(np.int32))
    size = reduction.dtype.itemsize
    rows = rows_per_tile(wy.out, (w + wx.out + (w if kind == "l2" else 0)) * c * size, TILE_NBYTES)
    scratch = Scratch()
    down = scratch.take((rows, w, c), reduction.dtype)
    squares = scratch.take((rows, w, c)) if kind == "l2" else None
    sums = None if reduction.dtype == kernel else scratch.take((rows, wx.out, c), reduction.dtype)
    means = None if sums is None else scratch.take((2, rows, wx.out, c), np.float64)

    def bind(buffers: Buffers) -> Step:
        source, out = buffers.inputs[0], buffers.outputs[0]
        assert source is not None and out is not None  # noqa: PT018, S101  core gives what prepare saw
        between, space = down(buffers.scratch), buffers.scratch
        spare = None if squares is None else squares(space)
        acc = None if sums is None else sums(space)
        mean = None if means is None else means(space)
        jobs = []
        for image in range(n):
            for y in range(0, wy.out, rows):
                result = out[image, y : y + rows]
                some = len(result)
                first, second = between[:some], result if acc is None else acc[:some]
                steps = [
                    (first[to], source[image, at], None if spare is None else spare[:some][to])
                    for to, at in _taps(wy, h, y, some)
                ]
                along = [(second[:, to], first[:, at]) for to, at in _taps(wx, w, 0, wx.out)]
                last = finish(second, result, None if mean is None else mean[:, :some], y)
                jobs.append((first, steps, second, along, last))
        ufunc, identity = reduction.ufunc, reduction.identity

        def step() -> None:
            for first, steps, second, along, last in jobs:
                first.fill(identity)
                for to, rows_in, square in steps:
                    if square is not None:
                        rows_in = np.multiply(rows_in, rows_in, out=square)  # noqa: PLW2901
                    ufunc(to, rows_in, out=to)
                second.fill(identity)
                for to, column in along:
                    ufunc(to, column, out=to)
                last()

        return quiet(step)

    return Prepared(((n, wy.out, wx.out, c),), bind, scratch.nbytes)


def _taps(window: Window, length: int, start: int, count: int) -> Iterator[tuple[slice, slice]]:
    """For each tap, the positions (of *count* from *start*) where it falls inside the input, and the elements there."""
    for tap in range(window.size):
        offset = tap - window.before
        low = max(-(offset // window.stride), start)
        high = min((length - 1 - offset) // window.stride + 1, start + count)
        if low < high:
            first = low * window.stride + offset
            last = first + (high - low - 1) * window.stride + 1
            yield slice(low - start, high - start), slice(first, last, window.stride)


def _counts(window: Window, length: int) -> Array:
    """How many taps fall inside the input, at each position."""
    counts = np.zeros(window.out, np.int64)
    for to, _ in _taps(window, length, 0, window.out):
        counts[to] += 1
    return counts


Finish = Callable[[Array, Array, "Array | None", int], Step]


def _finish(node: NodeSpec, kind: str, wy: Window, wx: Window, h: int, w: int) -> Finish:
    """finish(sums, output rows, float64 work (2, ...), first row) -> what ends a tile."""
    out = node.outputs[0]
    activation = node.options["fused_activation_function"]
    counts = _counts(wy, h)[:, None, None] * _counts(wx, w)[:, None]
    if out.dtype == "float32":
        low, high = float_range(activation)
        share = counts.astype(np.float32)

        def floats(sums: Array, result: Array, _: Array | None, y: int) -> Step:
            count = share[y : y + len(result)]

            def last() -> None:
                if kind != "max":
                    np.divide(result, count, out=result)
                if kind == "l2":
                    np.sqrt(result, out=result)
                clamp(result, low, high)

            return last

        return floats
    least, most = RANGES[out.dtype]
    if activation != "NONE" or out.quant is not None:
        quant = per_tensor(out, "output")
        least, most = option(lambda: activation_range(activation, out.dtype, quant.scale, quant.zero_point))
    whole = (least, most) == RANGES[out.dtype]

    def integers(sums: Array, result: Array, work: Array | None, y: int) -> Step:
        if work is None:

            def clamped() -> None:
                if not whole:
                    np.clip(result, least, most, out=result)

            return clamped
        count, v, s = counts[y : y + len(result)], work[0], work[1]

        def last() -> None:
            np.divide(sums, count, out=v)
            np.copysign(0.5, v, out=s)
            np.add(v, s, out=v)
            np.clip(v, least, most, out=v)
            np.copyto(result, v, casting="unsafe")  # truncates

        return last

    return integers
